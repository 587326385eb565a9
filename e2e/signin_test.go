package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"roster/internal/auth/provider"
	"roster/internal/dbtest"
)

// A block is commands of the README, and the output beside them. Both may be empty.
type block struct{ commands, output string }

// blocks returns the blocks of a section of the README.
func blocks(t *testing.T, section string) (list []block) {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("got no section %s in the README, want one", section)
	}
	after, _, _ = strings.Cut(after, "\n## ")
	for _, match := range regexp.MustCompile("(?s)```(sh|json|)\n(.*?)```").FindAllStringSubmatch(after, -1) {
		if match[1] == "sh" {
			list = append(list, block{commands: match[2]})
		} else {
			list[len(list)-1].output = match[2]
		}
	}
	return list
}

// A shell runs commands one after the other, as a user does.
type shell struct {
	*testing.T

	in  io.WriteCloser
	out *bufio.Reader
}

func newShell(t *testing.T, environment ...string) *shell {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail")
	cmd.Env = append(os.Environ(), environment...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() }) // it may have failed
	return &shell{t, in, bufio.NewReader(out)}
}

// run returns what commands print. They must succeed.
func (s *shell) run(commands string) string {
	s.Helper()
	const end = "== done"
	if _, err := fmt.Fprintf(s.in, "%s\necho; echo '%s'\n", commands, end); err != nil {
		s.Fatalf("%s\ngot %v, want a shell", commands, err)
	}
	printed := ""
	for {
		line, err := s.out.ReadString('\n')
		if line == end+"\n" {
			return strings.TrimSpace(printed)
		}
		if printed += line; err != nil {
			s.Fatalf("%s\ngot %s, %v, want success", commands, printed, err)
		}
	}
}

// TestReadmeSignIn does what the README says to come from make run to an ADMIN and a MEMBER, on every engine. Only the
// addresses differ: the provider and the server are on this machine.
func TestReadmeSignIn(t *testing.T) {
	t.Parallel()
	steps := blocks(t, "Sign in")
	first, start, _ := strings.Cut(steps[0].commands, "\n")
	if len(steps) != 5 || start != "make run\n" || !strings.HasPrefix(first, "export ") {
		t.Fatalf("got the blocks %q, want five, of which the first one starts the server", steps)
	}
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		idp := provider.New(t)
		idp.Be("keycloak")
		idp.Admit(
			provider.Person{Username: "ada", Password: "ADAS-PASSWORD", Email: "ada@example.com", Roles: []string{"ADMIN"}},
			provider.Person{Username: "grace", Password: "GRACES-PASSWORD", Email: "grace@example.com", Roles: []string{"MEMBER"}},
		)
		database := dbtest.Empty(t, e)
		here := []string{"https://login.example.com/realms/acme", idp.Issuer, "bin/roster", binary}
		variables := strings.Fields(strings.NewReplacer(here...).Replace(strings.TrimPrefix(first, "export ")))
		server := startIn(t, variables, binary, database, displayName(t, e, database))
		here = append(here, "http://127.0.0.1:8080", server.URL)
		sh := newShell(t, "DATABASE_URL="+database)
		own := map[string]string{} // the README's IDs to those of this server
		for _, step := range steps[1:] {
			replacements := here
			for theirs, ours := range own {
				replacements = append(replacements, theirs, ours)
			}
			replace := strings.NewReplacer(replacements...)
			got, want := sh.run(replace.Replace(step.commands)), strings.TrimSpace(replace.Replace(step.output))
			if strings.HasPrefix(want, "{") {
				if err := matches(decode(t, step.output), decode(t, got), own); err != nil {
					t.Fatalf("%s\ngot %s, want what the README says: %v", step.commands, got, err)
				}
				continue
			}
			times := regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:]+Z, in (\d+h)?\d+m\d+s`)
			if got, want := times.ReplaceAllString(got, "TIME"), times.ReplaceAllString(want, "TIME"); got != want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", step.commands, got, want)
			}
		}
		server.stop(t, syscall.SIGTERM)
	})
}
