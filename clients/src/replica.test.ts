// The example of a copy that follows the server: both are killed again and again, and in the end the copy is the database.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { root, startReplicated, startRoster } from "./servers.js";

interface Thing {
  __typename: "User" | "Post";
  id: string;
  version: number;
}

/** Runs the example in a folder of its own, until the end of the test. */
async function example(t: TestContext, url: string) {
  const directory = await mkdtemp(join(tmpdir(), "roster-replica-"));
  const file = join(directory, "copy.json");
  let replica: ChildProcess;
  const kill = async () => {
    const ended = once(replica, "exit");
    replica.kill("SIGKILL");
    await ended;
  };
  t.after(async () => {
    await kill();
    await rm(directory, { recursive: true });
  });
  return {
    follow: () => (replica = spawn(process.execPath, [join(root, "examples/replica/replica.js"), url, file], { stdio: "ignore" })),
    kill,
    copied: async () => JSON.parse(await readFile(file, "utf8")).things as Record<string, Thing>,
  };
}

/** Returns a function that sends an operation. */
function sender(url: string) {
  return async (query: string): Promise<Record<string, any>> => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json" },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await response.json()) as { data: Record<string, any>; errors?: unknown };
    assert.equal(errors, undefined);
    return data;
  };
}

/** Reads everything, page by page. */
async function readAll(send: ReturnType<typeof sender>): Promise<Record<string, Thing>> {
  const things: Record<string, Thing> = {};
  for (const [name, fields] of [["users", "id version username email"], ["posts", "id version title body author { id }"]]) {
    for (let after = "null", more = true; more; ) {
      const data = await send(`{ ${name}(first: 100, after: ${after}) { nodes { __typename ${fields} } pageInfo { hasNextPage endCursor } } }`);
      const page = data[name!];
      for (const thing of page.nodes) things[thing.id] = thing;
      more = page.pageInfo.hasNextPage;
      after = JSON.stringify(page.pageInfo.endCursor);
    }
  }
  return things;
}

/** Waits until a copy is equal to what was read. */
async function becomes(copied: () => Promise<Record<string, Thing>>, things: Record<string, Thing>) {
  const deadline = Date.now() + 30_000;
  for (let same = false; !same; await pause(50)) {
    try {
      assert.deepEqual(await copied(), things);
      same = true;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

test("a copy stays in step through restarts", async (t) => {
  const server = await startRoster(t);
  const { follow, kill, copied } = await example(t, server.url);
  const send = sender(server.url);
  let made = 0;
  /** Changes something of every kind. */
  const write = async () => {
    const n = ++made;
    const { createUser } = await send(`mutation {
      createUser(input: {username: "user${n}", email: "user${n}@example.com", posts: [{title: "One"}, {title: "Two"}]}) {
        user { id posts { nodes { id } } }
      }
    }`);
    const { id, posts } = createUser["user"];
    await send(`mutation { updateUser(input: {id: "${id}", username: "renamed${n}"}) { user { id } } }`);
    await send(`mutation { updatePost(input: {id: "${posts.nodes[0].id}", title: "Changed"}) { post { id } } }`);
    await send(`mutation { deletePost(input: {id: "${posts.nodes[1].id}"}) { deletedId } }`);
    if (n % 3 === 0) await send(`mutation { deleteUser(input: {id: "${id}", dependents: CASCADE}) { deletedId } }`);
  };

  for (let i = 0; i < 70; i++) await write(); // more than a page of things
  follow();
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 5; i++) await write();
    if (round % 2 === 0) {
      await kill();
      for (let i = 0; i < 5; i++) await write();
      follow();
    } else {
      await server.restart("SIGKILL");
    }
  }
  await write();

  const things = await readAll(send);
  assert.ok(Object.keys(things).length > 100);
  await becomes(copied, things);
});

test("a copy from a server with a replica that is behind misses nothing", async (t) => {
  const server = await startReplicated(t);
  const { follow, copied } = await example(t, server.url);
  const send = sender(server.url);
  const create = (from: number, to: number) => {
    const users = Array.from({ length: to - from }, (_, i) => `u${from + i}: createUser(input: {username: "user${from + i}", email: "user${from + i}@example.com"}) { user { id } }`);
    return send(`mutation { ${users.join(" ")} }`);
  };
  await create(0, 50);
  await server.hold();
  await create(50, 150); // more than a page
  await send("{ changes(first: 1) { caughtUp } }"); // gives the changes their numbers: they are before the cursor of the copy
  for (const deadline = Date.now() + 30_000; (await send("{ users { totalCount } }"))["users"].totalCount !== 50; await pause(50)) {
    assert.ok(Date.now() < deadline, "the replica answers no query");
  }
  follow();
  const things = await readAll(async (query) => send(query.replace("{", "{ changesCursor "))); // on the primary
  assert.equal(Object.keys(things).length, 150);
  await becomes(copied, things);
});
