package completion

import "strings"

// bash writes a function that first finds the command in the words before the cursor. It needs bash 4 and nothing else.
func (s *script) bash() {
	s.line("# Completion of %s for bash.", s.name)
	s.line("_%s() {", s.name)
	s.line("\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= words= word index")
	s.line("\t# bash makes three words of --flag=value.")
	s.line("\tif [[ $current == = ]]; then current=; elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi")
	s.line("\tfor ((index = 1; index < COMP_CWORD; index++)); do")
	s.line("\t\tword=${COMP_WORDS[index]}")
	s.line("\t\tcase \"$path $word\" in")
	var paths []string
	for _, c := range s.commands[1:] {
		paths = append(paths, quoted(c.path))
	}
	s.line("\t\t%s) path+=\" $word\" ;;", strings.Join(paths, " | "))
	s.line("\t\tesac")
	s.line("\tdone")
	s.line("\tCOMPREPLY=()")
	s.line("\tcase \"$path $previous\" in")
	for _, v := range s.values() {
		s.line("\t%s)", strings.Join(v.patterns, " | "))
		s.line("\t\t%s", bashReply(v.value))
		s.line("\t\treturn")
		s.line("\t\t;;")
	}
	s.line("\tesac")
	s.line("\tcase $path in")
	for _, c := range s.commands {
		var words []string
		for _, child := range c.children {
			words = append(words, child.text)
		}
		var files bool
		for _, argument := range c.arguments {
			words = append(words, argument.words...)
			files = files || argument.file
		}
		var flags []string
		for _, f := range c.flags {
			flags = append(flags, f.dashed()...)
		}
		s.line("\t%s)", quoted(c.path))
		s.line("\t\twords=%s", quoted(strings.Join(words, " ")))
		s.line("\t\t[[ $current == -* ]] && words=%s", quoted(strings.Join(flags, " ")))
		if files {
			s.line("\t\t[[ $current != -* ]] && { %s; return; }", bashReply(value{file: true}))
		}
		s.line("\t\t;;")
	}
	s.line("\tesac")
	s.line("\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))")
	s.line("}")
	s.line("complete -F _%[1]s %[1]s", s.name)
}

// bashReply returns the command that sets the reply for a value. There is no reply for a value that can be anything.
func bashReply(v value) string {
	switch {
	case len(v.words) > 0:
		return `COMPREPLY=($(compgen -W ` + quoted(strings.Join(v.words, " ")) + ` -- "$current"))`
	case v.file:
		return `compopt -o default`
	default:
		return `:`
	}
}

// quoted returns a text in the quotes that no shell looks into.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
