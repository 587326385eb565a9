const header = "Roster-Consistency";

/** Keeps the latest token of a server in memory, so that a client reads what it has written, also from replicas. */
export class Consistency {
  #token = "";
  readonly #send: typeof fetch;

  constructor(send: typeof fetch = fetch) {
    this.#send = send;
  }

  /** The latest token, or "". */
  get token(): string {
    return this.#token;
  }

  /** Keeps a token, if it is a later one. Answers can come in any order. */
  keep(token: unknown): void {
    if (typeof token !== "string" || token === "") return;
    // The first 15 characters name the database. The positions of two databases have no order.
    const sameDatabase = token.slice(0, 15) === this.#token.slice(0, 15);
    if (!sameDatabase || token > this.#token) this.#token = token;
  }

  /** A fetch that sends the token, and keeps that of the answer. */
  readonly fetch: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    if (this.#token) headers.set(header, this.#token);
    const response = await this.#send(input, { ...init, headers });
    this.keep(response.headers.get(header));
    return response;
  };

  /** The payload of connection_init on a WebSocket. */
  readonly connectionParams = (): Record<string, string> => (this.#token ? { [header]: this.#token } : {});

  /** The extensions of an operation on a WebSocket that is open already. */
  readonly extensions = (): Record<string, string> => (this.#token ? { consistency: this.#token } : {});

  /** Keeps the token of a message on a WebSocket. */
  readonly onMessage = (message: { type: string; payload?: unknown }): void => {
    if (message.type !== "next") return;
    this.keep((message.payload as { extensions?: Record<string, unknown> }).extensions?.["consistency"]);
  };
}
