import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { persistedExchange } from "@urql/exchange-persisted";
import { createClient } from "graphql-ws";

/** A client of the endpoint at url, https://…/graphql. */
export function connect(url: string): Client {
  const webSocket = createClient({ url: url.replace(/^http/, "ws"), retryAttempts: Infinity, shouldRetry: () => true });
  return new Client({
    url,
    exchanges: [
      cacheExchange({
        possibleTypes: { Node: ["User", "Post"] },
        resolvers: {
          // One list for each filter and order. Pages are joined to the list.
          Query: { users: relayPagination(), posts: relayPagination() },
          User: { posts: relayPagination() },
        },
        updates: {
          Mutation: {
            deleteUser: (_, args: { input: { id: string } }, cache) => cache.invalidate({ __typename: "User", id: args.input.id }),
            deletePost: (_, args: { input: { id: string } }, cache) => cache.invalidate({ __typename: "Post", id: args.input.id }),
          },
          Subscription: {
            changes: ({ changes }: { changes: { kind: string; type: string; nodeId: string } }, _, cache) => {
              if (changes.kind !== "DELETED") return;
              cache.invalidate({ __typename: changes.type === "USER" ? "User" : "Post", id: changes.nodeId });
            },
          },
        },
        // A change has no ID of its own. Its entity has one.
        keys: { Change: () => null },
        optimistic: {
          updateUser: (args: { input: { id: string; expectedVersion?: number } }) => ({
            __typename: "UpdateUserPayload",
            user: { __typename: "User", ...args.input, version: (args.input.expectedVersion ?? 0) + 1 },
          }),
        },
      }),
      persistedExchange({ preferGetForPersistedQueries: true }),
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = "", variables }) => ({
          subscribe: (sink) => ({ unsubscribe: webSocket.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
}
