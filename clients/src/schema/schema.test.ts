import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  buildClientSchema,
  buildSchema,
  getIntrospectionQuery,
  graphqlSync,
  lexicographicSortSchema,
  printSchema,
  type GraphQLSchema,
  type IntrospectionQuery,
} from "graphql";
import { request } from "graphql-request";
import { root, startRoster } from "../servers.js";

// With descriptions, @specifiedBy, @oneOf and @deprecated, all in one order.
const print = (schema: GraphQLSchema) => printSchema(lexicographicSortSchema(schema));

/** Compares texts line by line, so that a failure shows the first line that differs, and not all of both. */
function assertSame(actual: string, expected: string): void {
  const lines = expected.split("\n");
  actual.split("\n").forEach((line, i) => assert.equal(line, lines[i], `line ${i + 1}`));
  assert.equal(actual.length, expected.length);
}

/** Orders the things of each list that have names, since introspection promises no order. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    const name = (x: unknown) => (x as { name?: string } | null)?.name ?? "";
    return value.map(ordered).sort((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0));
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, ordered(field)]));
}

const builtIn = new Set(["Boolean", "Int", "ID", "String"]);

test("introspection says what that of graphql-js says, with null where a type has no such list", async (t) => {
  const query = `{
    __schema {
      description queryType { name } mutationType { name } subscriptionType { name }
      types {
        kind name description specifiedByURL isOneOf ofType { name }
        fields(includeDeprecated: true) { name description isDeprecated deprecationReason type { ...Ref } args(includeDeprecated: true) { ...Input } }
        inputFields(includeDeprecated: true) { ...Input }
        interfaces { name } possibleTypes { name }
        enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
      }
      directives { name description locations isRepeatable args(includeDeprecated: true) { ...Input } }
    }
  }
  fragment Input on __InputValue { name description defaultValue isDeprecated deprecationReason type { ...Ref } }
  fragment Ref on __Type { ...Kind ofType { ...Kind ofType { ...Kind ofType { ...Kind } } } }
  fragment Kind on __Type {
    kind name specifiedByURL isOneOf
    fields { name } inputFields { name } interfaces { name } possibleTypes { name } enumValues { name }
  }`;
  const server = await startRoster(t, "--max-cost=1000000");
  const served = await request<IntrospectionQuery>(server.url, query);
  const schema = buildSchema(await readFile(join(root, "schema.graphqls"), "utf8"));
  const expected = graphqlSync({ schema, source: query }).data as unknown as IntrospectionQuery;
  const names = (from: IntrospectionQuery) => from.__schema.types.map(({ name }) => name).sort();
  assert.deepEqual(names(served), names(expected));
  // The types of introspection itself are those of a draft in graphql-js, and the texts of scalars are each one's own.
  const own = ({ __schema }: IntrospectionQuery) => ({
    ...__schema,
    types: __schema.types.filter(({ name }) => !name.startsWith("__"))
      .map((type) => (builtIn.has(type.name) ? { ...type, description: null } : type)),
  });
  assert.deepEqual(ordered(own(served)), ordered(JSON.parse(JSON.stringify(own(expected)))));
});

test("the schema is one: as it is written, as it is served, as it is introspected", async (t) => {
  const written = await readFile(join(root, "schema.graphqls"), "utf8");
  const server = await startRoster(t);
  assertSame(await (await fetch(server.at("/schema.graphql"))).text(), written);

  const query = getIntrospectionQuery({
    descriptions: true,
    directiveIsRepeatable: true,
    inputValueDeprecation: true,
    oneOf: true,
    schemaDescription: true,
    specifiedByUrl: true,
  });
  const introspected = buildClientSchema(await request<IntrospectionQuery>(server.url, query));
  assertSame(print(introspected), print(buildSchema(written)));
  // What could be lost on the way without a difference between the two.
  for (const text of ['scalar DateTime @specifiedBy(url: "https://', "input UserBy @oneOf {", "dependents: Dependents! = RESTRICT"]) {
    assert.ok(print(introspected).includes(text), text);
  }
  // printSchema leaves out what every server has.
  assert.deepEqual(introspected.getDirectives().map(({ name }) => name).sort(), ["deprecated", "include", "oneOf", "skip", "specifiedBy"]);
});
