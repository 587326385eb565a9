package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpWidth is the width of a line of help, in characters.
const helpWidth = 80

// frequentTag marks the flags that people use most. They come first in a command's help.
const frequentTag = "frequent"

// Titles of groups that no tag names.
const (
	frequentGroup = "Used most"
	globalGroup   = "Global"
)

// printHelp is kong's HelpPrinter. For the program it lists the commands, for a command its flags.
func printHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	node, usage := ctx.Selected(), ctx.Model.Name
	if node == nil {
		node = ctx.Model.Node
		usage += ctx.Model.Summary()
	} else {
		usage += " " + node.Summary()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n", usage)
	writeWrapped(&b, "", node.Help)
	if len(node.Positional) > 0 {
		b.WriteString("\nArguments:\n")
	}
	for _, argument := range node.Positional {
		writeEntry(&b, argument.Summary(), argument.Help)
	}
	leaves := node.Leaves(true)
	if len(leaves) > 0 {
		b.WriteString("\nCommands:\n")
	}
	for _, leaf := range leaves {
		fmt.Fprintf(&b, "  %-15s %s\n", leaf.Path(), leaf.Help)
	}
	if node == ctx.Model.Node {
		b.WriteString("\nGlobal flags:\n")
		fmt.Fprintf(&b, "  %-15s %s\n", "-h, --help", ctx.Model.HelpFlag.Help)
	} else {
		writeGroups(&b, append(leaves, node))
	}
	_, err := io.WriteString(ctx.Stdout, b.String())
	return err
}

// writeGroups writes the flags of commands: first the frequent ones, then the others by their groups.
func writeGroups(b *strings.Builder, commands []*kong.Node) {
	groups := map[string][]*kong.Flag{}
	titles := []string{frequentGroup}
	seen := map[string]bool{}
	for _, command := range commands {
		for _, flag := range slices.Concat(command.AllFlags(true)...) {
			if seen[flag.Name] {
				continue
			}
			seen[flag.Name] = true
			title := groupOf(flag)
			if title != globalGroup && !slices.Contains(titles, title) {
				titles = append(titles, title)
			}
			groups[title] = append(groups[title], flag)
		}
	}
	start := b.Len()
	for _, title := range append(titles, globalGroup) {
		if len(groups[title]) > 0 {
			fmt.Fprintf(b, "\n%s:\n", title)
		}
		for _, flag := range groups[title] {
			writeFlag(b, flag)
		}
	}
	if strings.Contains(b.String()[start:], "=DURATION") {
		b.WriteString("\nA DURATION is a number with its unit: 500ms, 5s, 2m.\n")
	}
}

func groupOf(flag *kong.Flag) string {
	switch {
	case flag.Tag.Has(frequentTag):
		return frequentGroup
	case flag.Group != nil:
		return flag.Group.Title
	}
	return globalGroup
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
	var notes []string
	if flag.HasDefault {
		notes = append(notes, "Default: "+flag.Default)
	}
	for _, variable := range flag.Envs {
		notes = append(notes, "Environment: "+variable)
	}
	writeEntry(b, name, flag.Help, strings.Join(notes, ". "))
}

// writeEntry writes a name and, below it, its paragraphs. It leaves out the empty ones.
func writeEntry(b *strings.Builder, name string, paragraphs ...string) {
	fmt.Fprintf(b, "  %s\n", name)
	for _, text := range paragraphs {
		writeWrapped(b, "      ", text)
	}
}

// writeWrapped writes a text in lines of at most helpWidth characters. A longer word has a line of its own.
func writeWrapped(b *strings.Builder, indent, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(indent)+len(line)+1+len(word) > helpWidth {
			fmt.Fprintf(b, "%s%s\n", indent, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	if line != "" {
		fmt.Fprintf(b, "%s%s\n", indent, line)
	}
}
