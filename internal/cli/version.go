package cli

import "fmt"

type versionCommand struct{}

// Run prints the version in one line.
func (versionCommand) Run(e *environment) error {
	_, err := fmt.Fprintf(e.stdout, "roster %s\n", e.version)
	return err
}
