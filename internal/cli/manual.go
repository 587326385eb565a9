package cli

import (
	"github.com/alecthomas/kong"

	"roster/internal/completion"
	"roster/internal/manpage"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: bash, zsh or fish."`
}

// Run prints the completion script of a shell.
func (c completionCommand) Run(e *environment, command *kong.Context) error {
	return completion.Write(e.stdout, c.Shell, command.Model)
}

type manCommand struct{}

// Run prints the manual page.
func (manCommand) Run(e *environment, command *kong.Context) error {
	return manpage.Write(e.stdout, command.Model, manpage.Options{
		Version:  e.version,
		Describe: describe,
		Sections: []manpage.Section{
			{Title: "Environment", Text: `
A flag whose help names a variable takes its value from this variable if the command line does not have the flag.
ROSTER_AUTH_HS256_SECRET and ROSTER_AUTH_HS256_SECRET_NEXT have secrets, which no flag can have.`},
			{Title: "Exit status", Text: `
0: success. 1: the command failed. 2: the command line is wrong. 3: an import rejected some rows and imported the others.
130: a signal ended an import, an export or the creation of sample data.`},
			{Title: "Files", Text: `
roster.db: the SQLite database in the working directory, unless --database-url names another database.

/etc/roster/roster.env: the settings of the service, if Roster is installed as a package.

/var/lib/roster: the data of the service, if Roster is installed as a package.`},
			{Title: "See also", Text: `
The folder docs of the source, above all operations.md, security.md and limits.md.`},
		},
	})
}
