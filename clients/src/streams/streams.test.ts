// The clients of both transports of subscriptions, when all is well and when the server goes away. The subscriptions are
// those of the test schema, until the contract has its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import "../browser.js";
import { startTestServer, type Server } from "../servers.js";
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

/** Ends a server as a crash or an update does, and starts another one in its place. */
const restarts = (["SIGKILL", "SIGTERM"] as const).map((signal) => ({
  signal,
  async restart(t: Parameters<typeof startTestServer>[0], server: Server): Promise<void> {
    await server.kill(signal);
    await startTestServer(t, server.address);
  },
}));

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

for (const { signal, restart } of restarts) {
  test(`graphql-ws: connects again by itself after ${signal}`, async (t) => {
    const server = await startTestServer(t);
    const client = ws.createClient({ url: server.webSocketURL, shouldRetry: () => true, ...retries });
    t.after(() => client.dispose());
    const numbers: number[] = [];
    for await (const { data } of client.iterate<Tick>({ query: "subscription { counter: endless(pause: 1) { number } }" })) {
      numbers.push(data!.counter.number);
      if (numbers.length === 3) await restart(t, server);
      // It repeats the subscription, which begins again.
      if (numbers.length > 3 && numbers.lastIndexOf(1) > 0) break;
    }
    assert.deepEqual(numbers.slice(0, 3), [1, 2, 3]);
  });

  test(`graphql-ws: goes on where it was after ${signal}`, async (t) => {
    const server = await startTestServer(t);
    const client = ws.createClient({ url: server.webSocketURL, retryAttempts: 0 });
    t.after(() => client.dispose());
    const numbers: number[] = [];
    for await (const { counter: { number } } of follow<Tick>(client, (last) => counter((last?.counter.number ?? 0) + 1, 9, 1))) {
      numbers.push(number);
      if (number === 3) await restart(t, server);
    }
    assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test(`graphql-sse: connects again by itself after ${signal}`, async (t) => {
    const server = await startTestServer(t);
    const client = sse.createClient({ url: server.url, retryAttempts: 1000, retry: retries.retryWait });
    t.after(() => client.dispose());
    const numbers: number[] = [];
    for await (const { data } of client.iterate<Tick>({ query: "subscription { counter: endless(pause: 1) { number } }" })) {
      numbers.push(data!.counter.number);
      if (numbers.length === 3) await restart(t, server);
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
  await server.kill();
  const before = long.length;
  await startTestServer(t, server.address);
  await until(() => long.length > before);
  assert.deepEqual(long[before], event(1));
});
