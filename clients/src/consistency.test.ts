// Clients read what they have written, though the replica that answers their queries does not have it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { Client, fetchExchange } from "@urql/core";
import { parse } from "graphql";
import * as sse from "graphql-sse";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Consistency } from "./consistency.js";
import { startReplicated, type Replicated } from "./servers.js";

const query = `{ user(by: { username: "ada" }) { email } }`;
const rename = (id: string, email: string) => `mutation { updateUser(input: { id: "${id}", email: "${email}" }) { user { id } } }`;

/** Sends an operation without a token. */
async function send(url: string, text: string, fetcher: typeof fetch = fetch): Promise<any> {
  const response = await fetcher(new Request(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json" },
    body: JSON.stringify({ query: text }),
  }));
  const { data, errors } = (await response.json()) as { data: unknown; errors?: unknown };
  assert.equal(errors, undefined);
  return data;
}

/** Creates ada and holds the replica, so that only the primary gets what is written later. It returns the ID of ada. */
async function holdReplica(server: Replicated): Promise<string> {
  const { createUser } = await send(server.url, `mutation { createUser(input: { username: "ada", email: "held@example.com" }) { user { id } } }`);
  const { id } = createUser.user;
  await server.hold();
  await send(server.url, rename(id, "later@example.com"));
  // The server may not have measured the replica yet.
  for (const deadline = Date.now() + 30_000; (await withoutToken(server.url)) !== "held@example.com"; await pause(50)) {
    assert.ok(Date.now() < deadline, "the replica answers no query");
  }
  return id;
}

const withoutToken = async (url: string): Promise<string> => (await send(url, query)).user.email;

test("clients read what they have written", async (t) => {
  const server = await startReplicated(t);
  const { url, webSocketURL } = server;
  const id = await holdReplica(server);

  await t.test("Apollo Client", async () => {
    const consistency = new Consistency();
    const client = new ApolloClient({ link: new HttpLink({ uri: url, fetch: consistency.fetch }), cache: new InMemoryCache() });
    await client.mutate({ mutation: parse(rename(id, "apollo@example.com")) });
    const { data } = await client.query<any>({ query: parse(query), fetchPolicy: "network-only" });
    assert.equal(data.user.email, "apollo@example.com");
  });

  await t.test("urql", async () => {
    const consistency = new Consistency();
    const client = new Client({ url, exchanges: [fetchExchange], fetch: consistency.fetch, preferGetMethod: false });
    assert.equal((await client.mutation(rename(id, "urql@example.com"), {}).toPromise()).error, undefined);
    const { data } = await client.query(query, {}, { requestPolicy: "network-only" }).toPromise();
    assert.equal(data.user.email, "urql@example.com");
  });

  await t.test("graphql-sse", async () => {
    const consistency = new Consistency();
    const client = sse.createClient({ url, fetchFn: consistency.fetch, retryAttempts: 0 });
    for await (const { errors } of client.iterate({ query: rename(id, "sse@example.com") })) assert.equal(errors, undefined);
    for await (const { data } of client.iterate<any>({ query })) assert.equal(data.user.email, "sse@example.com");
  });

  await t.test("graphql-ws, by several sockets and by HTTP", async () => {
    const consistency = new Consistency();
    const open = () =>
      createClient({
        url: webSocketURL,
        connectionParams: consistency.connectionParams,
        on: { message: consistency.onMessage },
        webSocketImpl: WebSocket,
      });
    const ask = async (client: ReturnType<typeof open>, text: string): Promise<any> => {
      for await (const result of client.iterate<any>({ query: text, extensions: consistency.extensions() })) return result;
      throw new Error("no answer");
    };
    const first = open();
    assert.equal((await ask(first, query)).data.user.email, "held@example.com");
    assert.equal((await ask(first, rename(id, "ws@example.com"))).errors, undefined);
    assert.notEqual(consistency.token, "");
    const second = open();
    assert.equal((await ask(second, query)).data.user.email, "ws@example.com");
    await send(url, rename(id, "http@example.com"), consistency.fetch);
    for (const client of [first, second]) {
      assert.equal((await ask(client, query)).data.user.email, "http@example.com");
      await client.dispose();
    }
  });

  await t.test("a fault has a token", async () => {
    const consistency = new Consistency();
    const before = (await send(url, "{ users { nodes { version } } }")).users.nodes[0].version;
    const client = new Client({ url, exchanges: [fetchExchange], fetch: consistency.fetch, preferGetMethod: false });
    const stale = `mutation { updateUser(input: { id: "${id}", email: "x@example.com", expectedVersion: ${before} }) { user { id } } }`;
    const { error } = await client.mutation(stale, {}).toPromise();
    assert.equal(error!.graphQLErrors[0]!.extensions["code"], "STALE_VERSION");
    const { data } = await client.query("{ users { nodes { version } } }", {}).toPromise();
    assert.ok(data.users.nodes[0].version > before);
  });

  assert.equal(await withoutToken(url), "held@example.com", "the replica was held all the time");

  // The last step: the replica is of another database after it.
  await t.test("the token of another database", async () => {
    const old = new Consistency();
    await send(url, rename(id, "old@example.com"), old.fetch);
    const earlier = old.token;
    await send(url, rename(id, "older@example.com"), old.fetch);
    const later = old.token;
    assert.notEqual(later, earlier);

    await server.resetChanges();
    const fresh = new Consistency();
    for (const deadline = Date.now() + 30_000; !fresh.token || fresh.token.slice(0, 15) === old.token.slice(0, 15); await pause(50)) {
      assert.ok(Date.now() < deadline, "the server does not notice the reset");
      await send(url, rename(id, "fresh@example.com"), fresh.fetch);
    }
    // One of the two tokens is the greater text.
    for (const [has, gets, keeps] of [
      [later, fresh.token, fresh.token],
      [fresh.token, later, later],
      [later, earlier, later],
      [earlier, later, later],
      [later, "", later],
      [later, null, later],
    ] as const) {
      const consistency = new Consistency();
      consistency.keep(has);
      consistency.keep(gets);
      assert.equal(consistency.token, keeps);
    }
    await send(url, rename(id, "new@example.com"), old.fetch);
    assert.equal(old.token.slice(0, 15), fresh.token.slice(0, 15));
    assert.equal((await send(url, query, old.fetch)).user.email, "new@example.com");
  });
});

test("the headers of a request stay", async () => {
  const got: string[][] = [];
  const consistency = new Consistency(async (_, init) => {
    got.push([...new Headers(init!.headers)].flat());
    return new Response("{}", { headers: { "Roster-Consistency": "A" } });
  });
  const url = "http://roster.test/graphql";
  await consistency.fetch(new Request(url, { headers: { authorization: "Bearer ada" } }));
  await consistency.fetch(new Request(url, { headers: { authorization: "Bearer ada" } }));
  await consistency.fetch(new Request(url, { headers: { authorization: "Bearer ada" } }), { headers: { accept: "x/y" } });
  await consistency.fetch(url);
  assert.deepEqual(got, [
    ["authorization", "Bearer ada"],
    ["authorization", "Bearer ada", "roster-consistency", "A"],
    ["accept", "x/y", "roster-consistency", "A"],
    ["roster-consistency", "A"],
  ]);
});
