// Package completion writes the completion scripts of bash, zsh and fish from the commands and flags of a program. The
// scripts have all words in them, so completing starts no program. The package knows kong's model, and nothing of Roster.
package completion

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are the names of the shells that Write knows.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Write writes the script of a shell for a program. Hidden commands and flags are left out. An unknown shell is an error.
func Write(w io.Writer, shell string, program *kong.Application) error {
	p := script{name: program.Name, commands: commandsOf(program.Node, "")}
	switch shell {
	case "bash":
		p.bash()
	case "zsh":
		p.zsh()
	case "fish":
		p.fish()
	default:
		return fmt.Errorf("no completion for the shell %q: use one of %s", shell, strings.Join(Shells(), ", "))
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

// script is the script of one program while it is written.
type script struct {
	name     string
	commands []command // the program itself, and all its commands
	text     strings.Builder
}

func (s *script) line(format string, args ...any) { fmt.Fprintf(&s.text, format+"\n", args...) }

// command is a command with what can follow it.
type command struct {
	// path has a space before each word: " keys create". It is empty for the program.
	path      string
	children  []word
	flags     []flag
	arguments []value
}

// word is a word with its meaning.
type word struct{ text, help string }

// flag is a flag, without a value if it is a switch.
type flag struct {
	name, short, help string
	takes             *value
}

// value is the value of a flag or an argument.
type value struct {
	name  string
	words []string // all values that are possible; none if there are others
	file  bool
}

func commandsOf(node *kong.Node, path string) []command {
	c := command{path: path}
	var below []command
	for _, child := range node.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		c.children = append(c.children, word{child.Name, summary(child.Help)})
		below = append(below, commandsOf(child, path+" "+child.Name)...)
	}
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			c.flags = append(c.flags, flagsOf(f)...)
		}
	}
	for _, argument := range node.Positional {
		c.arguments = append(c.arguments, valueOf(argument, argument.Name))
	}
	return append([]command{c}, below...)
}

// flagsOf returns a flag, and its negation if it has one.
func flagsOf(f *kong.Flag) []flag {
	one := flag{name: f.Name, help: summary(f.Help)}
	if f.Short != 0 {
		one.short = string(f.Short)
	}
	if f.IsBool() {
		if f.Tag.Negatable == "" {
			return []flag{one}
		}
		return []flag{one, {name: "no-" + f.Name, help: "Turn --" + f.Name + " off"}}
	}
	takes := valueOf(f.Value, f.PlaceHolder)
	one.takes = &takes
	return []flag{one}
}

func valueOf(v *kong.Value, name string) value {
	result := value{name: name, file: strings.EqualFold(name, "file")}
	if v.Enum != "" {
		result.words = v.EnumSlice()
	}
	return result
}

// summary returns the first sentence of a help text, without its full stop.
func summary(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}

// dashed returns the flag as a command line has it: --output, and -o if it has a short form.
func (f *flag) dashed() []string {
	if f.short == "" {
		return []string{"--" + f.name}
	}
	return []string{"-" + f.short, "--" + f.name}
}

// values returns the values that flags take, each with its flags, as patterns of a shell that match the path of a command
// and the flag. Most flags take the same value in all commands.
func (s *script) values() []*flagValue {
	var all []*flagValue
	kinds := map[string]int{} // the number of values that a flag has in different commands
	for _, c := range s.commands {
		for _, f := range c.flags {
			if f.takes == nil {
				continue
			}
			v := *f.takes
			i := slices.IndexFunc(all, func(o *flagValue) bool { return o.file == v.file && slices.Equal(o.words, v.words) })
			if i < 0 {
				i = len(all)
				all = append(all, &flagValue{value: v, paths: map[string][]string{}})
			}
			for _, name := range f.dashed() {
				if all[i].paths[name] == nil {
					kinds[name]++
				}
				all[i].paths[name] = append(all[i].paths[name], c.path)
			}
		}
	}
	for _, v := range all {
		for _, name := range slices.Sorted(maps.Keys(v.paths)) {
			if kinds[name] == 1 {
				v.patterns = append(v.patterns, "*"+quoted(" "+name))
				continue
			}
			for _, path := range v.paths[name] {
				v.patterns = append(v.patterns, quoted(path+" "+name))
			}
		}
	}
	return all
}

// flagValue is a value, and the flags that take it.
type flagValue struct {
	value
	patterns []string
	paths    map[string][]string // of commands, by the flag
}
