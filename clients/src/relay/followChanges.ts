import { ConnectionHandler, graphql, requestSubscription, type Environment } from "relay-runtime";
import type { followChangesSubscription, followChangesSubscription$data } from "./__generated__/followChangesSubscription.graphql.js";

type Change = followChangesSubscription$data["changes"];

/** Applies all changes after a cursor to the store. Returns a function that ends this. */
export function followChanges(environment: Environment, after: string, onChange: (change: Change) => void): () => void {
  const { dispose } = requestSubscription<followChangesSubscription>(environment, {
    subscription: graphql`
      subscription followChangesSubscription($after: String!) {
        changes(after: $after) {
          cursor
          kind
          nodeId
          node {
            ...UserList_user @alias(as: "user")
          }
        }
      }
    `,
    variables: { after },
    // A deleted entity has no node. Remove it from the lists and from the store.
    updater: (store, data) => {
      if (data?.changes.kind !== "DELETED") return;
      const users = ConnectionHandler.getConnection(store.getRoot(), "UserList_users");
      if (users) ConnectionHandler.deleteNode(users, data.changes.nodeId);
      store.delete(data.changes.nodeId);
    },
    onNext: (data) => data && onChange(data.changes),
  });
  return dispose;
}
