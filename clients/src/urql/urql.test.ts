import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type OperationResult } from "@urql/core";
import { request } from "graphql-request";
import { pipe, subscribe, type Source } from "wonka";
import "../browser.js";
import { Changes, ChangesCursor, CreateUser, DeleteUser, UpdateUser, UserByName, UserPosts, UsersPage } from "../documents.js";
import { formErrors } from "../form.js";
import type { ChangesSubscription, UserByNameQuery, UsersPageQuery } from "../gql/graphql.js";
import { startRoster } from "../servers.js";
import { until } from "../until.js";
import { connect } from "./client.js";

/** Watches a query, and keeps all different things that it shows. */
async function watch<T>(t: TestContext, results: Source<OperationResult>, show: (data: T) => unknown): Promise<unknown[]> {
  const shown: unknown[] = [];
  const { unsubscribe } = pipe(
    results,
    subscribe(({ data }) => {
      if (!data) return;
      const now = show(data as T);
      if (now !== shown.at(-1)) shown.push(now);
    }),
  );
  t.after(unsubscribe);
  await until(() => shown.length > 0);
  return shown;
}

const ada = { username: "Ada", email: "ada@example.com" };

test("urql: what a mutation answers shows wherever the object is", async (t) => {
  const client = connect((await startRoster(t)).url);
  const created = await client.mutation(CreateUser, { input: ada }).toPromise();
  const { id } = created.data!.createUser.user;
  await client.query(UserByName, { username: "ada" }).toPromise();
  const shown = await watch(t, client.query(UsersPage, { first: 10 }), ({ users }: UsersPageQuery) => users.edges[0]?.node.username);
  await client.mutation(UpdateUser, { input: { id, username: "ada.lovelace" } }).toPromise();
  await until(() => shown.length === 2);
  assert.deepEqual(shown, ["Ada", "ada.lovelace"]);
  assert.equal(client.readQuery(UserByName, { username: "ada" })?.data?.user?.username, "ada.lovelace");

  await client.mutation(DeleteUser, { input: { id } }).toPromise();
  assert.equal(client.readQuery(UserByName, { username: "ada" })?.data?.user ?? null, null);
});

test("urql: pages are joined to one list", async (t) => {
  const { url } = await startRoster(t);
  for (const username of ["ada", "bob", "cleo", "dan", "eve"]) {
    await request(url, CreateUser, { input: { username, email: `${username}@example.com`, posts: [{ title: "1" }, { title: "2" }, { title: "3" }] } });
  }
  const client = connect(url);
  const sizes: number[] = [];
  let users;
  for (let after: string | null | undefined; ; after = users.pageInfo.endCursor) {
    users = (await client.query(UsersPage, { first: 2, after }).toPromise()).data!.users;
    sizes.push(users.edges.length);
    if (!users.pageInfo.hasNextPage) break;
  }
  assert.deepEqual(sizes, [2, 4, 5]);
  assert.deepEqual(users.edges.map(({ node }) => node.username), ["ada", "bob", "cleo", "dan", "eve"]);

  const some = await client.query(UsersPage, { first: 2, where: { username: { startsWith: "c" } } }).toPromise();
  assert.deepEqual(some.data!.users.edges.map(({ node }) => node.username), ["cleo"]);

  const { id } = users.edges[0]!.node;
  const one = (await client.query(UserPosts, { id, first: 2 }).toPromise()).data?.node;
  assert.ok(one?.__typename === "User");
  const both = (await client.query(UserPosts, { id, first: 2, after: one.posts.pageInfo.endCursor }).toPromise()).data?.node;
  assert.ok(both?.__typename === "User");
  assert.deepEqual(both.posts.edges.map(({ node }) => node.title), ["3", "2", "1"]);
});

test("urql: a mutation that fails says which field of the form is at fault", async (t) => {
  const { url } = await startRoster(t);
  await request(url, CreateUser, { input: ada });
  const { error, data } = await connect(url).mutation(CreateUser, { input: { username: "ADA", email: "nowhere" } }).toPromise();
  assert.equal(data ?? null, null);
  const { fields, others } = formErrors(error!.graphQLErrors);
  assert.deepEqual(Object.entries(fields).map(([field, { code }]) => [field, code]), [["username", "TAKEN"], ["email", "INVALID"]]);
  assert.deepEqual(others, []);
});

test("urql: an optimistic update is taken back when somebody else was faster", async (t) => {
  const { url } = await startRoster(t);
  const { id } = (await request(url, CreateUser, { input: ada })).createUser.user;
  const client = connect(url);
  const shown = await watch(
    t,
    client.query(UserByName, { username: "ada" }),
    ({ user }: UserByNameQuery) => `${user?.username} <${user?.email}> ${user?.version}`,
  );
  const read = (await client.query(UserByName, { username: "ada" }).toPromise()).data!.user!;
  await request(url, UpdateUser, { input: { id, email: "countess@example.com" } });
  const { error } = await client.mutation(UpdateUser, { input: { id, username: "augusta", expectedVersion: read.version } }).toPromise();
  assert.equal(formErrors(error!.graphQLErrors).fields["expectedVersion"]?.code, "STALE_VERSION");
  await client.query(UserByName, { username: "ada" }, { requestPolicy: "network-only" }).toPromise();
  await until(() => shown.length === 4);
  assert.deepEqual(shown, [
    "Ada <ada@example.com> 1",
    "augusta <ada@example.com> 2",
    "Ada <ada@example.com> 1",
    "Ada <countess@example.com> 2",
  ]);
});

test("urql: queries go by their hash and GET, once the server knows them", async (t) => {
  const { url } = await startRoster(t);
  await request(url, CreateUser, { input: ada });
  const client = connect(url);
  const sent = t.mock.method(globalThis, "fetch");
  for (let i = 0; i < 2; i++) {
    const { data, error } = await client.query(UserByName, { username: "ada" }, { requestPolicy: "network-only" }).toPromise();
    assert.equal(error, undefined);
    assert.equal(data?.user?.username, "Ada");
  }
  const requests = sent.mock.calls.map(({ arguments: [address, options] }) => {
    const inURL = new URL(String(address)).searchParams.has("query");
    const inBody = typeof options?.body === "string" && "query" in JSON.parse(options.body);
    return `${options?.method} ${inURL || inBody ? "with the document" : "by hash"}`;
  });
  assert.deepEqual(requests, ["GET by hash", "GET with the document", "GET by hash"]);
});

test("urql: changes of others show as they happen", async (t) => {
  const { url } = await startRoster(t);
  const { id } = (await request(url, CreateUser, { input: ada })).createUser.user;
  const client = connect(url);
  const shown = await watch(t, client.query(UserByName, { username: "ada" }), ({ user }: UserByNameQuery) => user?.email);
  const after = (await client.query(ChangesCursor, {}).toPromise()).data!.changesCursor;
  const kinds = watch(t, client.subscription(Changes, { after }), ({ changes }: ChangesSubscription) => changes.kind);
  await request(url, UpdateUser, { input: { id, email: "countess@example.com" } });
  await until(() => shown.length === 2);
  assert.deepEqual(shown, ["ada@example.com", "countess@example.com"]);
  await request(url, DeleteUser, { input: { id } });
  const seen = await kinds;
  await until(() => seen.length === 2);
  assert.deepEqual(seen, ["UPDATED", "DELETED"]);
  await until(() => !client.readQuery(UserByName, { username: "ada" })?.data?.user);
});
