// The clients of both transports of subscriptions, when all is well and when the server goes away: with the change feed,
// and with the test schema, which has subscriptions of every kind.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";
import { print } from "graphql";
import { request } from "graphql-request";
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import "../browser.js";
import { Changes, ChangesCursor, CreateUser } from "../documents.js";
import type { ChangesSubscription } from "../gql/graphql.js";
import { startRoster, startTestServer } from "../servers.js";
import { until } from "../until.js";
import { follow } from "./follow.js";

interface Tick {
  counter: { number: number };
}

const counter = (from: number, to: number, pause = 0) => ({
  query: "subscription ($from: Int!, $to: Int!, $pause: Int!) { counter(from: $from, to: $to, pause: $pause) { number } }",
  variables: { from, to, pause },
});
const event = (number: number) => ({ data: { counter: { number } } });

// What clients do again and again until the server is back.
const retries = { retryAttempts: 1000, retryWait: () => new Promise<void>((resolve) => setImmediate(resolve)) };

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of events) all.push(one);
  return all;
}

test("graphql-ws: many operations on one socket", async (t) => {
  const { webSocketURL } = await startTestServer(t);
  let sockets = 0;
  const client = ws.createClient({ url: webSocketURL, on: { connected: () => sockets++ } });
  t.after(() => client.dispose());
  const operations = Array.from({ length: 20 }, (_, i) => collect(client.iterate(counter(i, i + 2))));
  assert.deepEqual(await Promise.all(operations), Array.from({ length: 20 }, (_, i) => [event(i), event(i + 1), event(i + 2)]));
  assert.equal(sockets, 1);
  assert.deepEqual(await collect(client.iterate({ query: '{ echo(text: "a query") }' })), [{ data: { echo: "a query" } }]);
  await assert.rejects(collect(client.iterate({ query: "subscription { nothing }" })), (errors: { extensions: { code: string } }[]) => {
    assert.equal(errors[0]?.extensions.code, "GRAPHQL_VALIDATION_FAILED");
    return true;
  });
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`graphql-ws: connects again by itself after ${signal}`, async (t) => {
    const server = await startTestServer(t);
    const client = ws.createClient({ url: server.webSocketURL, shouldRetry: () => true, ...retries });
    t.after(() => client.dispose());
    const numbers: number[] = [];
    for await (const { data } of client.iterate<Tick>({ query: "subscription { counter: endless(pause: 1) { number } }" })) {
      numbers.push(data!.counter.number);
      if (numbers.length === 3) await server.restart(signal);
      // It repeats the subscription, which begins again.
      if (numbers.length > 3 && numbers.lastIndexOf(1) > 0) break;
    }
    assert.deepEqual(numbers.slice(0, 3), [1, 2, 3]);
  });

  test(`graphql-ws: follows the change feed without a gap through ${signal}`, async (t) => {
    const server = await startRoster(t);
    const create = async (number: number) => {
      await request(server.url, CreateUser, { input: { username: `user${number}`, email: `${number}@example.com` } });
    };
    const { changesCursor } = await request(server.url, ChangesCursor);
    const client = ws.createClient({ url: server.webSocketURL, retryAttempts: 0 });
    t.after(() => client.dispose());
    await create(1);
    const names: (string | undefined)[] = [];
    const changes = follow<ChangesSubscription>(client, (last) => ({
      query: print(Changes),
      variables: { after: last?.changes.cursor ?? changesCursor },
    }));
    for await (const { changes: { node } } of changes) {
      names.push(node?.__typename === "User" ? node.username : undefined);
      if (names.length === 2) {
        await server.restart(signal);
        await create(3); // which may be before the client is back
      }
      if (names.length === 5) break;
      if (names.length !== 2) await create(names.length + 1);
    }
    assert.deepEqual(names, ["user1", "user2", "user3", "user4", "user5"]);
  });

  test(`graphql-sse: connects again by itself after ${signal}`, async (t) => {
    const server = await startTestServer(t);
    const client = sse.createClient({ url: server.url, retryAttempts: 1000, retry: retries.retryWait });
    t.after(() => client.dispose());
    const numbers: number[] = [];
    for await (const { data } of client.iterate<Tick>({ query: "subscription { counter: endless(pause: 1) { number } }" })) {
      numbers.push(data!.counter.number);
      if (numbers.length === 3) await server.restart(signal);
      if (numbers.length > 3 && numbers.lastIndexOf(1) > 0) break;
    }
    assert.deepEqual(numbers.slice(0, 3), [1, 2, 3]);
  });
}

test("graphql-ws: what cannot succeed is not tried again", async (t) => {
  const { webSocketURL } = await startTestServer(t);
  const client = ws.createClient({ url: webSocketURL, retryAttempts: 0 });
  t.after(() => client.dispose());
  const refused = follow(client, () => ({ query: "subscription { refused { number } }" }));
  await assert.rejects(collect(refused), (errors: { extensions: { code: string } }[]) => {
    assert.equal(errors[0]?.extensions.code, "FORBIDDEN");
    return true;
  });
});

test("graphql-sse: distinct connections", async (t) => {
  const { url } = await startTestServer(t);
  const client = sse.createClient({ url, retryAttempts: 0 });
  t.after(() => client.dispose());
  const operations = Array.from({ length: 5 }, (_, i) => collect(client.iterate(counter(i, i + 2))));
  assert.deepEqual(await Promise.all(operations), Array.from({ length: 5 }, (_, i) => [event(i), event(i + 1), event(i + 2)]));
  assert.deepEqual(await collect(client.iterate({ query: '{ echo(text: "a query") }' })), [{ data: { echo: "a query" } }]);
  const [invalid] = await collect(client.iterate({ query: "subscription { nothing }" }));
  assert.equal((invalid?.errors as unknown as { extensions: { code: string } }[])[0]?.extensions.code, "GRAPHQL_VALIDATION_FAILED");
});

test("graphql-sse: a client that leaves ends its subscription", async (t) => {
  const { url } = await startTestServer(t);
  const client = sse.createClient({ url, retryAttempts: 0 });
  t.after(() => client.dispose());
  const events = client.iterate<Tick>({ query: "subscription { counter: endless { number } }" });
  assert.equal((await events.next()).value.data.counter.number, 1);
  await events.return?.();
  for (let active = 1; active > 0; ) {
    const [answer] = await collect(client.iterate<{ active: number }>({ query: "{ active }" }));
    active = answer!.data!.active;
  }
});

test("graphql-sse: a single connection is refused at once", async (t) => {
  const { url } = await startTestServer(t);
  const client = sse.createClient({ url, singleConnection: true, retryAttempts: 0 });
  t.after(() => client.dispose());
  await assert.rejects(collect(client.iterate(counter(1, 3))), (error) => {
    assert.ok(error instanceof sse.NetworkError);
    assert.equal(error.response?.status, 405);
    return true;
  });
});

test("EventSource: events, the end, and another server in the place of the first", async (t) => {
  const server = await startTestServer(t);
  const open = (query: string) => {
    const source = new EventSource(`${server.url}?query=${encodeURIComponent(query)}`);
    t.after(() => source.close());
    const events: unknown[] = [];
    source.addEventListener("next", ({ data }) => events.push(JSON.parse(data)));
    source.addEventListener("complete", () => {
      events.push("complete");
      source.close();
    });
    return events;
  };
  const short = open("subscription { counter(to: 3) { number } }");
  await until(() => short.length === 4);
  assert.deepEqual(short, [event(1), event(2), event(3), "complete"]);

  const long = open("subscription { counter: endless(pause: 10) { number } }");
  await until(() => long.length >= 3);
  await server.restart("SIGKILL");
  const before = long.length;
  await until(() => long.length > before);
  assert.deepEqual(long[before], event(1));
});
