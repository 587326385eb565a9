import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import graphqlESLint from "@graphql-eslint/eslint-plugin";
import { ESLint, type Linter } from "eslint";
import { root } from "../servers.js";

const config: Linter.Config = {
  files: ["**/*.graphqls"],
  plugins: { "@graphql-eslint": graphqlESLint as unknown as ESLint.Plugin },
  languageOptions: { parser: graphqlESLint.parser, parserOptions: { graphQLConfig: { schema: join(root, "schema.graphqls") } } },
  rules: {
    ...(graphqlESLint.configs["flat/schema-recommended"].rules as Linter.RulesRecord),
    ...(graphqlESLint.configs["flat/schema-relay"].rules as Linter.RulesRecord),
    // A description of one line stands in one line, a longer one in a block; the rule knows only one of them.
    "@graphql-eslint/description-style": "off",
    // What is no entity has no identity: pages, edges, the answers of mutations, numbers, and what has happened.
    "@graphql-eslint/strict-id-in-types": [
      "error",
      {
        exceptions: {
          // The caller and an identity are no objects of their own.
          types: ["PageInfo", "Change", "ChangePage", "Stats", "SignUps", "Viewer", "Identity"],
          suffixes: ["Connection", "Edge", "Payload"],
        },
      },
    ],
    // `nodes` of a page and `nodes(ids:)` of the query are lists of nodes, as GitHub's schema has them, beside the edges.
    "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false }],
  },
};

const exceptions = [
  // It is one word.
  'Field "username" starts with the name of the parent type "User"',
  // It says which fields have changed; the change's own are others.
  'Field "changedFields" starts with the name of the parent type "Change"',
  // It is in extensions.code of errors, which no schema describes.
  "Enum type `ErrorCode` is unreachable.",
];

test("the contract follows graphql-eslint's recommended rules and Relay's", async () => {
  const eslint = new ESLint({ cwd: root, overrideConfigFile: true, overrideConfig: [config] });
  const [result] = await eslint.lintFiles("schema.graphqls");
  assert.deepEqual(result?.messages.map(({ message }) => message).sort(), exceptions.sort());
});
