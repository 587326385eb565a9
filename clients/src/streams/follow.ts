import type { Client, SubscribePayload } from "graphql-ws";

/**
 * Follows a subscription to its end: whenever the connection is lost, it subscribes again, from where it was. next makes
 * the subscription that comes after an event. The client needs `retryAttempts: 0`, or it repeats the first one by itself.
 */
export async function* follow<Data>(client: Client, next: (last: Data | undefined) => SubscribePayload): AsyncGenerator<Data> {
  let last: Data | undefined;
  for (let attempt = 0; ; attempt++) {
    try {
      for await (const { data, errors } of client.iterate<Data>(next(last))) {
        if (!data) throw new Error(errors?.[0]?.message ?? "an event without data");
        attempt = 0;
        last = data;
        yield data;
      }
      return;
    } catch (error) {
      if (!isLost(error)) throw error;
    }
    // Not all clients at once.
    const wait = Math.min(100 * 2 ** attempt, 10_000) * Math.random();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Tells the end of a server or a network from an answer that would be the same the next time. */
function isLost(error: unknown): boolean {
  return error instanceof Object && "code" in error && [1001, 1005, 1006, 1012, 1013, 1014].includes(error.code as number);
}
