// The operations of an application, as graphql-codegen types them. Apollo Client, urql and graphql-request run the same.
import { graphql } from "./gql/index.js";

export const UsersPage = graphql(`
  query UsersPage($first: Int!, $after: String, $where: UserWhere) {
    users(first: $first, after: $after, where: $where, orderBy: [{ field: USERNAME }]) {
      edges {
        cursor
        node {
          ...UserFields
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
      totalCount
    }
  }

  fragment UserFields on User {
    id
    username
    email
    version
  }
`);

export const UserByName = graphql(`
  query UserByName($username: String!) {
    user(by: { username: $username }) {
      ...UserFields
    }
  }
`);

export const UserPosts = graphql(`
  query UserPosts($id: ID!, $first: Int!, $after: String) {
    node(id: $id) {
      ... on User {
        ...UserFields
        posts(first: $first, after: $after, orderBy: [{ field: CREATED_AT, direction: DESC }]) {
          edges {
            cursor
            node {
              ...PostFields
            }
          }
          pageInfo {
            hasNextPage
            endCursor
          }
        }
      }
    }
  }

  fragment PostFields on Post {
    id
    title
    version
    author {
      id
      username
    }
  }
`);

export const CreateUser = graphql(`
  mutation CreateUser($input: CreateUserInput!) {
    createUser(input: $input) {
      user {
        ...UserFields
      }
    }
  }
`);

export const UpdateUser = graphql(`
  mutation UpdateUser($input: UpdateUserInput!) {
    updateUser(input: $input) {
      user {
        ...UserFields
      }
    }
  }
`);

export const DeleteUser = graphql(`
  mutation DeleteUser($input: DeleteUserInput!) {
    deleteUser(input: $input) {
      deletedId
    }
  }
`);

export const CreatePost = graphql(`
  mutation CreatePost($input: CreatePostInput!) {
    createPost(input: $input) {
      post {
        ...PostFields
      }
    }
  }
`);

export const ChangesCursor = graphql(`
  query ChangesCursor {
    changesCursor
  }
`);

export const Changes = graphql(`
  subscription Changes($after: String!) {
    changes(after: $after) {
      cursor
      kind
      type
      nodeId
      version
      node {
        id
        ... on User {
          ...UserFields
        }
        ... on Post {
          ...PostFields
        }
      }
    }
  }
`);
