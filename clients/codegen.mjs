// The client preset of graphql-codegen writes a typed document for each operation, and the file of trusted documents.
import { addTypenameSelectionDocumentTransform } from "@graphql-codegen/client-preset";

export default {
  schema: "../schema.graphqls",
  documents: "src/documents.ts",
  emitLegacyCommonJSImports: false,
  generates: {
    "src/gql/": {
      preset: "client",
      // Apollo and urql add __typename to the documents that they send. The documents in the file must have it too.
      documentTransforms: [addTypenameSelectionDocumentTransform],
      presetConfig: { fragmentMasking: false, persistedDocuments: { hashAlgorithm: "sha256" } },
      config: {
        enumsAsTypes: true,
        useTypeImports: true,
        strictScalars: true,
        scalars: { DateTime: "string" },
      },
    },
  },
};
