import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "graphql-request";
import { Suspense } from "react";
import { RelayEnvironmentProvider } from "react-relay";
import { create } from "react-test-renderer";
import "../browser.js";
import { ChangesCursor, CreateUser, DeleteUser, UpdateUser } from "../documents.js";
import { startRoster } from "../servers.js";
import { until } from "../until.js";
import { createEnvironment } from "./environment.js";
import { followChanges } from "./followChanges.js";
import { renameUser } from "./renameUser.js";
import { UserList } from "./UserList.js";

// Relay keeps for minutes what nobody shows any more, by timers that the end of the tests need not wait for.
const { setTimeout } = globalThis;
Object.assign(globalThis, { setTimeout: (...args: Parameters<typeof setTimeout>) => setTimeout(...args).unref() });

test("Relay: a list by pages, an optimistic change, one that is taken back, and changes of others", async (t) => {
  const { url } = await startRoster(t);
  const users: { id: string; username: string; version: number }[] = [];
  for (const username of ["ada", "bob", "cleo", "dan", "eve"]) {
    users.push((await request(url, CreateUser, { input: { username, email: `${username}@example.com` } })).createUser.user);
  }
  const environment = createEnvironment(url);
  const sent = t.mock.method(globalThis, "fetch");
  const view = create(
    <RelayEnvironmentProvider environment={environment}>
      <Suspense fallback="Loading">
        <UserList first={2} />
      </Suspense>
    </RelayEnvironmentProvider>,
  );
  t.after(() => view.unmount());
  const names = () => (view.toJSON() ? view.root.findAllByType("li").map(({ children }) => children[0]) : []);
  const shows = (...expected: string[]) => until(() => names().join() === expected.join());
  const more = () => view.root.findAllByType("button")[0];
  const click = () => (more()?.props as { onClick(): void }).onClick();

  await shows("ada", "bob");
  click();
  await shows("ada", "bob", "cleo", "dan");
  click();
  await shows("ada", "bob", "cleo", "dan", "eve");
  assert.equal(more(), undefined, "there is a button for more after the last page");
  // The first page has one document, and the others another one, which is sent once.
  const bodies = sent.mock.calls.map(({ arguments: [, options] }) => JSON.parse(String(options?.body)) as object);
  assert.deepEqual(bodies.map((body) => "query" in body), [false, true, false, true, false]);

  let form = renameUser(environment, users[0]!, "ada.lovelace");
  await shows("ada.lovelace", "bob", "cleo", "dan", "eve");
  assert.equal(await form, undefined);

  await request(url, UpdateUser, { input: { id: users[1]!.id, email: "robert@example.com" } });
  form = renameUser(environment, users[1]!, "robert");
  await shows("ada.lovelace", "robert", "cleo", "dan", "eve");
  assert.equal((await form)?.fields["expectedVersion"]?.code, "STALE_VERSION");
  await shows("ada.lovelace", "bob", "cleo", "dan", "eve");

  const kinds: string[] = [];
  const { changesCursor } = await request(url, ChangesCursor);
  t.after(followChanges(environment, changesCursor, ({ kind }) => kinds.push(kind)));
  await request(url, UpdateUser, { input: { id: users[2]!.id, username: "cleopatra" } });
  await shows("ada.lovelace", "bob", "cleopatra", "dan", "eve");
  await request(url, DeleteUser, { input: { id: users[3]!.id } });
  await shows("ada.lovelace", "bob", "cleopatra", "eve");
  assert.deepEqual(kinds, ["UPDATED", "DELETED"]);
});
