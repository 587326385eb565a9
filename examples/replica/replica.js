// Keeps a copy of all users and posts of a server in a JSON file:
//
//   node replica.js http://127.0.0.1:8080/graphql copy.json
//
// You can stop the program and the server at any time. The file has the data and the cursor. The program continues from there.
import { readFile, rename, writeFile } from "node:fs/promises";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, file] = process.argv.slice(2);
if (!file) {
  console.error("usage: node replica.js URL FILE");
  process.exit(2);
}

const user = "id version username email";
const post = "id version title body author { id }";

/** The cursor of the last change, and the entities after this change, by their IDs. */
let copy = await readFile(file, "utf8").then(JSON.parse, () => undefined);

/** Sends a query. With the token of an earlier answer, whichever server answers has what that answer was about. */
async function query(text, variables, token) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json",
      ...(token && { "Roster-Consistency": token }),
    },
    body: JSON.stringify({ query: text, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw Object.assign(new Error(errors[0].message), { code: errors[0].extensions.code });
  return { data, token: response.headers.get("Roster-Consistency") };
}

/**
 * Takes a copy. One operation reads the cursor and the first pages. Its answer has a token: with it, the other pages have all
 * changes before the cursor, also from a server that is behind. If an entity changes while the other pages are read, its change
 * comes from the feed later. A change that is in the copy already has no effect.
 */
async function takeCopy() {
  const things = {};
  const pages = { users: user, posts: post };
  let cursor, token;
  for (let after = {}; Object.keys(pages).length > 0; ) {
    const fields = Object.entries(pages).map(
      ([name, of]) => `${name}(first: 100, after: $${name}) { nodes { __typename ${of} } pageInfo { hasNextPage endCursor } }`);
    const parameters = Object.keys(pages).map((name) => `$${name}: String`);
    const first = cursor ? "" : "changesCursor";
    const answer = await query(`query (${parameters}) { ${first} ${fields.join(" ")} }`, after, token);
    const { data } = answer;
    if (first) ({ data: { changesCursor: cursor }, token } = answer);
    for (const name of Object.keys(pages)) {
      for (const thing of data[name].nodes) things[thing.id] = thing;
      after[name] = data[name].pageInfo.endCursor;
      if (!data[name].pageInfo.hasNextPage) {
        delete pages[name];
        delete after[name];
      }
    }
  }
  copy = { cursor, things };
  await save();
}

/** Applies a change to the copy. Applying it twice has the same effect as once. */
function apply({ cursor, kind, nodeId, node }) {
  if (kind === "DELETED") delete copy.things[nodeId];
  // If the node is null, the entity is deleted, and a later change says so.
  else if (node && !(copy.things[nodeId]?.version > node.version)) copy.things[nodeId] = node;
  copy.cursor = cursor;
}

/** Writes data and cursor together. After a kill, the file is complete: this copy or the one before. */
async function save() {
  await writeFile(`${file}.new`, JSON.stringify(copy, null, 2));
  await rename(`${file}.new`, file);
}

const changes = `subscription ($after: String!) {
  changes(after: $after) { cursor kind nodeId node { __typename ... on User { ${user} } ... on Post { ${post} } } }
}`;

// No retries: the client would subscribe again with the first cursor.
const client = createClient({ url: url.replace(/^http/, "ws"), webSocketImpl: WebSocket, retryAttempts: 0 });

/** Saves the copy. If changes come while the file is written, one more save has all of them. */
let unsaved = false;
let saving = false;
async function saveSoon() {
  unsaved = true;
  if (saving) return;
  saving = true;
  while (unsaved) {
    unsaved = false;
    await save();
  }
  saving = false;
}

for (;;) {
  try {
    if (!copy) await takeCopy();
    for await (const { data, errors } of client.iterate({ query: changes, variables: { after: copy.cursor } })) {
      if (errors) throw Object.assign(new Error(errors[0].message), { code: errors[0].extensions.code });
      apply(data.changes);
      void saveSoon(); // an error of writing ends the program
    }
  } catch (error) {
    const code = error.code ?? error[0]?.extensions?.code;
    if (code === "CURSOR_EXPIRED" || code === "CURSOR_INVALID") copy = undefined;
    console.error(`again in a moment: ${code ?? error}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 100 + 400 * Math.random()));
}
