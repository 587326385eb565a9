// Relay's compiler wants its plugin of Babel, which puts the compiled documents where the graphql tags are. Bundlers find
// them without the extension of their files; Node does not.
const extension = () => ({
  visitor: {
    Program: {
      exit(program) {
        for (const { source } of program.node.body) {
          if (source?.value.endsWith(".graphql")) source.value += ".js";
        }
      },
    },
  },
});

module.exports = { plugins: [["relay", { eagerEsModules: true }], extension] };
