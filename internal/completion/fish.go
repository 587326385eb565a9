package completion

import "strings"

// fish writes one line for each command, flag and argument. Each line has the command after which it holds.
func (s *script) fish() {
	s.line("# Completion of %s for fish.", s.name)
	s.line("function __%s_after --argument-names want", s.name)
	s.line("    set -l path ''")
	s.line("    for word in (commandline -opc)[2..-1]")
	s.line("        switch \"$path $word\"")
	var paths []string
	for _, c := range s.commands[1:] {
		paths = append(paths, quoted(c.path))
	}
	s.line("            case %s", strings.Join(paths, " "))
	s.line("                set path \"$path $word\"")
	s.line("        end")
	s.line("    end")
	s.line("    test \"$path\" = \"$want\"")
	s.line("end")
	s.line("complete -c %s -f", s.name)
	for _, c := range s.commands {
		after := "complete -c " + s.name + " -n " + fishQuoted("__"+s.name+"_after '"+c.path+"'")
		for _, child := range c.children {
			s.line("%s -a %s -d %s", after, child.text, fishQuoted(child.help))
		}
		for _, f := range c.flags {
			line := after + " -l " + f.name
			if f.short != "" {
				line += " -s " + f.short
			}
			if f.takes != nil {
				line += fishValue(*f.takes, " -x")
			}
			s.line("%s -d %s", line, fishQuoted(f.help))
		}
		for _, argument := range c.arguments {
			if words := fishValue(argument, ""); words != "" {
				s.line("%s%s", after, strings.Replace(words, " -r", "", 1))
			}
		}
	}
}

// fishValue returns the options that say what follows. other are those of a value that is neither a word nor a file.
func fishValue(v value, other string) string {
	switch {
	case len(v.words) > 0:
		return other + " -a " + fishQuoted(strings.Join(v.words, " "))
	case v.file:
		return " -r -F"
	default:
		return other
	}
}

// fishQuoted returns a text in single quotes, in which fish reads \' and \\.
func fishQuoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
