package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"roster/internal/dbtest"
)

// importing is "roster import" with its standard input open.
type importing struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr bytes.Buffer
}

func startImport(t *testing.T, binary, database string, flags ...string) *importing {
	t.Helper()
	i := &importing{cmd: exec.CommandContext(t.Context(), binary, append([]string{"import", "--log-level=error"}, flags...)...)}
	i.cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	i.cmd.Stdout, i.cmd.Stderr = &i.stdout, &i.stderr
	var err error
	if i.stdin, err = i.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.cmd.Process.Kill() })
	i.write(t, "username,email\n")
	return i
}

func (i *importing) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(i.stdin, text); err != nil {
		t.Fatalf("write to the import: got %v, want no error; stderr: %s", err, &i.stderr)
	}
}

// Rows that are read ahead of those that are written: two pieces of the file wait, and what pipes and buffers hold.
const (
	importPiece = 4096
	inTheMiddle = 8 * importPiece
)

// send sends so many users that, when they have been taken, some of them are written: the import is in the middle.
func (i *importing) send(t *testing.T) {
	t.Helper()
	i.write(t, usersFile(inTheMiddle))
}

func usersFile(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "user%d,user%d@example.com\n", i+1, i+1)
	}
	return b.String()
}

// end waits for the end.
func (i *importing) end(t *testing.T) (code int) {
	t.Helper()
	err := i.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// roster runs a command on a database.
func rosterOn(ctx context.Context, t *testing.T, binary, database string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: got %v, want no error", args, err)
	}
	return string(out)
}

// holds checks that a database has the first n users of the file, and a change for each.
func holds(t *testing.T, e dbtest.Engine, binary, database string, n int) {
	t.Helper()
	lines := strings.Split(rosterOn(t.Context(), t, binary, database, "export", "users"), "\n")
	users := lines[1 : len(lines)-1]
	if len(users) != n {
		t.Fatalf("%d users, want %d", len(users), n)
	}
	for i, line := range users {
		if name := "user" + strconv.Itoa(i+1); strings.Split(line, ",")[1] != name {
			t.Fatalf("user %d is %s, want %s", i, line, name)
		}
	}
	server := start(t, binary, database, displayName(t, e, database))
	defer server.stop(t, syscall.SIGTERM)
	changed, after := 0, "null"
	for caughtUp := false; !caughtUp; {
		var page struct {
			Data struct {
				Changes struct {
					Changes   []struct{ Kind string }
					EndCursor string
					CaughtUp  bool
				}
			}
		}
		answer := server.ask(t, `{ changes(first: 1000, after: `+after+`) { changes { kind } endCursor caughtUp } }`)
		if err := json.Unmarshal([]byte(answer), &page); err != nil || page.Data.Changes.EndCursor == "" {
			t.Fatalf("got %v, %s, want a page with its end", err, answer)
		}
		changed += len(page.Data.Changes.Changes)
		after, caughtUp = strconv.Quote(page.Data.Changes.EndCursor), page.Data.Changes.CaughtUp
	}
	if changed != n {
		t.Errorf("got %d changes, want %d: one for each user; the server says: %s", changed, n, server.Log)
	}
}

// TestImportStopped stops imports in the middle, in each way: nothing of them is left, or whole batches are, and running
// it again completes it.
func TestImportStopped(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		database := dbtest.Empty(t, e)
		rosterOn(t.Context(), t, binary, database, "migrate", "up")
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
			i := startImport(t, binary, database)
			i.send(t)
			if err := i.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			want, says := 130, "roster: import -: interrupted: nothing is imported\n"
			if signal == syscall.SIGKILL {
				want, says = -1, ""
			}
			if code := i.end(t); code != want || i.stdout.Len() > 0 || i.stderr.String() != says {
				t.Errorf("%v: got code %d, stdout %q, stderr %q, want code %d and %q", signal, code, &i.stdout, &i.stderr, want, says)
			}
		}
		holds(t, e, binary, database, 0)

		const batch = 1000
		i := startImport(t, binary, database, "--batch="+strconv.Itoa(batch))
		i.send(t)
		if err := i.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		i.end(t)
		lines := strings.Count(rosterOn(t.Context(), t, binary, database, "export", "users"), "\n") - 1
		if lines == 0 || lines%batch != 0 || lines >= inTheMiddle {
			t.Errorf("a killed import: got %d users, want whole batches of %d, fewer than %d", lines, batch, inTheMiddle)
		}
		again := startImport(t, binary, database, "--on-conflict=skip", "--batch=5000")
		again.send(t)
		if err := again.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		says := fmt.Sprintf("\nusers   %9d          0          0  %9d          0\n", inTheMiddle-lines, lines)
		if code := again.end(t); code != 0 || !strings.Contains(again.stdout.String(), says) {
			t.Errorf("again: code %d, stdout %q, want %q, stderr %q", code, &again.stdout, says, &again.stderr)
		}
		holds(t, e, binary, database, inTheMiddle)
	})
}

// TestImportLosesDatabase cuts the connection in the middle.
func TestImportLosesDatabase(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			database := dbtest.Empty(t, e)
			rosterOn(t.Context(), t, binary, database, "migrate", "up")
			behind, proxy := dbtest.ProxyURL(t, database)
			i := startImport(t, binary, behind)
			i.send(t)
			proxy.Cut()
			_ = i.stdin.Close() // when the import has not seen it yet
			if code := i.end(t); code != 1 || i.stdout.Len() > 0 || !strings.HasSuffix(i.stderr.String(), ": nothing is imported\n") || strings.Count(i.stderr.String(), "\n") != 1 {
				t.Errorf("got code %d, stdout %q, stderr %q, want code 1 and that nothing is imported", code, &i.stdout, &i.stderr)
			}
			holds(t, e, binary, database, 0)
		})
	}
}

// TestImportFillsDisk lets no file of the program grow beyond a few megabytes, which is what a full disk is to SQLite.
func TestImportFillsDisk(t *testing.T) {
	t.Parallel()
	binary := build(t)
	database := dbtest.Empty(t, dbtest.SQLite)
	rosterOn(t.Context(), t, binary, database, "migrate", "up")
	file := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(file, []byte("username,email\n"+usersFile(100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap "" XFSZ; ulimit -f 8192; exec "$0" "$@"`, binary, "import", "--log-level=error", file)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || !strings.HasSuffix(string(out), ": nothing is imported\n") {
		t.Errorf("got %v, %s, want code 1, and that nothing is imported", err, out)
	}
	holds(t, dbtest.SQLite, binary, database, 0)
}
