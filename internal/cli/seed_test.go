package cli_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSeed(t *testing.T) {
	t.Parallel()
	url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	code, stdout, stderr := run(t, "seed", "--users=500", "--posts-per-user=3", url)
	if code != 0 || !regexp.MustCompile(`^500 users and 1500 posts in \d+\.\d s\n$`).MatchString(stdout) {
		t.Errorf("got code %d, stdout %q, want code 0, 500 users and 1500 posts", code, stdout)
	}
	var progress []string
	for line := range strings.Lines(stderr) {
		if _, told, ok := strings.Cut(line, " msg=seeding "); ok {
			progress = append(progress, told)
		}
	}
	const want = "percent=20 users=500 posts=0\npercent=70 users=500 posts=1000\npercent=100 users=500 posts=1500\n"
	if strings.Join(progress, "") != want || !strings.Contains(stderr, `msg="migration applied"`) {
		t.Errorf("got stderr\n%s\nwant the migrations and\n%s", stderr, want)
	}

	code, stdout, stderr = run(t, "seed", "--users=1", url)
	again := regexp.MustCompile(`^roster: seed SQLite \(.*roster\.db\): the user \S+ \(\S+@\S+\.example\) exists already: seed an empty database\n$`)
	if code != 1 || stdout != "" || !again.MatchString(stderr) {
		t.Errorf("the second time: got code %d, stdout %q, stderr %q, want code 1 and %v", code, stdout, stderr, again)
	}
}
