import type { Client, SubscribePayload } from "graphql-ws";

/**
 * Follows a subscription to its end. If the connection is lost, it subscribes again after the last event. next makes this
 * subscription from the last event. The client must have `retryAttempts: 0`. Otherwise it repeats the first subscription.
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
    // A random wait, so that not all clients connect at the same moment.
    const wait = Math.min(100 * 2 ** attempt, 10_000) * Math.random();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Reports whether the connection was lost. Another error would come again. */
function isLost(error: unknown): boolean {
  return error instanceof Object && "code" in error && [1001, 1005, 1006, 1012, 1013, 1014].includes(error.code as number);
}
