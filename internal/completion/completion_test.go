package completion_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"roster/internal/completion"
)

// grammar has each kind of word that can follow another.
type grammar struct {
	Serve struct {
		Level string `enum:"warn,info" default:"info" help:"Level: it's warn or info. More."`
		Cert  string `placeholder:"FILE" help:"Certificate [PEM]."`
		Name  string `help:"Any name."`
		Show  bool   `negatable:"" default:"true" help:"Show it."`
	} `cmd:"" help:"Run it. Now."`
	Keys struct {
		Create struct {
			Level string `enum:"all,none" default:"all" short:"l" help:"Another level."`
		} `cmd:"" help:"Create a key."`
		Export struct {
			What string `arg:"" enum:"users,posts"`
		} `cmd:"" help:"Export keys."`
	} `cmd:"" help:"Manage keys."`
	Load struct {
		File string `arg:""`
	} `cmd:"" help:"Load a file."`
	Secret struct{} `cmd:"" hidden:"" help:"Hidden."`
}

// script returns the completion script of a shell for the grammar.
func script(t *testing.T, shell string) string {
	t.Helper()
	parser, err := kong.New(&grammar{}, kong.Name("prog"))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := completion.Write(&text, shell, parser.Model); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "secret") {
		t.Errorf("%s: got the hidden command in\n%s", shell, &text)
	}
	return text.String()
}

// TestBash asks bash what follows the words of a command line. The last word is the one at the cursor.
func TestBash(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "prog.bash")
	if err := os.WriteFile(file, []byte(script(t, "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, want string }{
		{"prog |", "serve keys load"},
		{"prog s|", "serve"},
		{"prog -|", "-h --help"},
		{"prog serve |", ""},
		{"prog serve --|", "--help --level --cert --name --show --no-show"},
		{"prog serve --level |", "warn info"},
		{"prog serve --level = |", "warn info"},
		{"prog serve --level = w|", "warn"},
		{"prog serve --name |", ""},
		{"prog serve --cert |", "files"},
		{"prog keys |", "create export"},
		{"prog keys create -l |", "all none"},
		{"prog keys create --level n|", "none"},
		{"prog keys export |", "users posts"},
		{"prog load |", "files"},
	} {
		words := strings.Split(strings.TrimSuffix(test.line, "|"), " ")
		const ask = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { echo files; }; _prog; echo "${COMPREPLY[*]}"`
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{"--norc", "-c", ask, file}, words...)...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.line, got, err, test.want)
		}
	}
}

func TestUnknownShell(t *testing.T) {
	t.Parallel()
	err := completion.Write(&bytes.Buffer{}, "csh", &kong.Application{Node: &kong.Node{}})
	if want := `no completion for the shell "csh": use one of bash, zsh, fish`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
