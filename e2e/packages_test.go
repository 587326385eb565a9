package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roster/internal/dbtest"
)

// packages is what dpkg-query prints of a machine with a few packages, of the kinds that the README tells about.
const packages = "" +
	"Ondřej Surý <ondrej@debian.org>\tphp\tserver-side, \"HTML-embedded\" language\n" +
	"Debian QA Group <packages@qa.debian.org>\tsgml-base\tSGML infrastructure\n" +
	"ChangZhuo Chen (陳昌倬) <czchen@debian.org>\tjq\tJSON processor\n" +
	"Ondřej Surý <ondrej@debian.org>\tbind9\tdomain name server\n" +
	"Debian Release Team <packages@release.debian.org>\tdebian-archive-keyring\tkeys, of the archive\n" +
	"https://example.com/cloud/\tcloud-cli\tutilities\n"

// TestReadmePackages runs the README's import of a machine's packages: of those above on each engine, and of those of
// this machine where there are any.
func TestReadmePackages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```sh\n(dpkg-query .*?)```").FindSubmatch(text)
	if commands == nil {
		t.Fatal("the README: got no import of packages, want one")
	}
	for _, said := range []string{
		"users         167          0          0          0          2\n", "field,code,reason\n", "email,INVALID,must be an address such as ada@example.com\n",
		",,INVALID,belongs to a user that is rejected\n", "username,TAKEN,is taken\n",
	} {
		if !strings.Contains(string(text), said) {
			t.Errorf("got a README without %q, want it", said)
		}
	}
	binary := build(t)
	importPackages := func(t *testing.T, database, programs string) (dir, stdout string, code int) {
		t.Helper()
		dir = t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(binary, filepath.Join(dir, "bin", "roster")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `PATH="$0:$PATH"; `+string(commands[1]), programs)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
		out, err := cmd.Output()
		if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
			t.Fatal(err)
		}
		return dir, string(out), cmd.ProcessState.ExitCode()
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		bin := t.TempDir()
		script := "#!/bin/sh\ncat <<'END'\n" + packages + "END\n"
		if err := os.WriteFile(filepath.Join(bin, "dpkg-query"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		database := dbtest.Empty(t, e)
		dir, stdout, code := importPackages(t, database, bin)
		const want = "          created    updated  unchanged    skipped   rejected\n" +
			"users           3          0          0          0          2\n" +
			"posts           4          0          0          0          2\n" +
			"11 rows in "
		if code != 3 || !strings.HasPrefix(stdout, want) {
			t.Errorf("code %d, stdout\n%s\nwant\n%s", code, stdout, want)
		}
		const reasons = "line,field,code,reason\n" +
			"3,email,INVALID,must be an address such as ada@example.com\n3,,INVALID,belongs to a user that is rejected\n" +
			"7,username,TAKEN,is taken\n7,,INVALID,belongs to a user that is rejected\n"
		if got, err := os.ReadFile(filepath.Join(dir, "rejected.csv")); err != nil || string(got) != reasons {
			t.Errorf("%v, rejected\n%s\nwant\n%s", err, got, reasons)
		}
		posts := rosterOn(t.Context(), t, binary, database, "export", "posts")
		for _, post := range []string{`,php,"Ondřej Surý: server-side, ""HTML-embedded"" language",`, `,jq,ChangZhuo Chen (陳昌倬): JSON processor,`} {
			if !strings.Contains(posts, post) {
				t.Errorf("got the posts\n%s\nwant %s among them", posts, post)
			}
		}
	})
	if _, err := exec.LookPath("dpkg-query"); err == nil {
		database := dbtest.Empty(t, dbtest.SQLite)
		_, stdout, code := importPackages(t, database, t.TempDir())
		if code != 0 && code != 3 {
			t.Errorf("of this machine: got code %d, stdout %s, want code 0 or 3", code, stdout)
		}
		if posts := strings.Count(rosterOn(t.Context(), t, binary, database, "export", "posts"), ",1\n"); posts == 0 {
			t.Errorf("of this machine: got no packages, want some: %s", stdout)
		}
	}
}
