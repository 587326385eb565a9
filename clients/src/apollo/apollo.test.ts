import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CombinedGraphQLErrors, type ObservableQuery, type OperationVariables } from "@apollo/client";
import { request } from "graphql-request";
import "../browser.js";
import { Changes, ChangesCursor, CreatePost, CreateUser, DeleteUser, UpdateUser, UserByName, UserPosts, UsersPage } from "../documents.js";
import { formErrors } from "../form.js";
import type { UserByNameQuery, UserPostsQuery, UsersPageQuery } from "../gql/graphql.js";
import { startRoster } from "../servers.js";
import { until } from "../until.js";
import { connect } from "./client.js";

/** Watches a query, and keeps all different things that it shows. */
async function watch<T, V extends OperationVariables>(t: TestContext, query: ObservableQuery<T, V>, show: (data: T) => string): Promise<string[]> {
  const shown: string[] = [];
  const subscription = query.subscribe(({ data, dataState }) => {
    if (dataState !== "complete") return;
    const now = show(data as T);
    if (now !== shown.at(-1)) shown.push(now);
  });
  t.after(() => subscription.unsubscribe());
  await until(() => shown.length > 0);
  return shown;
}

const names = ({ users }: UsersPageQuery) => users.edges.map(({ node }) => node.username).join(" ");
const titles = ({ node }: UserPostsQuery) => (node?.__typename === "User" ? node.posts.edges.map((edge) => edge.node.title).join(" ") : "nobody");
const version = ({ user }: UserByNameQuery) => `${user?.username} <${user?.email}> ${user?.version}`;

const ada = { username: "Ada", email: "ada@example.com" };

test("Apollo: what a mutation answers shows wherever the object is", async (t) => {
  const client = connect((await startRoster(t)).url);
  const created = await client.mutate({ mutation: CreateUser, variables: { input: ada } });
  const user = created.data!.createUser.user;
  const found = await client.query({ query: UserByName, variables: { username: "ADA" } });
  assert.deepEqual(found.data?.user, user);

  const shown = await watch(t, client.watchQuery({ query: UsersPage, variables: { first: 10 } }), names);
  await client.mutate({ mutation: UpdateUser, variables: { input: { id: user.id, username: "ada.lovelace" } } });
  await until(() => shown.length === 2);

  await client.mutate({
    mutation: DeleteUser,
    variables: { input: { id: user.id } },
    update(cache, { data }) {
      cache.evict({ id: cache.identify({ __typename: "User", id: data!.deleteUser.deletedId })! });
    },
  });
  await until(() => shown.length === 3);
  assert.deepEqual(shown, ["Ada", "ada.lovelace", ""]);
});

test("Apollo: pages are joined to one list", async (t) => {
  const { url } = await startRoster(t);
  for (const username of ["ada", "bob", "cleo", "dan", "eve"]) {
    await request(url, CreateUser, { input: { username, email: `${username}@example.com`, posts: [{ title: "1" }, { title: "2" }, { title: "3" }] } });
  }
  const client = connect(url);

  const list = client.watchQuery({ query: UsersPage, variables: { first: 2 } });
  const shown = await watch(t, list, names);
  for (let pages = 1; ; pages++) {
    await until(() => shown.length === pages);
    const { pageInfo } = client.readQuery({ query: UsersPage, variables: { first: 2 } })!.users;
    if (!pageInfo.hasNextPage) break;
    await list.fetchMore({ variables: { after: pageInfo.endCursor } });
  }
  assert.deepEqual(shown, ["ada bob", "ada bob cleo dan", "ada bob cleo dan eve"]);
  const { users } = client.readQuery({ query: UsersPage, variables: { first: 2 } })!;
  assert.equal(users.totalCount, 5);
  assert.equal(users.pageInfo.hasNextPage, false);

  // Another filter is another list.
  const some = await client.query({ query: UsersPage, variables: { first: 2, where: { username: { startsWith: "c" } } } });
  assert.equal(names(some.data!), "cleo");

  const id = users.edges[0]!.node.id;
  const posts = client.watchQuery({ query: UserPosts, variables: { id, first: 2 } });
  const shownPosts = await watch(t, posts, titles);
  const first = client.readQuery({ query: UserPosts, variables: { id, first: 2 } })?.node;
  assert.ok(first?.__typename === "User");
  await posts.fetchMore({ variables: { after: first.posts.pageInfo.endCursor } });
  await until(() => shownPosts.length === 2);
  assert.deepEqual(shownPosts, ["3 2", "3 2 1"]);
});

test("Apollo: a mutation that fails says which field of the form is at fault", async (t) => {
  const { url } = await startRoster(t);
  await request(url, CreateUser, { input: ada });
  const failed = connect(url).mutate({
    mutation: CreateUser,
    variables: { input: { username: "ADA", email: "nowhere", posts: [{ title: "Fine" }, { title: " " }] } },
  });
  await assert.rejects(failed, (error) => {
    assert.ok(CombinedGraphQLErrors.is(error));
    const { fields, others } = formErrors(error.errors);
    const codes = Object.entries(fields).map(([field, { code }]) => [field, code]);
    assert.deepEqual(Object.fromEntries(codes), { username: "TAKEN", email: "INVALID", "posts.1.title": "BLANK" });
    assert.deepEqual(others, []);
    return true;
  });
});

test("Apollo: an optimistic update is taken back when somebody else was faster", async (t) => {
  const { url } = await startRoster(t);
  const user = (await request(url, CreateUser, { input: ada })).createUser.user;
  const client = connect(url);
  const query = client.watchQuery({ query: UserByName, variables: { username: "ada" } });
  const shown = await watch(t, query, version);
  const read = client.readQuery({ query: UserByName, variables: { username: "ada" } })!.user!;
  await request(url, UpdateUser, { input: { id: user.id, email: "countess@example.com" } });

  const failed = client.mutate({
    mutation: UpdateUser,
    variables: { input: { id: user.id, username: "augusta", expectedVersion: read.version } },
    optimisticResponse: {
      __typename: "Mutation",
      updateUser: { __typename: "UpdateUserPayload", user: { ...read, username: "augusta", version: read.version + 1 } },
    },
  });
  await assert.rejects(failed, (error) => {
    assert.ok(CombinedGraphQLErrors.is(error));
    assert.equal(formErrors(error.errors).fields["expectedVersion"]?.code, "STALE_VERSION");
    return true;
  });
  await query.refetch();
  await until(() => shown.length === 4);
  assert.deepEqual(shown, [
    "Ada <ada@example.com> 1",
    "augusta <ada@example.com> 2",
    "Ada <ada@example.com> 1",
    "Ada <countess@example.com> 2",
  ]);
});

test("Apollo: queries go by their hash and GET, once the server knows them", async (t) => {
  const { url } = await startRoster(t);
  const user = (await request(url, CreateUser, { input: ada })).createUser.user;
  const client = connect(url);
  const sent = t.mock.method(globalThis, "fetch");
  for (let i = 0; i < 2; i++) {
    const { data } = await client.query({ query: UserByName, variables: { username: "ada" }, fetchPolicy: "network-only" });
    assert.equal(data?.user?.id, user.id);
  }
  await client.mutate({ mutation: CreatePost, variables: { input: { authorId: user.id, title: "Notes" } } });
  const requests = sent.mock.calls.map(({ arguments: [address, options] }) => {
    const inURL = new URL(String(address)).searchParams.has("query");
    const inBody = typeof options?.body === "string" && "query" in JSON.parse(options.body);
    return `${options?.method} ${inURL || inBody ? "with the document" : "by hash"}`;
  });
  assert.deepEqual(requests, ["GET by hash", "POST with the document", "GET by hash", "POST by hash", "POST with the document"]);
});

test("Apollo: changes of others show as they happen", async (t) => {
  const { url } = await startRoster(t);
  const { id } = (await request(url, CreateUser, { input: ada })).createUser.user;
  const client = connect(url);
  const shown = await watch(t, client.watchQuery({ query: UserByName, variables: { username: "ada" } }), version);
  const { changesCursor } = (await client.query({ query: ChangesCursor })).data!;
  const changes = client.subscribe({ query: Changes, variables: { after: changesCursor } }).subscribe(({ data, error }) => {
    assert.equal(error, undefined);
    if (data?.changes.kind === "DELETED") client.cache.evict({ id: client.cache.identify({ __typename: "User", id: data.changes.nodeId })! });
  });
  t.after(() => changes.unsubscribe());
  await request(url, UpdateUser, { input: { id, email: "countess@example.com" } });
  await until(() => shown.length === 2);
  assert.deepEqual(shown, ["Ada <ada@example.com> 1", "Ada <countess@example.com> 2"]);

  await request(url, DeleteUser, { input: { id } });
  await until(() => !(`User:${id}` in (client.cache.extract() as object)));
});
