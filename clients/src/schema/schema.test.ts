import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  buildClientSchema,
  buildSchema,
  getIntrospectionQuery,
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
