// How clients send a token, over each transport. The test server takes a token for the name of its caller.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, fetchExchange } from "@urql/core";
import { OperationTypeNode, parse } from "graphql";
import * as sse from "graphql-sse";
import { createClient } from "graphql-ws";
import { Environment, fetchQuery, Network, RecordSource, Store, type ConcreteRequest, type GraphQLResponse } from "relay-runtime";
import "./browser.js";
import { startTestServer } from "./servers.js";

const query = "{ caller }";
const token = () => "ada";

test("Apollo Client", async (t) => {
  const { url, webSocketURL } = await startTestServer(t);
  const webSocket = createClient({ url: webSocketURL, connectionParams: () => ({ Authorization: `Bearer ${token()}` }) });
  t.after(() => webSocket.dispose());
  const http = new SetContextLink(({ headers }) => ({ headers: { ...headers, Authorization: `Bearer ${token()}` } })).concat(new HttpLink({ uri: url }));
  for (const link of [http, new GraphQLWsLink(webSocket)]) {
    const client = new ApolloClient({
      link: ApolloLink.split(({ operationType }) => operationType === OperationTypeNode.QUERY, link),
      cache: new InMemoryCache(),
    });
    assert.deepEqual((await client.query({ query: parse(query) })).data, { caller: "ada" });
  }
});

test("urql", async (t) => {
  const { url } = await startTestServer(t);
  const client = new Client({
    url,
    exchanges: [fetchExchange],
    fetchOptions: () => ({ headers: { Authorization: `Bearer ${token()}` } }),
  });
  assert.deepEqual((await client.query(query, {}).toPromise()).data, { caller: "ada" });
});

test("Relay", async (t) => {
  const { url } = await startTestServer(t);
  const environment = new Environment({
    store: new Store(new RecordSource()),
    network: Network.create(async () => {
      const response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json", Authorization: `Bearer ${token()}` },
        body: JSON.stringify({ query }),
      });
      return (await response.json()) as GraphQLResponse;
    }),
  });
  const field = { kind: "ScalarField", name: "caller", alias: null, args: null, storageKey: null };
  const request = {
    kind: "Request",
    fragment: { kind: "Fragment", name: "Q", type: "Query", abstractKey: null, argumentDefinitions: [], metadata: null, selections: [field] },
    operation: { kind: "Operation", name: "Q", argumentDefinitions: [], selections: [field] },
    params: { id: null, cacheID: "Q", name: "Q", operationKind: "query", text: query, metadata: {} },
  } as unknown as ConcreteRequest;
  assert.deepEqual(await fetchQuery(environment, request, {}).toPromise(), { caller: "ada" });
});

test("graphql-ws: after 4403 it connects again with the next token", async (t) => {
  const { webSocketURL } = await startTestServer(t);
  const tokens = ["expired", "ada"];
  const closed: number[] = [];
  const webSocket = createClient({
    url: webSocketURL,
    connectionParams: () => ({ Authorization: `Bearer ${tokens.shift()}` }),
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: async () => undefined,
    on: { closed: (event) => closed.push((event as { code: number }).code) },
  });
  t.after(() => webSocket.dispose());
  for await (const answer of webSocket.iterate({ query })) assert.deepEqual(answer, { data: { caller: "ada" } });
  assert.equal(closed[0], 4403);
});

test("graphql-ws: without a token it is nobody", async (t) => {
  const { webSocketURL } = await startTestServer(t);
  const webSocket = createClient({ url: webSocketURL });
  t.after(() => webSocket.dispose());
  for await (const answer of webSocket.iterate({ query })) assert.deepEqual(answer, { data: { caller: null } });
});

test("graphql-sse", async (t) => {
  const { url } = await startTestServer(t);
  const events = sse.createClient({ url, headers: () => ({ Authorization: `Bearer ${token()}` }), retryAttempts: 0 });
  t.after(() => events.dispose());
  for await (const answer of events.iterate({ query })) assert.deepEqual(answer, { data: { caller: "ada" } });
  const strangers = sse.createClient({ url, headers: { Authorization: "Bearer bob" }, retryAttempts: 0 });
  t.after(() => strangers.dispose());
  const refused = strangers.iterate({ query: "subscription { private { number } }" }).next();
  await assert.rejects(refused, ({ response }: sse.NetworkError<Response>) => response?.status === 403);
});
