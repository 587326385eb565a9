import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";

/** A client of the endpoint at url, https://…/graphql. */
export function connect(url: string): ApolloClient {
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries: true });
  const http = new HttpLink({ uri: url });
  const webSocket = new GraphQLWsLink(createClient({ url: url.replace(/^http/, "ws"), retryAttempts: Infinity, shouldRetry: () => true }));
  return new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      webSocket,
      ApolloLink.from([persisted, http]),
    ),
    cache: new InMemoryCache({
      possibleTypes: { Node: ["User", "Post"] },
      typePolicies: {
        Query: {
          fields: {
            // One list for each filter and order. Pages are joined to the list.
            users: relayStylePagination(["where", "orderBy"]),
            posts: relayStylePagination(["where", "orderBy"]),
          },
        },
        User: { fields: { posts: relayStylePagination(["where", "orderBy"]) } },
      },
    }),
  });
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
