package completion

import (
	"fmt"
	"strings"
)

// zsh writes one function for each command.
func (s *script) zsh() {
	s.line("#compdef %s", s.name)
	s.line("# Completion of %s for zsh.", s.name)
	for _, c := range s.commands {
		s.line("")
		s.line("%s() {", s.zshFunction(c.path))
		var lines []string
		for _, f := range c.flags {
			lines = append(lines, zshFlag(f))
		}
		if len(c.children) == 0 {
			for i, argument := range c.arguments {
				lines = append(lines, quoted(fmt.Sprintf("%d:%s", i+1, zshValue(argument))))
			}
			s.line("\t_arguments -s \\\n\t\t%s", strings.Join(lines, " \\\n\t\t"))
			s.line("}")
			continue
		}
		lines = append(lines, quoted("1:command:->command"), quoted("*::argument:->argument"))
		s.line("\tlocal state line")
		s.line("\tlocal -a commands")
		s.line("\t_arguments -s -C \\\n\t\t%s", strings.Join(lines, " \\\n\t\t"))
		s.line("\tcase $state in")
		s.line("\tcommand)")
		s.line("\t\tcommands=(")
		for _, child := range c.children {
			s.line("\t\t\t%s", quoted(child.text+":"+child.help))
		}
		s.line("\t\t)")
		s.line("\t\t_describe command commands")
		s.line("\t\t;;")
		s.line("\targument)")
		s.line("\t\tcase $line[1] in")
		for _, child := range c.children {
			s.line("\t\t%s) %s ;;", child.text, s.zshFunction(c.path+" "+child.text))
		}
		s.line("\t\tesac")
		s.line("\t\t;;")
		s.line("\tesac")
		s.line("}")
	}
	s.line("")
	s.line("# The file is read as the body of the function, or by source.")
	s.line("if [[ $funcstack[1] == _%[1]s ]]; then _%[1]s \"$@\"; else compdef _%[1]s %[1]s; fi", s.name)
}

func (s *script) zshFunction(path string) string {
	return "_" + s.name + strings.NewReplacer(" ", "_", "-", "_").Replace(path)
}

// zshFlag returns a flag as _arguments reads it. "=" after the name allows both --flag value and --flag=value.
func zshFlag(f flag) string {
	text := "[" + strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(f.help) + "]"
	long := "--" + f.name
	takes := ""
	if f.takes != nil {
		long += "="
		takes = ":" + zshValue(*f.takes)
	}
	if f.short == "" {
		return quoted(long + text + takes)
	}
	// Each of the two excludes the other.
	return fmt.Sprintf("%s{%s,%s}%s", quoted("(-"+f.short+" --"+f.name+")"), "-"+f.short, long, quoted(text+takes))
}

// zshValue returns the name of a value, and what completes it.
func zshValue(v value) string {
	name := strings.ReplaceAll(v.name, ":", `\:`)
	switch {
	case len(v.words) > 0:
		return name + ":(" + strings.Join(v.words, " ") + ")"
	case v.file:
		return name + ":_files"
	default:
		return name + ": "
	}
}
