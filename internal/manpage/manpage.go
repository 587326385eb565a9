// Package manpage writes the manual page of a program from its commands and their help, in the language of man(7). The
// package knows kong's model, and nothing of Roster.
package manpage

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Options are the parts of a page that the commands do not have.
type Options struct {
	// Version is in the footer of the page. The page has no date, so that the same program always gets the same page.
	Version string
	// Describe returns the full help of a flag or an argument.
	Describe func(value *kong.Value) string
	// Sections stand after the commands, in this order.
	Sections []Section
}

// Section is a section of plain text. An empty line starts a paragraph.
type Section struct{ Title, Text string }

// Write writes the page of a program in section 1 of the manual. Hidden commands and flags are left out. A flag that several
// commands have alike is described once, in a section of its own.
func Write(w io.Writer, program *kong.Application, o Options) error {
	p := page{describe: o.Describe, users: map[string]int{}}
	p.line(".TH %s 1 \"\" %s %s", strings.ToUpper(program.Name), quoted(program.Name+" "+o.Version), quoted("User Commands"))
	p.line(".SH NAME\n%s \\- %s", escaped(program.Name), escaped(firstLower(strings.TrimSuffix(program.Help, "."))))
	p.line(".SH SYNOPSIS\n.B %s\n.I command\n[flags]", escaped(program.Name))
	commands := program.Leaves(true)
	for _, command := range commands {
		for _, f := range flagsOf(command) {
			p.users[key(f)]++
		}
	}
	p.line(".SH COMMANDS")
	for _, command := range commands {
		p.command(command)
	}
	p.shared(commands)
	for _, s := range o.Sections {
		p.line(".SH %s", strings.ToUpper(s.Title))
		for i, paragraph := range strings.Split(strings.TrimSpace(s.Text), "\n\n") {
			if i > 0 {
				p.line(".PP")
			}
			p.line("%s", escaped(strings.ReplaceAll(paragraph, "\n", " ")))
		}
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

type page struct {
	describe func(value *kong.Value) string
	users    map[string]int // the number of commands that have a flag
	text     strings.Builder
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.text, format+"\n", args...) }

// key is equal for flags that are alike.
func key(f *kong.Flag) string { return fmt.Sprintf("%s\n%s\n%s", f, f.Help, f.Default) }

// flagsOf returns the flags of a command in the order of its help, without --help.
func flagsOf(command *kong.Node) []*kong.Flag {
	all := slices.Concat(command.AllFlags(true)...)
	return slices.DeleteFunc(all, func(f *kong.Flag) bool { return f.Name == "help" })
}

// command writes a command with its arguments and its own flags, and names those that it shares.
func (p *page) command(command *kong.Node) {
	p.line(".SS %s\n%s", quoted(escaped(strings.TrimSpace(command.Summary()))), escaped(command.Help))
	if command.Detail != "" {
		p.line(".PP\n%s", escaped(command.Detail))
	}
	for _, argument := range command.Positional {
		p.line(".TP\n.I <%s>\n%s", escaped(argument.Name), escaped(p.describe(argument)))
	}
	var shared []string
	for _, f := range flagsOf(command) {
		if p.users[key(f)] > 1 {
			shared = append(shared, `\fB`+escaped("--"+f.Name)+`\fR`)
			continue
		}
		p.flag(f)
	}
	if len(shared) > 0 {
		p.line(".PP\nShared flags: %s.", strings.Join(shared, ", "))
	}
}

// shared writes the flags that several commands have alike, each once.
func (p *page) shared(commands []*kong.Node) {
	written := map[string]bool{}
	for _, command := range commands {
		for _, f := range flagsOf(command) {
			if p.users[key(f)] < 2 || written[key(f)] {
				continue
			}
			if len(written) == 0 {
				p.line(".SH SHARED FLAGS\nSeveral commands have these flags.")
			}
			written[key(f)] = true
			p.flag(f)
		}
	}
}

func (p *page) flag(f *kong.Flag) {
	name := "--" + f.Name
	if f.Tag.Negatable != "" {
		name = "--[no-]" + f.Name
	}
	if f.Short != 0 {
		name = "-" + string(f.Short) + ", " + name
	}
	text := `\fB` + escaped(name) + `\fR`
	if !f.IsBool() {
		text += `=\fI` + escaped(f.FormatPlaceHolder()) + `\fR`
	}
	p.line(".TP\n%s\n%s", text, escaped(p.describe(f.Value)))
}

// escaped returns a text in which man(7) sees no commands. Hyphens stay hyphens, so that flags can be copied.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// quoted returns an argument of a request.
func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\(dq`) + `"` }

func firstLower(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToLower(text[:1]) + text[1:]
}
