const $ = (id) => document.getElementById(id);

const show = (element, value) => {
  element.textContent = typeof value === "string" ? value : JSON.stringify(value, null, 2);
};

async function execute(query, variables) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json" },
    body: JSON.stringify({ query, variables }),
  });
  return { status: `${response.status} ${response.statusText}`, body: await response.json() };
}

// The prepared operations run as they are: those about one user take the first one there is.
const newName = () => "ada-" + crypto.getRandomValues(new Uint32Array(1))[0].toString(36);

async function anyUser() {
  const { body } = await execute("{ users(first: 1) { nodes { id username version } } }");
  return body.data?.users.nodes[0] ?? { id: "create a user first", username: "create-a-user-first", version: 1 };
}

const operations = [
  {
    name: "List users with posts",
    query: `query ListUsers($first: Int) {
  users(first: $first) {
    nodes {
      id
      username
      email
      posts(first: 5) {
        nodes { title }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}`,
    variables: () => ({ first: 10 }),
  },
  {
    name: "Create a user",
    query: `mutation CreateUser($input: CreateUserInput!) {
  createUser(input: $input) {
    user {
      id
      username
      version
      posts { nodes { id title } }
    }
  }
}`,
    variables: () => {
      const username = newName();
      return { input: { username, email: `${username}@example.com`, posts: [{ title: "Hello", body: "First post." }] } };
    },
  },
  {
    name: "Get a user by username",
    query: `query GetUser($username: String!) {
  user(by: { username: $username }) {
    id
    username
    email
    createdAt
    updatedAt
    version
  }
}`,
    variables: async () => ({ username: (await anyUser()).username }),
  },
  {
    name: "Update a user",
    query: `mutation UpdateUser($input: UpdateUserInput!) {
  updateUser(input: $input) {
    user { id email updatedAt version }
  }
}`,
    variables: async () => {
      const { id, version } = await anyUser();
      return { input: { id, email: `${newName()}@example.com`, expectedVersion: version } };
    },
  },
  {
    name: "Delete a user",
    query: `mutation DeleteUser($input: DeleteUserInput!) {
  deleteUser(input: $input) { deletedId }
}`,
    variables: async () => ({ input: { id: (await anyUser()).id, dependents: "CASCADE" } }),
  },
];

let prepared = "";

async function prepare() {
  const operation = operations[$("operations").value];
  $("variables").value = prepared = JSON.stringify(await operation.variables(), null, 2);
}

async function choose() {
  $("query").value = operations[$("operations").value].query;
  await prepare();
}

async function run() {
  if ($("run").disabled) return;
  $("run").disabled = true;
  show($("status"), "Running …");
  try {
    // Untouched variables are made anew: what ran before may have used them up.
    if ($("variables").value === prepared) await prepare();
    const variables = $("variables").value.trim();
    const start = performance.now();
    const { status, body } = await execute($("query").value, variables ? JSON.parse(variables) : undefined);
    show($("status"), `${status}, ${Math.round(performance.now() - start)} ms`);
    show($("response"), body);
  } catch (error) {
    show($("status"), "Not sent");
    show($("response"), error instanceof SyntaxError ? `Not JSON: ${error.message}` : `No answer: ${error.message}`);
  }
  $("run").disabled = false;
}

$("operations").append(...operations.map(({ name }, index) => new Option(name, index)));
$("operations").addEventListener("change", choose);
$("run").addEventListener("click", run);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
choose().catch((error) => show($("status"), `No answer: ${error.message}`));
fetch("/schema.graphql").then((response) => response.text()).then((text) => show($("schema"), text));
