package cli_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contents has the files of a directory, and what links lead to.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			found[name], err = os.Readlink(path)
			return err
		}
		data, err := os.ReadFile(path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// unchanged checks that a directory has the files that it had. SQLite removes its own files when it is closed.
func unchanged(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := contents(t, dir)
	for name, text := range before {
		if after[name] != text {
			t.Errorf("%s: got %.100q, want %.100q as before", name, after[name], text)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("got a new file %s, want none", name)
		}
	}
}

// TestOutputInUse writes to the database, to each of the files beside it and to the input, by all kinds of names: nothing is
// written.
func TestOutputInUse(t *testing.T) {
	t.Parallel()
	const text = "username,email\nada,ada@example.com\nx,\n"
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	database := at("roster.db")
	if code, _, stderr := run(t, "seed", "--users=1", "--database-url=sqlite:"+database); code != 0 {
		t.Fatal(stderr)
	}
	if err := errors.Join(
		os.WriteFile(at("users.csv"), []byte(text), 0o600),
		os.Mkdir(at("beside"), 0o700), os.Symlink("../roster.db", at("beside/up.db")), os.Symlink(dir, at("beside/same")),
		os.Symlink("roster.db", at("soft.db")), os.Symlink("soft.db", at("softer.db")), os.Link(database, at("hard.db")),
		os.Symlink("roster.db-wal", at("soft-wal")), os.Symlink("users.csv", at("soft.csv")), os.Link(at("users.csv"), at("hard.csv")),
	); err != nil {
		t.Fatal(err)
	}
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(working, database)
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	const theDatabase, itsFile, theInput = " is the database: write to another file\n", " is a file of the database: write to another file\n", " is the file that is imported: write to another file\n"
	for _, test := range []struct{ url, path, says string }{
		{database, database, theDatabase},
		{database, relative, theDatabase},
		{database, dir + "/./beside/../roster.db", theDatabase},
		{database, at("beside/same/roster.db"), theDatabase},
		{database, at("beside/up.db"), theDatabase},
		{database, at("softer.db"), theDatabase},
		{database, at("hard.db"), theDatabase},
		{at("softer.db"), database, theDatabase},
		{at("hard.db"), database, theDatabase},
		{at("beside/same/roster.db"), at("soft.db"), theDatabase},
		{database, database + "-migrate", itsFile},
		{database, database + "-wal", itsFile}, // which is not there
		{database, database + "-shm", itsFile},
		{database, database + "-journal", itsFile},
		{database, at("beside/same/roster.db-wal"), itsFile},
		{database, at("soft-wal"), itsFile},
		{at("softer.db"), database + "-wal", itsFile}, // where SQLite has it
		{at("softer.db"), at("softer.db-migrate"), itsFile},
		{"", at("users.csv"), theInput},
		{"", at("soft.csv"), theInput},
		{"", at("hard.csv"), theInput},
		{"", at("beside/same/users.csv"), theInput},
		// A database that an import would make.
		{at("new.db"), at("new.db"), theDatabase},
		{at("new.db"), at("beside/same/new.db"), theDatabase},
		{at("new.db"), at("new.db-wal"), itsFile},
	} {
		url := "--database-url=sqlite:" + test.url
		if test.url == "" {
			url = "--database-url=sqlite:" + database
		}
		commands := map[string][]string{"import " + at("users.csv") + ": --errors": {"import", at("users.csv"), url, "--errors", test.path}}
		if test.says != theInput {
			commands["export users: --output"] = []string{"export", "users", url, "-o", test.path}
		}
		for prefix, command := range commands {
			code, stdout, stderr := run(t, command...)
			if want := "roster: " + prefix + ": " + test.path + test.says; code != 1 || stdout != "" || stderr != want {
				t.Errorf("%v: got code %d, stdout %q, stderr %q, want %q", command, code, stdout, stderr, want)
			}
		}
		unchanged(t, dir, before)
	}
}

// TestOutputPlaces writes to what is there and what is not: links stay, as do permissions, and a new file has those of
// any other.
func TestOutputPlaces(t *testing.T) {
	t.Parallel()
	url, dir := seeded(t, "--users=3", "--posts-per-user=1"), t.TempDir()
	input := filepath.Join(t.TempDir(), "users.csv")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(input, []byte("username,email\nx,\n"), 0o600),
		os.WriteFile(at("old.csv"), []byte("old\n"), 0o600), os.Chmod(at("old.csv"), 0o646),
		os.WriteFile(at("private.csv"), []byte("old\n"), 0o600),
		os.Mkdir(at("there"), 0o700), os.Mkdir(at("there/deep"), 0o700), os.Symlink("there/deep", at("way")),
		os.Symlink("../old.csv", at("there/back.csv")), os.Symlink("there/back.csv", at("link.csv")),
		os.Symlink("way/../new.csv", at("dangling.csv")), // in there, for ".." is that of what a link leads to
		os.Symlink("loop2", at("loop1")), os.Symlink("loop1", at("loop2")), os.Symlink("missing/new.csv", at("nowhere.csv")),
		os.WriteFile(at("usual"), nil, 0o666),
	); err != nil {
		t.Fatal(err)
	}
	usual, err := os.Stat(at("usual"))
	if err != nil {
		t.Fatal(err)
	}
	export := func(path string) []string { return []string{"export", "users", url, "--log-level=error", "-o", path} }
	rejecting := func(path string) []string {
		return []string{"import", input, url, "--dry-run", "--log-level=error", "--errors", path}
	}
	const rejected = "line,field,code,reason\n2,email,BLANK,must not be blank\n"
	for _, command := range []struct {
		line func(path string) []string
		code int
		text string
	}{{export, 0, golden(t, "export-users.csv")}, {rejecting, 3, rejected}} {
		for _, test := range []struct {
			path, file string
			mode       fs.FileMode
		}{
			{"link.csv", "old.csv", 0o646},
			{"private.csv", "private.csv", 0o600},
			{"dangling.csv", "there/new.csv", usual.Mode()},
			{"new.csv", "new.csv", usual.Mode()},
			{"there/../way/new.csv", "there/deep/new.csv", usual.Mode()},
		} {
			before := contents(t, dir)
			code, _, stderr := run(t, command.line(dir+"/"+test.path)...)
			info, err := os.Stat(at(test.file))
			if err != nil || code != command.code || info.Mode() != test.mode {
				t.Fatalf("%s: got code %d, stderr %q, %v, %v, want code %d and the mode %v", test.path, code, stderr, info, err, command.code, test.mode)
			}
			before[test.file] = command.text
			unchanged(t, dir, before)
			if test.mode == usual.Mode() {
				if err := os.Remove(at(test.file)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	before := contents(t, dir)
	for path, says := range map[string]string{
		at("there"):                  " is a directory: give the path of a file",
		at("way"):                    " is a directory: give the path of a file",
		at("there") + "/":            " is a directory: give the path of a file",
		at("missing/new.csv"):        " cannot be written: its directory does not exist",
		at("nowhere.csv"):            " cannot be written: its directory does not exist",
		at("loop1"):                  " cannot be written: its symbolic links lead nowhere",
		at("usual/new.csv"):          " cannot be written: not a directory",
		at(strings.Repeat("x", 256)): " cannot be written: file name too long",
	} {
		for flag, command := range map[string][]string{"export users: --output": export(path), "import " + input + ": --errors": rejecting(path)} {
			if code, stdout, stderr := run(t, command...); code != 1 || stdout != "" || stderr != "roster: "+flag+": "+path+says+"\n" {
				t.Errorf("%v: got code %d, stdout %q, stderr %q, want code 1 and %q", command, code, stdout, stderr, path+says)
			}
		}
	}
	for path, code := range map[string]int{"/dev/null": 0, "/dev/full": 1} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		got, stdout, stderr := run(t, export(path)...)
		after, err := os.Lstat(path)
		if err != nil || got != code || stdout != "" || (stderr == "") != (code == 0) || !os.SameFile(info, after) {
			t.Errorf("%s: got code %d, stdout %q, stderr %q, %v, want code %d and the same device", path, got, stdout, stderr, err, code)
		}
	}
	unchanged(t, dir, before)
}
