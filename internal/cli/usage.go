package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// usageError is the error of a command line that kong refuses: in the words of users, with the help to read.
func usageError(err error) error {
	var command *kong.Context
	if parse, ok := errors.AsType[*kong.ParseError](err); ok {
		command = parse.Context
	}
	text := plain(err.Error())
	if command != nil && command.Selected() != nil && command.Selected().Path() == "token explain" && strings.HasPrefix(text, "unexpected argument ") {
		text = "pass the token on the standard input, and not as an argument: every user of a machine can read the arguments of its programs"
	}
	return seeHelp(errors.New(text), command)
}

// seeHelp adds to an error the help to read: that of a command or, for nil, of the program.
func seeHelp(err error, command *kong.Context) error {
	help := "roster"
	if command != nil && command.Selected() != nil {
		help += " " + command.Selected().Path()
	}
	return fmt.Errorf("%w; see %s --help", err, help)
}

// plain replaces the words of kong that speak of tokens and Go types.
func plain(text string) string {
	for _, rule := range []struct{ kong, users string }{
		{`^expected "(<\w+>)"$`, `the argument $1 is missing`},
		{`^expected (?:one of )?(".*")$`, `the command is missing: one of $1`},
		{`expected \w+ value but got ".*?" \(.*?\)`, `needs a value`},
		{`missing value, expecting ".*"$`, `needs a value`},
		{`must be one of (.*) but got (".*")$`, `must be one of $1, not $2`},
		{`bool value must be true, 1, yes, false, 0 or no but got (".*?")`, `must be true or false, not $1`},
		{`expected a valid 64 bit int but got (".*?")`, `must be a whole number of at most 64 bits, not $1`},
		{`expected a valid 64 bit uint but got (".*?")`, `must be a whole number of at most 64 bits without a sign, not $1`},
		{` \(from envar (\w+)=".*"\)$`, ` (from the environment variable $1)`},
		{`^(--[\w-]+): (must|needs)`, `$1 $2`},
		{`^[a-z ]+: (--[\w-]+ |<\w+> )`, `$1`},
	} {
		text = regexp.MustCompile(rule.kong).ReplaceAllString(text, rule.users)
	}
	// An argument can be a token or the secret of an API key, in the wrong place.
	text = regexp.MustCompile(`^(unexpected argument \S{12})\S{12,}`).ReplaceAllString(text, `$1…`)
	list := regexp.MustCompile(`one of ("[\w-]+"(?:, ?"[\w-]+")*)`)
	return list.ReplaceAllStringFunc(text, func(found string) string {
		quoted := list.FindStringSubmatch(found)[1]
		return alternatives(strings.Split(strings.NewReplacer(`"`, "", " ", "").Replace(quoted), ","))
	})
}

// alternatives lists words: a, b or c.
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
