// Clients send the token of their last mutation with later queries. The server is a stand-in that shows what it gets.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { Client, fetchExchange } from "@urql/core";
import { parse } from "graphql";
import { consistentFetch } from "./consistency.js";

const query = "{ caller }";
const mutation = "mutation { echo }";

/** Starts a server whose mutations have the tokens. It returns its address, and the tokens that it got, in order. */
async function startServer(t: TestContext, tokens: string[]) {
  const got: (string | undefined)[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    got.push(request.headers["roster-consistency"] as string | undefined);
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      const writes = body.includes("mutation");
      const token = writes ? tokens.shift() : undefined;
      if (token) response.setHeader("Roster-Consistency", token);
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ data: writes ? { echo: "hi" } : { caller: "ada" } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`, got };
}

test("Apollo Client reads what it has written", async (t) => {
  const { url, got } = await startServer(t, ["B", "A", "C"]);
  const client = new ApolloClient({ link: new HttpLink({ uri: url, fetch: consistentFetch() }), cache: new InMemoryCache() });
  const read = () => client.query({ query: parse(query), fetchPolicy: "network-only" });
  await read();
  for (let i = 0; i < 3; i++) {
    await client.mutate({ mutation: parse(mutation) });
    await read();
  }
  assert.deepEqual(got, [undefined, undefined, "B", "B", "B", "B", "C"]);
});

test("urql reads what it has written", async (t) => {
  const { url, got } = await startServer(t, ["B", "A", "C"]);
  const client = new Client({ url, exchanges: [fetchExchange], fetch: consistentFetch(), preferGetMethod: false });
  const read = () => client.query(query, {}, { requestPolicy: "network-only" }).toPromise();
  await read();
  for (let i = 0; i < 3; i++) {
    assert.deepEqual((await client.mutation(mutation, {}).toPromise()).data, { echo: "hi" });
    assert.deepEqual((await read()).data, { caller: "ada" });
  }
  assert.deepEqual(got, [undefined, undefined, "B", "B", "B", "B", "C"]);
});
