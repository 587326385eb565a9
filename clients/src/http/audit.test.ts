import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";
import { startRoster } from "../servers.js";

test("GraphQL over HTTP: the audits of graphql-http", async (t) => {
  const { url } = await startRoster(t);
  const audits = serverAudits({ url });
  assert.ok(audits.length >= 60, `there are only ${audits.length}`);
  for (const { id, name, fn } of audits) {
    await t.test(`${id} ${name}`, async () => {
      const result = await fn();
      assert.equal(result.status, "ok", "reason" in result ? result.reason : undefined);
    });
  }
});
