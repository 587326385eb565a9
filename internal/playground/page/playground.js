"use strict";

// Prepared operations, a tab each: they run as they are, in any order.
const tabs = [
  {
    query: `# A page of users, each with its first posts. Ctrl-Enter runs it.
query Users {
  users(first: 10, orderBy: [{ field: CREATED_AT, direction: DESC }]) {
    totalCount
    nodes {
      id
      username
      email
      createdAt
      version
      posts(first: 3) {
        totalCount
        nodes { title }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
  {
    query: `# A new user with a post. Run it twice to see how a taken name is reported.
mutation CreateUser($input: CreateUserInput!) {
  createUser(input: $input) {
    user {
      id
      username
      version
      posts { nodes { id title } }
    }
  }
}
`,
    variables: JSON.stringify(
      { input: { username: "ada", email: "ada@example.com", posts: [{ title: "Hello", body: "A first post." }] } }, null, 2),
  },
  {
    query: `# One user, by name in any case, by address or by ID; null when there is none.
query UserByName($username: String!) {
  user(by: { username: $username }) {
    id
    username
    email
    updatedAt
    version
  }
}
`,
    variables: JSON.stringify({ username: "ADA" }, null, 2),
  },
  {
    query: `# Filters and orders combine; text is compared in any case.
query Search {
  users(where: { hasPosts: true, username: { startsWith: "A" } }, orderBy: [{ field: USERNAME }]) {
    totalCount
    nodes { username }
  }
  posts(where: { title: { contains: "hello" } }) {
    nodes { title author { username } }
  }
}
`,
  },
  {
    query: `# Every change as it happens: run this, then a mutation in another tab or window.
subscription Changes {
  changes {
    at
    type
    kind
    version
    changedFields
    nodeId
    node {
      ... on User { username email }
      ... on Post { title author { username } }
    }
    cursor
  }
}
`,
  },
];

// Relative to the page, which may be below the prefix of a proxy.
const endpoint = "./graphql";

const headers = { "Content-Type": "application/json" };

// What the page says about a request that is refused as a whole, by the code of its error.
const refusals = {
  UNAUTHENTICATED: (message) => `The server needs a valid token (${message}). Put it into ${headersPane} Then run the operation.`,
  FORBIDDEN: (message) => `The server refuses this (${message}). If another caller may do it, put the token of that caller into ${headersPane}`,
};
const headersPane = '"Headers", the pane below the operation: {"Authorization": "Bearer TOKEN"}.';

const root = document.getElementById("graphiql");
const note = document.getElementById("refused");
const page = window.GraphiQL && window.React && window.ReactDOM && ReactDOM.createRoot(root);
let schemaRefused = false;

// isIntrospection tells whether GraphiQL reads the schema.
const isIntrospection = (params) => params.operationName === "IntrospectionQuery";

// explain shows above GraphiQL why the server refuses a request as a whole, until it answers another request. GraphiQL
// reads the schema only when it starts and when its fetcher changes. So after the first answer to a good token, it gets
// another fetcher.
function explain(params, answer) {
  const { message, extensions } = (!answer.data && answer.errors?.[0]) || {};
  const refused = refusals[extensions?.code];
  note.hidden = !refused;
  note.textContent = refused ? refused(message) : "";
  if (isIntrospection(params)) {
    schemaRefused = Boolean(refused);
  } else if (schemaRefused && !refused) {
    schemaRefused = false;
    render();
  }
  return answer;
}

// storedHeaders returns the headers that GraphiQL has stored. GraphiQL reads the schema before it shows them.
function storedHeaders() {
  try {
    return JSON.parse(localStorage.getItem("graphiql:headers"));
  } catch {
    return undefined; // it was not valid JSON
  }
}

// The choice to see the SQL of operations, and where it is shown.
const choices = { sql: document.getElementById("sql"), plans: document.getElementById("plans") };
const totals = document.getElementById("totals");
const statements = document.getElementById("statements");

// stored returns a choice that the storage of the browser has.
function stored(name) {
  try {
    return localStorage.getItem(`roster:${name}`) === "true";
  } catch {
    return false; // there is no storage
  }
}

for (const [name, box] of Object.entries(choices)) {
  box.checked = stored(name);
  box.onchange = () => {
    localStorage.setItem(`roster:${name}`, String(box.checked));
    if (!choices.sql.checked) showProfile(undefined);
  };
}

// profileHeaders returns the header that asks for the SQL of an operation, if it is to be seen.
function profileHeaders(params) {
  if (!choices.sql.checked || isIntrospection(params)) return {};
  return { "X-Roster-Profile": choices.plans.checked ? "explain" : "1" };
}

// cell returns a cell of a table with a text or an element.
function cell(content, kind = "td") {
  const element = document.createElement(kind);
  element.append(...[content].flat());
  if (typeof content === "string" && kind === "td" && content !== "" && !Number.isNaN(Number(content))) element.className = "number";
  return element;
}

// withText returns an element with a text.
function withText(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

// showProfile shows the statements of an operation, or nothing.
function showProfile(profile) {
  statements.replaceChildren();
  totals.textContent = "";
  if (!profile) return;
  const { statements: sent, databaseTimeMs, timeMs, way, retries, cost } = profile.totals;
  totals.textContent = `${sent} statements, ${databaseTimeMs} ms in the database, ${timeMs} ms in all, by ${way}, cost ${cost}` +
    (retries ? `, ${retries} retries` : "") + (profile.omitted ? `, ${profile.omitted} not listed` : "");
  if (profile.statements.length === 0) return;
  const table = document.createElement("table");
  const head = document.createElement("tr");
  head.append(...["Fields", "Rows", "Time (ms)", "Statement"].map((title) => cell(title, "th")));
  table.append(head);
  for (const { text, fields, rows, timeMs, failed, plan } of profile.statements) {
    const row = document.createElement("tr");
    const shown = [withText("code", text)];
    if (failed) shown.push(" (failed)");
    if (plan) shown.push(withText("pre", plan));
    row.append(cell(fields.join(", ")), cell(String(rows)), cell(String(timeMs)), cell(shown));
    table.append(row);
  }
  statements.append(table);
}

// takeProfile shows the profile in an answer, and returns the answer without it.
function takeProfile(params, answer) {
  if (isIntrospection(params)) return answer;
  const { profile, ...extensions } = answer.extensions ?? {};
  showProfile(profile);
  if (!profile) return answer;
  const { extensions: _, ...rest } = answer;
  return Object.keys(extensions).length > 0 ? { ...rest, extensions } : rest;
}

// request sends one operation and returns its answer.
async function request(params, extra) {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { ...headers, ...profileHeaders(params), ...extra, Accept: "application/graphql-response+json, application/json;q=0.9" },
    body: JSON.stringify(params),
  });
  return takeProfile(params, explain(params, await response.json()));
}

// events subscribes by server-sent events and yields each answer.
async function* events(params, extra) {
  const abort = new AbortController();
  try {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { ...headers, ...extra, Accept: "text/event-stream" },
      body: JSON.stringify(params),
      signal: abort.signal,
    });
    if (!(response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      yield explain(params, await response.json());
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const messages = (text + value).split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const lines = message.split("\n");
        const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim();
        const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
        if (name === "complete") return;
        if (name === "next") yield explain(params, JSON.parse(data));
      }
    }
  } finally {
    abort.abort();
  }
}

// isSubscription tells whether the operation that is run is a subscription.
function isSubscription(params, options) {
  const operations = (options?.documentAST?.definitions ?? []).filter((d) => d.kind === "OperationDefinition");
  const operation = params.operationName
    ? operations.find((d) => d.name?.value === params.operationName)
    : operations[0];
  return operation?.operation === "subscription";
}

// render shows GraphiQL with a new fetcher. GraphiQL keeps the headers in the storage of the browser.
function render() {
  const fetcher = (params, options) => {
    const extra = options?.headers ?? (isIntrospection(params) ? storedHeaders() : undefined);
    return isSubscription(params, options) ? events(params, extra) : request(params, extra);
  };
  page.render(React.createElement(GraphiQL, {
    fetcher, defaultTabs: tabs, defaultEditorToolsVisibility: "variables", shouldPersistHeaders: true,
  }));
}

if (page) {
  render();
} else {
  root.textContent = `GraphiQL could not be loaded. The endpoint is ${new URL(endpoint, document.baseURI)}; any GraphQL client works with it.`;
}
