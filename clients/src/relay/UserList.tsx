import { graphql, useFragment, useLazyLoadQuery, usePaginationFragment } from "react-relay";
import type { UserListPageQuery } from "./__generated__/UserListPageQuery.graphql.js";
import type { UserListQuery } from "./__generated__/UserListQuery.graphql.js";
import type { UserList_query$key } from "./__generated__/UserList_query.graphql.js";
import type { UserList_user$key } from "./__generated__/UserList_user.graphql.js";

export function UserList({ first }: { first: number }) {
  const query = useLazyLoadQuery<UserListQuery>(
    graphql`
      query UserListQuery($first: Int!) {
        ...UserList_query @arguments(first: $first)
      }
    `,
    { first },
  );
  return <Pages query={query} first={first} />;
}

function Pages({ query, first }: { query: UserList_query$key; first: number }) {
  const { data, hasNext, isLoadingNext, loadNext } = usePaginationFragment<UserListPageQuery, UserList_query$key>(
    graphql`
      fragment UserList_query on Query
      @refetchable(queryName: "UserListPageQuery")
      @argumentDefinitions(first: { type: "Int!" }, after: { type: "String" }) {
        users(first: $first, after: $after, orderBy: [{ field: USERNAME }]) @connection(key: "UserList_users", filters: []) {
          edges {
            node {
              id
              ...UserList_user
            }
          }
        }
      }
    `,
    query,
  );
  return (
    <>
      <ul>
        {data.users.edges.map(({ node }) => (
          <Row key={node.id} user={node} />
        ))}
      </ul>
      {hasNext && (
        <button disabled={isLoadingNext} onClick={() => loadNext(first)}>
          More
        </button>
      )}
    </>
  );
}

function Row({ user }: { user: UserList_user$key }) {
  const { username, email } = useFragment(
    graphql`
      fragment UserList_user on User {
        username
        email
      }
    `,
    user,
  );
  return (
    <li>
      {username} &lt;{email}&gt;
    </li>
  );
}
