import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { root } from "../servers.js";

export interface Prepared {
  query: string;
  variables?: string;
}

/** The operations that the playground's page gives to GraphiQL. */
export async function preparedOperations(): Promise<Prepared[]> {
  let tabs: Prepared[] = [];
  const window = {
    GraphiQL: {},
    React: { createElement: (_: unknown, properties: { defaultTabs: Prepared[] }) => (tabs = properties.defaultTabs) },
    ReactDOM: { createRoot: () => ({ render: () => undefined }) },
  };
  const script = await readFile(join(root, "internal/playground/page/playground.js"), "utf8");
  runInNewContext(script, { window, ...window, document: { getElementById: () => ({}) } });
  return tabs;
}
