package manpage_test

import (
	"bytes"
	"testing"

	"github.com/alecthomas/kong"

	"roster/internal/manpage"
)

type grammar struct {
	Serve struct {
		Listen string `placeholder:"HOST:PORT" help:"Where to listen."`
		Level  string `placeholder:"LEVEL" default:"info" help:"Level of the log."`
		Show   bool   `negatable:"" help:"Show it."`
	} `cmd:"" help:"Run it."`
	Load struct {
		File  string `arg:"" help:".csv file; C:\\data works."`
		Out   string `short:"o" placeholder:"FILE" help:"File to write."`
		Level string `placeholder:"LEVEL" default:"info" help:"Level of the log."`
	} `cmd:"" help:"Load a file."`
	Secret struct{} `cmd:"" hidden:"" help:"Hidden."`
}

const want = `.TH PROG 1 "" "prog 1.2.3" "User Commands"
.SH NAME
prog \- a program
.SH SYNOPSIS
.B prog
.I command
[flags]
.SH COMMANDS
.SS "serve [flags]"
Run it.
.TP
\fB\-\-listen\fR=\fIHOST:PORT\fR
Where to listen.
.TP
\fB\-\-[no\-]show\fR
Show it.
.PP
Shared flags: \fB\-\-level\fR.
.SS "load <file> [flags]"
Load a file.
.TP
.I <file>
\&.csv file; C:\edata works.
.TP
\fB\-o, \-\-out\fR=\fIFILE\fR
File to write.
.PP
Shared flags: \fB\-\-level\fR.
.SH SHARED FLAGS
Several commands have these flags.
.TP
\fB\-\-level\fR=\fILEVEL\fR
Level of the log.
.SH NOTES
One.
.PP
It\(aqs two.
`

func TestWrite(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&grammar{}, kong.Name("prog"), kong.Description("A program."))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	err = manpage.Write(&got, parser.Model, manpage.Options{
		Version:  "1.2.3",
		Describe: func(value *kong.Value) string { return value.Help },
		Sections: []manpage.Section{{Title: "Notes", Text: "\nOne.\n\nIt's\ntwo.\n"}},
	})
	if err != nil || got.String() != want {
		t.Errorf("got %v,\n%s\nwant\n%s", err, &got, want)
	}
}
