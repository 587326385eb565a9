package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"roster/internal/dbtest"
)

var longBodies = flag.Int("bodies", 10, "how many posts with the longest bodies TestLongBodies imports and exports on each engine")

// Of a program with long bodies: its memory, as RLIMIT_DATA counts it, and the length of the bodies.
const (
	dataKiB   = 512 << 10
	bodyBytes = 4 << 20

	longAuthor = "user_01hf7yat00fbkbgftfr34ex7ze"
)

// within runs a command in so many KiB of memory, on a database.
func within(t *testing.T, kib int, binary, database string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", fmt.Sprintf(`ulimit -d %d; exec "$0" "$@"`, kib), binary}, args...)...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	var out, failures bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failures
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), failures.String(), code
}

// bodiesFile writes a user and posts whose bodies are as long as they may be, of the bytes that take most in JSON, in CSV
// and in memory. Files that differ in the mark have other bodies of the same length.
func bodiesFile(t *testing.T, mark string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "long.jsonl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	err = lines.Encode(map[string]string{"id": longAuthor, "username": "ada", "email": "ada@example.com"})
	for i := range *longBodies {
		text := []string{"\x01", "\"", "\\", "😀", "\u2028"}[i%5]
		body := mark + strings.Repeat(text, (bodyBytes-len(mark))/len(text))
		body += strings.Repeat("x", bodyBytes-len(body))
		err = errors.Join(err, lines.Encode(map[string]string{
			"id": fmt.Sprintf("post_01hf7yat00fbkbgftfr0%06d", i), "authorId": longAuthor, "title": fmt.Sprint("long ", i), "body": body,
		}))
	}
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestLongBodies imports posts with the longest bodies, updates all of them by another import, and exports and imports
// them again, in 512 MiB of memory: nothing is lost on the way.
func TestLongBodies(t *testing.T) {
	t.Parallel()
	binary := build(t)
	one, two := bodiesFile(t, "one"), bodiesFile(t, "two")
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		database := dbtest.Empty(t, e)
		taken := func(database, file, want string, flags ...string) {
			t.Helper()
			out, failures, code := within(t, dataKiB, binary, database, append([]string{"import", "--log-level=error", "--statement-timeout=5m", file}, flags...)...)
			if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), fmt.Sprintf(want, *longBodies)) {
				t.Fatalf("import %v: got code %d, stdout %q, stderr %.1000q, want code 0 and %q", flags, code, out, failures, fmt.Sprintf(want, *longBodies))
			}
		}
		written := func(database, what, name string) string {
			t.Helper()
			name = filepath.Join(t.TempDir(), name)
			if _, failures, code := within(t, dataKiB, binary, database, "export", "--log-level=error", what, "-o", name); code != 0 {
				t.Fatalf("export: got code %d, stderr %.1000q, want code 0", code, failures)
			}
			return name
		}
		taken(database, one, "posts %d 0 0 0 0")
		taken(database, two, "posts 0 %d 0 0 0", "--on-conflict=update")
		taken(database, two, "posts 0 0 %d 0 0", "--on-conflict=update")
		users := written(database, "users", "users.csv")
		for _, name := range []string{"posts.csv", "posts.jsonl.gz"} {
			posts := written(database, "posts", name)
			copied := dbtest.Empty(t, e)
			rosterOn(t.Context(), t, binary, copied, "import", "--log-level=error", users)
			taken(copied, posts, "posts %d 0 0 0 0")
			same(t, posts, written(copied, "posts", name))
		}
	})
}

// TestLongBodiesThere updates posts with long bodies by rows that are short: all of them are in one chunk, and what they
// replace is more than the memory that there is.
func TestLongBodiesThere(t *testing.T) {
	t.Parallel()
	const posts, kib = 80, 256 << 10 // a quarter of a GiB, and posts of more
	binary := build(t)
	file := func(body func(i int) string) string {
		name := filepath.Join(t.TempDir(), "posts.csv")
		var text strings.Builder
		text.WriteString("id,authorId,title,body\n")
		for i := range posts {
			fmt.Fprintf(&text, "post_01hf7yat00fbkbgftfr0%06d,%s,t,%s\n", i, longAuthor, body(i))
		}
		if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	users := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(users, []byte("id,username,email\n"+longAuthor+",ada,ada@example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := file(func(int) string { return strings.Repeat("x", bodyBytes) })
	short := file(func(i int) string { return fmt.Sprint(i) })
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		database := dbtest.Empty(t, e)
		rosterOn(t.Context(), t, binary, database, "import", "--log-level=error", users)
		for _, step := range []struct{ file, mode, want string }{
			{long, "fail", "posts 80 0 0 0 0"},
			{short, "skip", "posts 0 0 0 80 0"},
			{short, "update", "posts 0 80 0 0 0"},
			{short, "update", "posts 0 0 80 0 0"},
		} {
			out, failures, code := within(t, kib, binary, database, "import", "--log-level=error", "--statement-timeout=5m", "--on-conflict="+step.mode, step.file)
			if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), step.want) {
				t.Fatalf("%s: code %d, stdout %q, stderr %.1000q", step.want, code, out, failures)
			}
		}
	})
}

// same checks that two files have the same bytes.
func same(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cmp", a, b).CombinedOutput(); err != nil {
		t.Errorf("got %v: %.200s, want the same bytes", err, out)
	}
}
