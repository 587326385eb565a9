// Whether real documents come near the limits of the server: those of these tests, of the playground, and introspection.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { getIntrospectionQuery, Kind, Lexer, parse, Source, TokenKind, visit, type SelectionNode } from "graphql";
import { request } from "graphql-request";
import { ChangesCursor, CreateUser } from "./documents.js";
import { preparedOperations } from "./playground/prepared.js";
import { root, startRoster, type Server } from "./servers.js";

// The shares of the defaults that real documents stay within: a tenth. A connection alone takes three levels of
// selection sets, and an input of a mutation three lists and objects, of 25 and 30. A search may have two conditions that no
// index serves.
const share = (limit: string) => ({ "max-depth": 2, "max-input-depth": 5, "max-cost": 8 })[limit] ?? 10;

const id = "user_00000000000000000000000000";
const variables: Record<string, object> = {
  UsersPage: { first: 100, where: { username: { startsWith: "a" } } },
  UserByName: { username: "ada" },
  UserPosts: { id, first: 100 },
  CreateUser: { input: { username: "ada", email: "ada@example.com", posts: Array.from({ length: 100 }, () => ({ title: "Notes" })) } },
  UpdateUser: { input: { id, username: "ada", expectedVersion: 1 } },
  DeleteUser: { input: { id } },
  CreatePost: { input: { authorId: id, title: "Notes" } },
  ChangesCursor: {},
  UserListQuery: { first: 100 },
  UserListPageQuery: { first: 100 },
  renameUserMutation: { input: { id, username: "ada", expectedVersion: 1 } },
};

interface Sent {
  name: string;
  query: string;
  variables: object;
}

async function persisted(path: string): Promise<Sent[]> {
  const documents = JSON.parse(await readFile(join(root, "clients/src", path), "utf8")) as Record<string, string>;
  return Object.values(documents).map((query) => {
    const name = /(?:query|mutation|subscription) (\w+)/.exec(query)?.[1] ?? "";
    assert.ok(variables[name], `${name} has no variables in this test`);
    return { name, query, variables: variables[name] };
  });
}

async function documents(): Promise<Sent[]> {
  const prepared = await preparedOperations();
  return [
    ...(await persisted("gql/persisted-documents.json")),
    ...(await persisted("relay/__generated__/persisted-documents.json")),
    ...prepared.map(({ query, variables = "{}" }) => ({
      name: `playground: ${/(?:query|mutation|subscription) (\w+)/.exec(query)?.[1]}`,
      query,
      variables: JSON.parse(variables) as object,
    })),
  ];
}

/** The limits of the server, by the names of their flags, as its help gives them. */
function defaults(): Map<string, number> {
  const help = execFileSync(join(root, "bin/roster"), ["serve", "--help"], { encoding: "utf8" });
  const graphql = /--(max-(?:body-bytes|document-bytes|tokens|depth|fields|expanded|repeats|aliases|directives|variables|mutation-fields|input-\w+|cost))=[\s\S]*?Default:\s+(\d+)\./g;
  return new Map(Array.from(help.matchAll(graphql), ([, name, value]) => [name!, Number(value)]));
}

/** What can be counted here; the server counts the rest. */
function measure(query: string) {
  const found = { "document-bytes": query.length, tokens: 0, depth: 0, fields: 0, aliases: 0, directives: 0, variables: 0 };
  const lexer = new Lexer(new Source(query));
  while (lexer.advance().kind !== TokenKind.EOF) found.tokens++;
  const document = parse(query);
  visit(document, {
    Field: (field) => void (found.fields++, (found.aliases += field.alias ? 1 : 0)),
    Directive: () => void found.directives++,
    VariableDefinition: () => void found.variables++,
  });
  const depth = (selections: readonly SelectionNode[]): number =>
    Math.max(...selections.map((one) => {
      if (one.kind === Kind.FIELD) return one.selectionSet ? 1 + depth(one.selectionSet.selections) : 0;
      if (one.kind === Kind.INLINE_FRAGMENT) return depth(one.selectionSet.selections);
      const fragment = document.definitions.find((d) => d.kind === Kind.FRAGMENT_DEFINITION && d.name.value === one.name.value);
      return fragment?.kind === Kind.FRAGMENT_DEFINITION ? depth(fragment.selectionSet.selections) : 0;
    }));
  for (const one of document.definitions) {
    if (one.kind === Kind.OPERATION_DEFINITION) found.depth = Math.max(found.depth, 1 + depth(one.selectionSet.selections));
  }
  return found;
}

async function firstEvent(response: Response): Promise<string> {
  let text = "";
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    text += part;
    const event = /^data: (.*)\n\n/m.exec(text)?.[1];
    if (event) return event;
  }
  throw new Error(`no event in ${text}`);
}

/** Makes changes until an event says one: a subscription begins when the server has come to it, and tells of what comes then. */
async function stirred(server: Server, event: Promise<string>): Promise<string> {
  let waiting = true;
  const done = event.finally(() => (waiting = false));
  while (waiting) {
    const username = `stir${process.hrtime.bigint()}`;
    await request(server.url, CreateUser, { input: { username, email: `${username}@example.com` } });
  }
  return done;
}

async function costOf(server: Server, { name, ...body }: Sent): Promise<number> {
  const subscription = body.query.includes("subscription ");
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: subscription ? "text/event-stream" : "application/json" },
    body: JSON.stringify({ ...body, extensions: { cost: true } }),
  });
  const text = subscription ? await stirred(server, firstEvent(response)) : await response.text();
  const { errors = [], extensions } = JSON.parse(text) as {
    errors?: { message: string; extensions: { code: string } }[];
    extensions?: { cost?: { cost: number } };
  };
  // A document that is fine may name what is not there.
  const refusals = errors.filter(({ extensions: { code } }) => !["NOT_FOUND", "TAKEN"].includes(code));
  assert.deepEqual(refusals, [], name);
  assert.ok(extensions?.cost, `${name}: no cost in the answer`);
  return extensions.cost.cost;
}

test("what clients send stays far below the limits", async (t) => {
  const limits = defaults();
  assert.equal(limits.size, 15, `found ${[...limits.keys()].join()}`);
  const lower = [...limits].map(([name, limit]) => `--${name}=${Math.floor(limit / share(name))}`);
  const server = await startRoster(t, ...lower);

  const { changesCursor } = await request(server.url, ChangesCursor);
  variables["Changes"] = variables["followChangesSubscription"] = { after: changesCursor };

  const greatest = new Map<string, { value: number; name: string }>();
  for (const sent of await documents()) {
    const found = { ...measure(sent.query), cost: await costOf(server, sent) };
    for (const [what, value] of Object.entries(found)) {
      if (value >= (greatest.get(what)?.value ?? 0)) greatest.set(what, { value, name: sent.name });
    }
  }
  for (const [what, { value, name }] of greatest) {
    console.log(`${what}: ${value} of ${limits.get(`max-${what}`)} (${value ? name : "none"})`);
  }

  // Tools send this one, and no client: it is deep, and lists the whole schema. The defaults have to let it through.
  const introspection = { name: "introspection", query: getIntrospectionQuery({ oneOf: true, specifiedByUrl: true }), variables: {} };
  const cost = await costOf(await startRoster(t), introspection);
  console.log(`introspection: ${JSON.stringify({ ...measure(introspection.query), cost })}`);
});
