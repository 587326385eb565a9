package cli

import (
	"io"

	"roster/graph"
)

type schemaCommand struct{}

// Run prints the served schema.
func (schemaCommand) Run(e *environment) error {
	_, err := io.WriteString(e.stdout, graph.SDL())
	return err
}
