// graphql-codegen's client preset: a typed document for each of our operations, and the file of trusted documents.
import { addTypenameSelectionDocumentTransform } from "@graphql-codegen/client-preset";

export default {
  schema: "../schema.graphqls",
  documents: "src/documents.ts",
  emitLegacyCommonJSImports: false,
  generates: {
    "src/gql/": {
      preset: "client",
      // Apollo and urql add __typename to what they send: the documents in the file have to have it, too.
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
