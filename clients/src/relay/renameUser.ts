import { commitMutation, graphql, type Environment } from "relay-runtime";
import type { renameUserMutation, UpdateUserInput } from "./__generated__/renameUserMutation.graphql.js";
import { formErrors, type FormErrors } from "../form.js";

interface Read {
  readonly id: string;
  readonly username: string;
  readonly version: number;
}

/** Renames a user. It shows the new name at once. If the server refuses the name, it shows the old one again. */
export function renameUser(environment: Environment, user: Read, username: string): Promise<FormErrors | undefined> {
  const input: UpdateUserInput = { id: user.id, username, expectedVersion: user.version };
  return new Promise((resolve, reject) => {
    commitMutation<renameUserMutation>(environment, {
      mutation: graphql`
        mutation renameUserMutation($input: UpdateUserInput!) @raw_response_type {
          updateUser(input: $input) {
            user {
              id
              username
              version
            }
          }
        }
      `,
      variables: { input },
      optimisticResponse: { updateUser: { user: { id: user.id, username, version: user.version + 1 } } },
      onCompleted: () => resolve(undefined),
      // Relay throws an error if data is null. Its source has the errors of the response.
      onError: (error) => ("source" in error ? resolve(formErrors((error.source as { errors: [] }).errors)) : reject(error)),
    });
  });
}
