import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { buildSchema } from "graphql";
import { root } from "../servers.js";
import { breakingChanges } from "./compatibility.js";

test("schema.graphqls breaks no client of docs/contract/released.graphqls", async () => {
  const read = async (path: string) => buildSchema(await readFile(join(root, path), "utf8"));
  const released = await read("docs/contract/released.graphqls");
  assert.deepEqual(breakingChanges(released, await read("schema.graphqls")), []);
});

const contract = `
  scalar Time @specifiedBy(url: "https://example.com/time")
  enum Kind { A B }
  interface Thing { id: ID! }
  type User implements Thing { id: ID! name: String! nick: String kind: Kind! at: Time posts(first: Int = 20, after: String): [String!]! }
  input By @oneOf { id: ID name: String }
  input Some { a: Int b: Int }
  input New { name: String! body: String! = "" kind: Kind tags: [String!] }
  union Any = User | Other
  type Other { a: Int }
  type Query { user(by: By!): User any: Any kind(kind: Kind = A): Kind old: Int @deprecated }
  type Mutation { create(input: New!): User! }
`;

// What is said about a contract in which one text is replaced by another.
const breaking: [string, string, string, RegExp][] = [
  ["a type is gone", "input Some { a: Int b: Int }", "", /Some was removed/],
  ["a type of another kind", "type Other { a: Int }", "interface Other { a: Int } type X implements Other { a: Int }", /Other changed from/],
  ["a field is gone", "nick: String", "", /nick was removed/],
  ["a deprecated field is gone", "old: Int @deprecated", "", /old was removed/],
  ["a field may be null", "name: String! nick", "name: String nick", /name changed type/],
  ["a list may have nulls", "[String!]!", "[String]!", /posts changed type/],
  ["a field of another type", "nick: String", "nick: Int", /nick changed type/],
  ["an argument is gone", ", after: String", "", /after was removed/],
  ["an argument of another type", "after: String", "after: Int", /after has changed type/],
  ["an argument may not be null", "after: String", "after: String!", /after has changed type/],
  ["a new argument that is required", "after: String", "after: String, last: Int!", /last on User.posts was added/],
  ["an argument with another default", "first: Int = 20", "first: Int = 10", /first has changed defaultValue/],
  ["an argument without its default", "first: Int = 20", "first: Int", /first defaultValue was removed/],
  ["a value of an enum is gone", "{ A B }", "{ A }", /B was removed/],
  ["a member of a union is gone", "User | Other", "User", /Other was removed/],
  ["an interface is gone", "User implements Thing", "User", /Thing/],
  ["a field of an input is gone", "tags: [String!]", "", /tags was removed/],
  ["a field of an input may not be null", "kind: Kind tags", "kind: Kind! tags", /kind changed type/],
  ["a new field of an input that is required", "tags: [String!]", "tags: [String!] more: Int!", /more on input type New was added/],
  ["a field of an input with another default", 'body: String! = ""', 'body: String! = "-"', /New.body has changed its default/],
  ["a field of an input without its default", 'body: String! = ""', "body: String!", /New.body has changed its default/],
  ["one of several", "input Some {", "input Some @oneOf {", /Some became @oneOf/],
  ["several instead of one", "input By @oneOf {", "input By {", /By is no longer @oneOf/],
  ["another specification of a scalar", "example.com/time", "example.com/date", /Time is specified by another document/],
  ["no mutations", "type Mutation", "type Changes", /Mutation/],
];

const safe: [string, string, string][] = [
  ["nothing", "", ""],
  ["a new type", "type Other", "type More { a: Int } type Other"],
  ["a new field", "nick: String", "nick: String more: Int!"],
  ["a field that is never null", "nick: String", "nick: String!"],
  ["a new argument", "after: String", "after: String, last: Int"],
  ["a new argument that has a default", "after: String", "after: String, last: Int! = 1"],
  ["an argument that may be null", "by: By!", "by: By"],
  ["a new value of an enum", "{ A B }", "{ A B C }"],
  ["a new member of a union", "User | Other", "User | Other | Third type Third { a: Int }"],
  ["a new field of an input", "tags: [String!]", "tags: [String!] more: Int"],
  ["a new field of an input that has a default", "tags: [String!]", "tags: [String!] more: Int! = 1"],
  ["a field of an input that may be null", "name: String! body", "name: String body"],
  ["a deprecation", "nick: String", 'nick: String @deprecated(reason: "no")'],
  ["a description", "type Other", '"Others." type Other'],
  ["another order", "{ A B }", "{ B A }"],
];

for (const [name, before, after, said] of breaking) {
  test(`breaking: ${name}`, () => {
    assert.ok(contract.includes(before));
    const changes = breakingChanges(buildSchema(contract), buildSchema(contract.replace(before, after)));
    assert.ok(changes.some((change) => said.test(change)), `found ${JSON.stringify(changes)}`);
  });
}
for (const [name, before, after] of safe) {
  test(`safe: ${name}`, () => {
    assert.ok(contract.includes(before));
    assert.deepEqual(breakingChanges(buildSchema(contract), buildSchema(contract.replace(before, after))), []);
  });
}
