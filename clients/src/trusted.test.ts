// The documents of graphql-codegen and of Relay's compiler as the only ones that the server executes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import type { DocumentNode } from "graphql";
import "./browser.js";
import { CreateUser, UserByName } from "./documents.js";
import { root, startRoster, type Server } from "./servers.js";

const codegen = join(root, "clients/src/gql/persisted-documents.json");
const relay = join(root, "clients/src/relay/__generated__/persisted-documents.json");
const ada = { username: "Ada", email: "ada@example.com" };

/** The hash of a document, from graphql-codegen. */
const hashOf = (document: DocumentNode) => (document as unknown as { __meta__: { hash: string } }).__meta__.hash;

async function post(server: Server, body: object): Promise<{ data?: unknown; errors?: { extensions: { code: string } }[] }> {
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Awaited<ReturnType<typeof post>>;
}

test("trusted documents of graphql-codegen: by documentId, by hash and as text, and no others", async (t) => {
  const server = await startRoster(t, `--trusted-documents=${codegen}`, "--no-introspection");
  const documents = Object.entries(JSON.parse(await readFile(codegen, "utf8")) as Record<string, string>);
  const [hash, text] = documents.find(([, document]) => document.includes("query UserByName"))!;
  assert.equal(hash, hashOf(UserByName));
  const variables = { username: "ada" };
  for (const body of [
    { documentId: hash },
    { documentId: `sha256:${hash}` },
    { extensions: { persistedQuery: { version: 1, sha256Hash: hash } } },
    { query: text },
  ]) {
    assert.deepEqual(await post(server, { ...body, variables }), { data: { __typename: "Query", user: null } }, JSON.stringify(body));
  }
  for (const body of [
    { query: "{ users { totalCount } }" },
    { query: "{ __schema { queryType { name } } }" },
    { documentId: "0".repeat(64) },
    { extensions: { persistedQuery: { version: 1, sha256Hash: "0".repeat(64) } } },
  ]) {
    assert.equal((await post(server, body)).errors?.[0]?.extensions.code, "FORBIDDEN", JSON.stringify(body));
  }
});

test("trusted documents of Relay's compiler", async (t) => {
  const server = await startRoster(t, `--trusted-documents=${relay}`);
  const [hash] = Object.entries(JSON.parse(await readFile(relay, "utf8")) as Record<string, string>).find(([, document]) =>
    document.startsWith("query UserListQuery("),
  )!;
  assert.equal((await post(server, { documentId: hash, variables: { first: 2 } })).errors, undefined);
  assert.equal((await post(server, { query: "{ users { totalCount } }" })).errors?.[0]?.extensions.code, "FORBIDDEN");
});

test("trusted documents with Apollo Client", async (t) => {
  const server = await startRoster(t, `--trusted-documents=${codegen}`);
  const client = new ApolloClient({
    // Do not send the text of the document after the hash, because the server would refuse it too.
    link: ApolloLink.from([new PersistedQueryLink({ generateHash: hashOf, retry: () => false }), new HttpLink({ uri: server.url })]),
    cache: new InMemoryCache(),
  });
  const sent = t.mock.method(globalThis, "fetch");
  await client.mutate({ mutation: CreateUser, variables: { input: ada } });
  assert.equal((await client.query({ query: UserByName, variables: { username: "ada" } })).data?.user?.username, "Ada");
  assert.ok(sent.mock.calls.every(({ arguments: [, options] }) => !("query" in JSON.parse(String(options?.body)))));
});

test("trusted documents with urql", async (t) => {
  const server = await startRoster(t, `--trusted-documents=${codegen}`);
  const client = new Client({
    url: server.url,
    exchanges: [
      persistedExchange({
        enforcePersistedQueries: true,
        enableForMutation: true,
        preferGetForPersistedQueries: true,
        generateHash: async (_, document) => hashOf(document),
      }),
      fetchExchange,
    ],
  });
  assert.equal((await client.mutation(CreateUser, { input: ada }).toPromise()).error, undefined);
  assert.equal((await client.query(UserByName, { username: "ada" }).toPromise()).data?.user?.username, "Ada");
});
