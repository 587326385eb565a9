// Package cluster tests the program on databases of several servers, which fail while clients use them. "make e2e-cluster"
// runs the tests with the build tag cluster. It checks
// the promises of Roster, not those of the databases.
package cluster
