import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { execFileSync } from "node:child_process";
import { chromium } from "playwright-core";
import { request } from "graphql-request";
import { CreateUser } from "../documents.js";
import { root, startRoster, type Server } from "../servers.js";
import { preparedOperations } from "./prepared.js";

const artifacts = join(root, "clients/artifacts");

/** Opens a page in a browser, until the end of the test, and keeps what it asks for and what goes wrong in it. */
async function open(t: TestContext, url: string) {
  const name = process.env["CHROMIUM"] ?? "chromium";
  const browser = await chromium.launch({
    executablePath: execFileSync("sh", ["-c", 'command -v "$1"', "sh", name], { encoding: "utf8" }).trim(),
    chromiumSandbox: false, // which root cannot have
    args: ["--disable-background-networking", "--disable-component-update", "--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"],
  });
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  const requests: string[] = [];
  const faults: string[] = [];
  page.on("request", (sent) => requests.push(sent.url()));
  page.on("requestfailed", (sent) => faults.push(`${sent.url()} ${sent.failure()?.errorText}`));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(url);
  return { page, requests, faults };
}

/**
 * Starts a proxy that has all of a server below a prefix, until the end of the test. refuse returns the error with which
 * the proxy answers a request to the endpoint, by its Authorization header.
 */
async function startProxy(
  t: TestContext,
  server: Server,
  prefix: string,
  refuse?: (authorization: string | undefined) => { status: number; code: string; message: string } | undefined,
): Promise<string> {
  const proxy = createServer((incoming, outgoing) => {
    if (!incoming.url?.startsWith(prefix)) {
      outgoing.writeHead(404).end();
      return;
    }
    const { method, headers } = incoming;
    const refused = incoming.url === `${prefix}graphql` ? refuse?.(headers.authorization) : undefined;
    if (refused) {
      incoming.resume();
      outgoing.writeHead(refused.status, { "Content-Type": "application/json; charset=utf-8", "WWW-Authenticate": "Bearer" });
      outgoing.end(JSON.stringify({ errors: [{ message: refused.message, extensions: { code: refused.code } }] }));
      return;
    }
    const forward = httpRequest(server.at(incoming.url.slice(prefix.length - 1)), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    outgoing.on("close", () => forward.destroy());
    forward.on("error", () => outgoing.destroy());
    incoming.pipe(forward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${prefix}`;
}

test("the playground below a prefix of a proxy", async (t) => {
  const server = await startRoster(t);
  const url = await startProxy(t, server, "/roster/");
  const { page, requests, faults } = await open(t, url);
  const prepared = await preparedOperations();
  await page.locator(".graphiql-tab-button").nth(prepared.length - 1).waitFor();
  await page.waitForFunction(() => localStorage.getItem("graphiql:query") !== null);
  const answered = page.waitForResponse((response) => response.url() === `${url}graphql` && !response.request().postData()?.includes("IntrospectionQuery"));
  await page.locator(".graphiql-execute-button").click();
  assert.ok(((await (await answered).json()) as { data?: unknown }).data);
  // The subscription, by an event stream.
  await page.locator(".graphiql-tab-button").nth(prepared.findIndex(({ query }) => query.includes("subscription "))).click();
  await page.waitForFunction(() => localStorage.getItem("graphiql:query")?.includes("subscription "));
  const streamed = page.waitForResponse((response) => response.headers()["content-type"]?.startsWith("text/event-stream") ?? false);
  await page.locator(".graphiql-execute-button").click();
  assert.equal((await streamed).url(), `${url}graphql`);
  await page.locator(".graphiql-execute-button").click(); // which stops it
  assert.ok(requests.length > 5, String(requests));
  assert.deepEqual(requests.filter((asked) => !asked.startsWith(url) && !asked.startsWith("data:") && !asked.startsWith("blob:")), []);
  assert.deepEqual(faults, []);
});

test("the playground with tokens", async (t) => {
  const server = await startRoster(t);
  const url = await startProxy(t, server, "/", (authorization) => {
    switch (authorization) {
      case "Bearer good":
        return undefined;
      case "Bearer weak":
        return { status: 403, code: "FORBIDDEN", message: "may not read User" };
      default:
        return { status: 401, code: "UNAUTHENTICATED", message: "a token is needed" };
    }
  });
  const { page, faults } = await open(t, url);
  const note = page.getByRole("alert");
  const run = page.locator(".graphiql-execute-button");
  /** Replaces the headers of the tab. */
  const setHeaders = async (text: string) => {
    await page.getByRole("button", { name: "Headers", exact: true }).click();
    await page.locator('[aria-label="Headers"] .graphiql-editor:not(.hidden) .CodeMirror').click();
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.insertText(text);
    await page.waitForFunction((text) => localStorage.getItem("graphiql:headers") === text, text);
  };
  const answer = async () => {
    const answered = page.waitForResponse(
      (response) => response.url() === `${url}graphql` && !response.request().postData()?.includes("IntrospectionQuery"),
    );
    await run.click();
    return answered;
  };

  await t.test("without a token, the page says that one is needed and where to put it", async () => {
    await note.waitFor();
    assert.match((await note.textContent())!, /needs a valid token \(a token is needed\).*"Headers".*"Authorization": "Bearer TOKEN"/);
    assert.equal((await answer()).status(), 401);
    assert.ok(await note.isVisible());
  });

  await t.test("a token that is not enough", async () => {
    await setHeaders('{"Authorization": "Bearer weak"}');
    assert.equal((await answer()).status(), 403);
    await note.getByText("may not read User").waitFor();
  });

  await t.test("a good token, with which the page reads the schema", async () => {
    await setHeaders('{"Authorization": "Bearer good"}');
    const schema = page.waitForResponse((response) => Boolean(response.request().postData()?.includes("IntrospectionQuery")));
    assert.equal((await answer()).status(), 200);
    assert.equal((await schema).status(), 200);
    await note.waitFor({ state: "hidden" });
  });

  await t.test("the token is there after a reload, for event streams too", async () => {
    const schema = page.waitForResponse((response) => Boolean(response.request().postData()?.includes("IntrospectionQuery")));
    await page.reload();
    assert.equal((await schema).request().headers()["authorization"], "Bearer good");
    assert.equal((await schema).status(), 200);
    assert.equal((await answer()).status(), 200);
    await page.locator(".graphiql-query-editor .CodeMirror").click();
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.insertText("subscription { changes { at } }");
    await page.waitForFunction(() => localStorage.getItem("graphiql:query") === "subscription { changes { at } }");
    const streamed = await answer();
    assert.equal(streamed.status(), 200);
    assert.match(streamed.headers()["content-type"]!, /^text\/event-stream/);
    assert.equal(streamed.request().headers()["authorization"], "Bearer good");
    await run.click(); // which stops it
    assert.ok(!(await note.isVisible()));
  });

  // The browser logs each status of an error.
  assert.deepEqual(faults.filter((fault) => !/status of 40[13]/.test(fault)), []);
});

test("the playground in a browser", async (t) => {
  const server = await startRoster(t);
  await request(server.url, CreateUser, { input: { username: "grace", email: "grace@example.com" } });
  const { page, requests, faults } = await open(t, server.at("/"));
  const result = page.getByLabel("Result Window");
  const run = page.locator(".graphiql-execute-button");
  // GraphiQL looks for the operations of a document when nobody has typed for a moment, and stores the document with that.
  const read = () =>
    page.waitForFunction(() => {
      const editor = document.querySelector<HTMLElement & { CodeMirror: { getValue(): string } }>(".graphiql-query-editor .CodeMirror");
      return editor && editor.CodeMirror.getValue() === localStorage.getItem("graphiql:query");
    });
  /** Runs the operation that is shown, and returns its answer. */
  const answer = async (): Promise<{ data?: Record<string, unknown>; errors?: unknown }> => {
    await read();
    const answered = page.waitForResponse((response) => response.url() === server.url && response.request().method() === "POST");
    await run.click();
    const body = (await (await answered).json()) as Awaited<ReturnType<typeof answer>>;
    // What the server says is what the page shows.
    for (const text of JSON.stringify(body).match(/"[^"]+"(?=:)/g) ?? []) await result.getByText(text).first().waitFor();
    return body;
  };

  await t.test("its prepared operations run as they are", async () => {
    const prepared = await preparedOperations();
    const tabs = page.locator(".graphiql-tab-button");
    await tabs.nth(prepared.length - 1).waitFor();
    assert.equal(await tabs.count(), prepared.length);
    for (let i = 0; i < prepared.length; i++) {
      if (prepared[i]?.query.includes("subscription ")) continue; // which has no end
      await tabs.nth(i).click();
      const { data, errors } = await answer();
      assert.ok(data && !errors, JSON.stringify(errors));
    }
  });

  await t.test("changes are shown as they happen", async () => {
    const prepared = await preparedOperations();
    await page.locator(".graphiql-tab-button").nth(prepared.findIndex(({ query }) => query.includes("subscription "))).click();
    await read();
    const answered = page.waitForResponse((response) => response.headers()["content-type"]?.startsWith("text/event-stream") ?? false);
    await run.click();
    await answered;
    // The subscription is to what happens from now on, which is when the server has come to it.
    const shown = result.getByText("CREATED").first();
    for (let i = 0; !(await shown.isVisible()); i++) {
      await request(server.url, CreateUser, { input: { username: `live${i}`, email: `live${i}@example.com` } });
    }
    await run.click(); // which stops it
  });

  await t.test("a query is typed, run and answered", async () => {
    await page.getByLabel("New tab").click();
    await page.locator(".graphiql-query-editor .CodeMirror").click();
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type('{ user(by: {username: "Grace"}) { username email } }');
    const { data, errors } = await answer();
    assert.equal(errors, undefined);
    assert.deepEqual(data, { user: { username: "grace", email: "grace@example.com" } });
    await result.getByText('"grace@example.com"').waitFor();
  });

  await t.test("the SQL of an operation is shown, with plans on request", async () => {
    const statements = page.locator("#statements");
    assert.equal(await statements.locator("tr").count(), 0);
    await page.getByLabel("SQL", { exact: true }).check();
    await page.locator(".graphiql-query-editor .CodeMirror").click();
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type("{ all: users { nodes { posts { nodes { title } } } } }");
    const runShown = async () => {
      await read();
      const answered = page.waitForResponse((response) => response.url() === server.url && response.request().method() === "POST");
      await run.click();
      return answered;
    };
    const answered = await runShown();
    assert.equal(answered.request().headers()["x-roster-profile"], "1");
    assert.match(answered.headers()["server-timing"]!, /^total;dur=[\d.]+, db;dur=[\d.]+;desc="2 statements"$/);
    await page.getByText(/^2 statements, [\d.]+ ms in the database, [\d.]+ ms in all, by plan, cost \d+$/).waitFor();
    const rows = statements.locator("tr");
    assert.equal(await rows.count(), 3); // with the titles
    assert.match((await rows.nth(1).textContent())!, /^all.*SELECT .* FROM `users`/);
    assert.match((await rows.nth(2).textContent())!, /^all\.nodes\.posts.*SELECT .* FROM `posts`/);
    assert.equal(await statements.locator("pre").count(), 0);
    assert.equal(await result.getByText('"extensions"').count(), 0);

    await page.getByLabel("Plans").check();
    assert.equal((await runShown()).request().headers()["x-roster-profile"], "explain");
    await statements.locator("pre").first().waitFor();
    assert.match((await statements.locator("pre").first().textContent())!, /^(SCAN|SEARCH) /);

    await page.getByLabel("SQL", { exact: true }).uncheck();
    assert.equal(await statements.locator("tr").count(), 0);
    assert.equal((await runShown()).request().headers()["x-roster-profile"], undefined);
    assert.equal(await statements.locator("tr").count(), 0);
  });

  await t.test("the documentation explorer shows the descriptions of the contract", async () => {
    await page.getByLabel("Show Documentation Explorer").click();
    const explorer = page.locator(".graphiql-doc-explorer");
    await explorer.getByText("Query", { exact: true }).click();
    await explorer.getByText("One user; null when there is none.").waitFor();
    await mkdir(artifacts, { recursive: true });
    await page.screenshot({ path: join(artifacts, "playground.png") });
    console.log(`screenshot: ${join("clients/artifacts", "playground.png")}`);
  });

  await t.test("it asks no other host and breaks no rule of its policy", () => {
    const elsewhere = requests.filter((url) => !url.startsWith(server.at("/")) && !url.startsWith("data:") && !url.startsWith("blob:"));
    assert.deepEqual(elsewhere, []);
    assert.deepEqual(faults, []);
  });
});
