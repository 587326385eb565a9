package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeded returns the flag for a database with some users and posts, which are the same in every run.
func seeded(t *testing.T, flags ...string) string {
	t.Helper()
	url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	if code, _, stderr := run(t, append(append([]string{"seed"}, flags...), url)...); code != 0 {
		t.Fatal(stderr)
	}
	return url
}

func TestStats(t *testing.T) {
	t.Parallel()
	url := seeded(t, "--users=1000", "--posts-per-user=1")
	for _, test := range []struct{ flags, golden string }{
		{"--by=month --from=2023-06-15T12:00:00+02:00 --to=2024-02-10", "stats-month.txt"},
		{"--by=week --to=2024-02-07", "stats-week.txt"},
		{"--to=2024-02-07T00:00:00Z", "stats-day.txt"},
		{"--by=month --to=1990-01-01", "stats-none.txt"},
	} {
		code, stdout, stderr := run(t, append([]string{"stats", url}, strings.Fields(test.flags)...)...)
		if want := golden(t, test.golden); code != 0 || stderr != "" || stdout != want {
			t.Errorf("%s: got code %d, stderr %q, stdout\n%s\nwant code 0 and\n%s", test.flags, code, stderr, stdout, want)
		}
	}
	const want = "roster: --to must be after from\n"
	if code, stdout, stderr := run(t, "stats", url, "--from=2024-01-01", "--to=2024-01-01"); code != 1 || stdout != "" || stderr != want {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 1 and %q", code, stdout, stderr, want)
	}
	file := filepath.Join(t.TempDir(), "roster.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := "--database-url=sqlite:" + file
	if code, stdout, stderr := run(t, "stats", empty); code != 1 || stdout != "" || !strings.HasSuffix(stderr, "): the schema is older than this program's: run roster migrate up\n") {
		t.Errorf("without tables: got code %d, stdout %q, stderr %q, want code 1 and advice to migrate", code, stdout, stderr)
	}
	if code, stdout, stderr := run(t, "stats", url); code != 0 || strings.Count(stdout, "\n") != 35 || stderr != "" {
		t.Errorf("until now: got code %d, stderr %q, stdout\n%s\nwant code 0 and 35 lines", code, stderr, stdout)
	}
}
