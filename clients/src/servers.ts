// The programs under test: the real binary on a database of its own, and the server with the schema for subscriptions.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

/** The root of the project; this file is in clients/build. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Server {
  /** The endpoint. */
  url: string;
  /** The endpoint, for WebSockets. */
  webSocketURL: string;
  /** Another address of the same server. */
  at(path: string): string;
  /** Ends the server: as a crash would, or by SIGTERM, as an update does. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Ends the server, and starts another one in its place, with the same data. */
  restart(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
}

/** Starts bin/roster with an empty SQLite database, until the end of the test. */
export async function startRoster(t: TestContext, ...flags: string[]): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "roster-clients-"));
  const server = await start(join(root, "bin/roster"), ["serve", ...flags], {
    DATABASE_URL: `sqlite:${join(directory, "roster.db")}`,
  });
  t.after(async () => {
    await server.kill();
    await rm(directory, { recursive: true });
  });
  return server;
}

/** A server whose database has a replica. */
export interface Replicated extends Server {
  /** Stops the replica where it has everything that was written until now. */
  hold(): Promise<void>;
  /** Expires all cursors: the database has another identity then. */
  resetChanges(): Promise<void>;
}

/** Starts bin/roster with an empty PostgreSQL database and a replica of it, until the end of the test. */
export async function startReplicated(t: TestContext): Promise<Replicated> {
  const pair = spawn(join(root, "bin/pair"), [], { stdio: ["pipe", "pipe", "inherit"] });
  children.add(pair);
  let server: Server | undefined;
  t.after(async () => {
    await server?.kill();
    if (pair.exitCode === null && pair.signalCode === null) {
      const ended = once(pair, "exit");
      pair.stdin.end(); // it removes its data
      await ended;
    }
    children.delete(pair);
  });
  const lines = createInterface(pair.stdout)[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("bin/pair has ended");
    return value;
  };
  const environment = { DATABASE_URL: await line(), DATABASE_REPLICA_URLS: await line() };
  const program = join(root, "bin/roster");
  server = await start(program, ["serve", "--replica-max-staleness=1h"], environment);
  return {
    ...server,
    hold: async () => {
      pair.stdin.write("hold\n");
      await line();
    },
    resetChanges: async () => {
      const child = spawn(program, ["changes", "reset", "--yes"], { stdio: ["ignore", "ignore", "inherit"], env: environment });
      const [code] = await once(child, "exit");
      if (code !== 0) throw new Error(`roster changes reset has ended with ${code}`);
    },
  };
}

/** Starts the server with the schema of internal/server/streamtest, until the end of the test. */
export async function startTestServer(t: TestContext): Promise<Server> {
  const server = await start(join(root, "bin/testserver"), [], {});
  t.after(() => server.kill());
  return server;
}

// No server outlives its tests, however they end.
const children = new Set<ChildProcess>();
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));

async function start(program: string, args: string[], environment: Record<string, string>): Promise<Server> {
  let running = await run(program, [...args, "--listen=127.0.0.1:0"], environment);
  const { url } = running;
  return {
    url,
    webSocketURL: url.replace("http:", "ws:"),
    at: (path) => new URL(path, url).href,
    kill: (signal = "SIGKILL") => kill(running.child, signal),
    restart: async (signal) => {
      await kill(running.child, signal);
      running = await run(program, [...args, `--listen=${new URL(url).host}`], environment);
    },
  };
}

/** Starts a program that prints the URL of its endpoint, and waits for that. */
async function run(program: string, args: string[], environment: Record<string, string>): Promise<{ child: ChildProcess; url: string }> {
  // Settings of the one who runs the tests are not those of the tests.
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: environment });
  children.add(child);
  for await (const line of createInterface(child.stdout)) {
    const url = /http:\/\/\S+\/graphql/.exec(line)?.[0];
    if (url) {
      child.stdout.resume();
      return { child, url };
    }
  }
  throw new Error(`${program} ${args.join(" ")} has ended without an address`);
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, "exit");
    children.delete(child);
  }
}
