// What browsers have and Node 18 has not.
import { webcrypto } from "node:crypto";
import WebSocket from "ws";

const missing = Object.entries({ self: globalThis, crypto: webcrypto, WebSocket }).filter(([name]) => !(name in globalThis));
Object.assign(globalThis, Object.fromEntries(missing));
