package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// printHelp is kong's HelpPrinter. For the program as for one command it shows every flag in full:
// meaning, unit, default and environment variable.
func printHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	node, usage := ctx.Selected(), ctx.Model.Name
	if node == nil {
		node = ctx.Model.Node
		usage += ctx.Model.Summary()
	} else {
		usage += " " + node.Summary()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n", usage, node.Help)
	leaves := node.Leaves(true)
	if len(leaves) > 0 {
		b.WriteString("\nCommands:\n")
		for _, leaf := range leaves {
			fmt.Fprintf(&b, "  %-16s%s\n", leaf.Path(), leaf.Help)
		}
		fmt.Fprintf(&b, "\nFlags of these commands (%s <command> --help shows those of one):\n", ctx.Model.Name)
	} else {
		leaves = []*kong.Node{node}
		b.WriteString("\nFlags:\n")
	}
	shown := map[string]bool{}
	for _, leaf := range leaves {
		for _, level := range leaf.AllFlags(true) {
			for _, flag := range level {
				if !shown[flag.Name] {
					writeFlag(&b, flag)
				}
				shown[flag.Name] = true
			}
		}
	}
	if strings.Contains(b.String(), "=DURATION") {
		b.WriteString("\nA DURATION is a number with its unit: 500ms, 5s, 2m.\n")
	}
	_, err := io.WriteString(ctx.Stdout, b.String())
	return err
}

func writeFlag(b *strings.Builder, flag *kong.Flag) {
	name := "--" + flag.Name
	switch {
	case flag.Tag.Negatable != "":
		name = "--[no-]" + flag.Name
	case !flag.IsBool():
		name += "=" + flag.FormatPlaceHolder()
	}
	if flag.Short != 0 {
		name = "-" + string(flag.Short) + ", " + name
	}
	fmt.Fprintf(b, "  %s\n      %s\n", name, flag.Help)
	var notes []string
	if flag.HasDefault {
		notes = append(notes, "Default: "+flag.Default)
	}
	for _, variable := range flag.Envs {
		notes = append(notes, "Environment: "+variable)
	}
	if len(notes) > 0 {
		fmt.Fprintf(b, "      %s\n", strings.Join(notes, ". "))
	}
}
