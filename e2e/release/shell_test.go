//go:build release

package release

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// complete asks the shells what follows the words of command lines. The tests of internal/completion ask bash.
func complete(t *testing.T, program string) {
	dir := t.TempDir()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := command(t.Context(), t, program, "completion", shell)
		if err := os.WriteFile(filepath.Join(dir, "roster."+shell), []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t.Context(), t, "bash", "-n", filepath.Join(dir, "roster.bash"))
	for _, test := range []struct {
		line string
		want []string
	}{
		{"roster ke", []string{"keys"}},
		{"roster keys ", []string{"create", "list", "revoke"}},
		{"roster serve --log-f", []string{"--log-format"}},
		{"roster serve --log-format ", []string{"json", "text"}},
		{"roster export ", []string{"posts", "users"}},
	} {
		out := command(t.Context(), t, "fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, filepath.Join(dir, "roster.fish"), test.line)
		var got []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, word)
		}
		if strings.Join(got, " ") != strings.Join(test.want, " ") {
			t.Errorf("fish: %q: got %q, want %q", test.line, got, test.want)
		}
		zsh(t, filepath.Join(dir, "roster.zsh"), test.line, test.want)
	}
}

// zsh checks that the screen shows words, in this order, after a line and two Tabs. zsh completes only on a terminal: zpty is
// one.
func zsh(t *testing.T, script, line string, words []string) {
	t.Helper()
	const ask = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -U compinit; compinit -u -D; source $1; print -r -- re''ady"
zpty -r -m shell out '*ready*'
zpty -n -w shell "$2"$'\t\t'
zpty -r -m shell out "*${(j:*:)@[3,-1]}*"
zpty -d shell
`
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "zsh", append([]string{"-f", "-c", ask, "ask", script, line}, words...)...)
	cmd.Env = append(os.Environ(), "TERM=dumb", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("zsh: %q: got no %q within 30 seconds: %v %s", line, words, err, out)
	}
}
