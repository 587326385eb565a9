package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roster/internal/cli"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
)

// pathOf returns the path of the database of a flag that seeded has made.
func pathOf(flag string) string { return strings.TrimPrefix(flag, "--database-url=sqlite:") }

// execute runs statements on an SQLite file, which need not be Roster's. It creates a missing file.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Options{
		URL: "sqlite:" + path, MaxConnections: 1, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	tx := db.Session(database.Write)
	defer tx.Rollback()
	for _, s := range statements {
		if _, err := database.Affected(t.Context(), tx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := errors.Join(tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// exported returns all users and posts of a database.
func exported(t *testing.T, url string) string {
	t.Helper()
	var all string
	for _, what := range []string{"users", "posts"} {
		code, stdout, stderr := run(t, "export", what, url, "--log-level=error")
		if code != 0 {
			t.Fatal(stderr)
		}
		all += stdout
	}
	return all
}

// TestBackup makes a backup and restores it, into no database and in place of another.
func TestBackup(t *testing.T) {
	t.Parallel()
	url, dir := seeded(t, "--users=20", "--posts-per-user=2"), t.TempDir()
	file, want := filepath.Join(dir, "backup.db"), exported(t, url)
	code, stdout, stderr := run(t, "backup", file, url, "--log-level=error")
	form := regexp.MustCompile(`^\S+/backup\.db is a backup of SQLite \(\S+\), as of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: [\d.]+ kB in [\d.]+m?s\n$`)
	if code != 0 || stderr != "" || !form.MatchString(stdout) {
		t.Fatalf("got code %d, stdout %q, stderr %q, want code 0 and %v", code, stdout, stderr, form)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want a file that its owner alone can read", info, err)
	}
	if got := contents(t, dir); len(got) != 1 {
		t.Errorf("got %d files, want the backup alone", len(got))
	}
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"an existing file":      {[]string{"backup", file, url}, 1, "exists: choose another name, or replace it with --replace\n"},
		"replaced":              {[]string{"backup", file, url, "--replace", "--log-level=error"}, 0, ""},
		"an existing database":  {[]string{"restore", file, url}, 1, "exists: replace it with --replace; it stays beside the restored one\n"},
		"a wrong database":      {[]string{"backup", file + "2", "--database-url=sqlite:" + file + "3"}, 1, "there is no such file"},
		"a missing backup":      {[]string{"restore", file + "2", url, "--replace"}, 1, "restore " + file + "2: there is no such file: correct the path\n"},
		"a missing directory":   {[]string{"restore", file, "--database-url=sqlite:" + dir + "/missing/roster.db"}, 1, "its directory does not exist"},
		"a file as a directory": {[]string{"backup", file + "/b.db", url}, 1, "cannot be written: not a directory\n"},
		"a directory to backup": {[]string{"backup", dir, url}, 1, "is a directory: give the path of a file"},
	} {
		if code, _, stderr := run(t, test.args...); code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: got code %d, stderr %q, want code %d and %q", name, code, stderr, test.code, test.says)
		}
	}
	fresh := "--database-url=sqlite:" + filepath.Join(dir, "fresh.db")
	code, stdout, stderr = run(t, "restore", file, fresh, "--log-level=error")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "is restored from "+file+", a backup as of 2") || strings.Contains(stdout, "The old database") {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 0 and a restored database", code, stdout, stderr)
	}
	if got := exported(t, fresh); got != want {
		t.Errorf("a restored database: got\n%.300s\nwant\n%.300s", got, want)
	}
	if code, _, stderr := run(t, "seed", fresh, "--seed=2", "--log-level=error"); code != 0 {
		t.Fatal(stderr)
	}
	later := exported(t, fresh)
	code, stdout, stderr = run(t, "restore", file, fresh, "--replace", "--log-level=error")
	old := regexp.MustCompile(`The old database is (\S+)\. Delete it`).FindStringSubmatch(stdout)
	if code != 0 || stderr != "" || old == nil {
		t.Fatalf("got code %d, stdout %q, stderr %q, want code 0 and the name of the old database", code, stdout, stderr)
	}
	if got := exported(t, fresh); got != want {
		t.Errorf("a replaced database: got\n%.300s\nwant\n%.300s", got, want)
	}
	if got := exported(t, "--database-url=sqlite:"+old[1]); got != later {
		t.Errorf("the old database: got\n%.300s\nwant\n%.300s", got, later)
	}
	for name := range contents(t, dir) {
		if strings.HasPrefix(name, ".roster") {
			t.Errorf("got the file %s, want no temporary file", name)
		}
	}
}

// TestBackupOntoItself names the database, and its files, as the backup, by all kinds of paths.
func TestBackupOntoItself(t *testing.T) {
	t.Parallel()
	url := seeded(t, "--users=2", "--posts-per-user=1")
	path := pathOf(url)
	dir := filepath.Dir(path)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Symlink(path, at("soft.db")), os.Link(path, at("hard.db")), os.Symlink(".", at("same"))); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	for _, name := range []string{"roster.db", "soft.db", "hard.db", "same/roster.db", "roster.db-wal", "roster.db-migrate"} {
		code, _, stderr := run(t, "backup", at(name), url, "--replace")
		if code != 1 || !strings.Contains(stderr, " is the database: write to another file") && !strings.Contains(stderr, " is a file of the database: write to another file") {
			t.Errorf("backup to %s: got code %d, stderr %q, want a refusal", name, code, stderr)
		}
		code, _, stderr = run(t, "restore", at(name), url, "--replace")
		if code != 1 || !strings.Contains(stderr, "this is the database") && !strings.Contains(stderr, "this is a file of the database") && !strings.Contains(stderr, "there is no such file") {
			t.Errorf("restore of %s: got code %d, stderr %q, want a refusal", name, code, stderr)
		}
	}
	code, _, stderr := run(t, "backup", "/dev/full", url, "--replace")
	if code != 1 || stderr != "roster: backup: /dev/full is a pipe or a device: give the path of a file\n" {
		t.Errorf("got code %d, stderr %q, want a refusal of a device", code, stderr)
	}
	unchanged(t, dir, before)
}

// TestRestoreRefuses restores files that are no complete backups of this or an earlier release.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	url, dir := seeded(t, "--users=200", "--posts-per-user=2"), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if code, _, stderr := run(t, "backup", at("good.db"), url, "--log-level=error"); code != 0 {
		t.Fatal(stderr)
	}
	good, err := fs.ReadFile(os.DirFS(dir), "good.db")
	if err != nil {
		t.Fatal(err)
	}
	middle := bytes.Clone(good)
	for i := len(middle) / 2; i < len(middle)/2+20_000; i++ {
		middle[i] ^= 0xff
	}
	for name, content := range map[string][]byte{
		"text.db": []byte("username,email\n"), "empty.db": nil, "truncated.db": good[:len(good)/2], "start.db": good[:100], "middle.db": middle, "newer.db": good,
	} {
		if err := os.WriteFile(at(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, at("foreign.db"), "CREATE TABLE users (id INTEGER PRIMARY KEY)")
	execute(t, at("goose.db"), "CREATE TABLE goose_db_version (version_id INTEGER)", "INSERT INTO goose_db_version VALUES (1)")
	execute(t, at("newer.db"), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (29990101000000, 1)")
	path := pathOf(url)
	before := contents(t, filepath.Dir(path))
	for name, says := range map[string]string{
		"text.db":      "this is not an SQLite database: choose a file that roster backup has made",
		"empty.db":     "this is not an SQLite database",
		"start.db":     "the file is damaged or incomplete: choose another backup",
		"truncated.db": "the file is damaged or incomplete: choose another backup",
		"middle.db":    "the file is damaged or incomplete: choose another backup",
		"foreign.db":   "this is an SQLite database of another program, not of Roster: choose another file",
		"goose.db":     "this is an SQLite database of another program, not of Roster",
		"newer.db":     "its schema has version 29990101000000, newer than this program's 2026",
		".":            "this is a directory",
	} {
		code, stdout, stderr := run(t, "restore", at(name), url, "--replace", "--log-level=error")
		if code != 1 || stdout != "" || !strings.Contains(stderr, says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: got code %d, stdout %q, stderr %q, want code 1 and %q in one line", name, code, stdout, stderr, says)
		}
	}
	unchanged(t, filepath.Dir(path), before)
}

// TestBackupOfEarlierSchema backs up a database before its migration, as before an upgrade. The restored one is migrated.
func TestBackupOfEarlierSchema(t *testing.T) {
	t.Parallel()
	url, file := seeded(t, "--users=3", "--posts-per-user=1"), filepath.Join(t.TempDir(), "backup.db")
	want := exported(t, url)
	if code, _, stderr := run(t, "migrate", "down", "--to=20261129012500", url); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := run(t, "backup", file, url, "--log-level=warn")
	if code != 0 || !strings.Contains(stderr, "the backup is complete, but its time cannot be recorded") {
		t.Fatalf("got code %d, stderr %q, want code 0 and a warning", code, stderr)
	}
	code, stdout, stderr := run(t, "restore", file, url, "--replace", "--log-level=error")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "backup.db.\napplied  20261129064730 backups\n") {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 0 and the applied migration", code, stdout, stderr)
	}
	if got := exported(t, url); got != want {
		t.Errorf("got\n%.300s\nwant\n%.300s", got, want)
	}
}

// TestBackupInterrupted ends a backup and a restore by a signal.
func TestBackupInterrupted(t *testing.T) {
	t.Parallel()
	url, dir := seeded(t, "--users=2", "--posts-per-user=1"), t.TempDir()
	file := filepath.Join(dir, "backup.db")
	if code, _, stderr := run(t, "backup", file, url, "--log-level=error"); code != 0 {
		t.Fatal(stderr)
	}
	before := contents(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"backup", filepath.Join(dir, "b.db"), url}, {"restore", file, "--database-url=sqlite:" + filepath.Join(dir, "c.db")}} {
		var stdout, stderr bytes.Buffer
		code := cli.Run(ctx, append(args, "--log-level=error"), noEnvironment, strings.NewReader(""), &stdout, &stderr, "1.2.3")
		if code != 130 || stdout.String() != "" || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("%v: got code %d, stdout %q, stderr %q, want code 130", args, code, stdout.String(), stderr.String())
		}
	}
	unchanged(t, dir, before)
}

// TestRecordBackup records backups on every engine. A server reads the time of the last one.
func TestRecordBackup(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = url })
		if at, recorded, err := db.LastBackup(t.Context()); recorded || err != nil {
			t.Errorf("before a backup: got %v, %t, %v, want none", at, recorded, err)
		}
		form := regexp.MustCompile(`^A backup of .+ is recorded, as of (\S+)\.\n$`)
		for range 2 {
			code, stdout, stderr := run(t, "backup", "--record", "--database-url", url)
			match := form.FindStringSubmatch(stdout)
			if code != 0 || match == nil || stderr != "" {
				t.Fatalf("got code %d, stdout %q, stderr %q, want code 0 and %v", code, stdout, stderr, form)
			}
			at, recorded, err := db.LastBackup(t.Context())
			if got := at.Format("2006-01-02T15:04:05Z"); !recorded || err != nil || got != match[1] {
				t.Errorf("got %s, %t, %v, want %s", got, recorded, err, match[1])
			}
		}
		at, _, err := db.LastBackup(t.Context())
		if err := errors.Join(err, db.RecordBackup(t.Context(), at), db.RecordBackup(t.Context(), at.AddDate(-1, 0, 0))); err != nil {
			t.Fatal(err)
		}
		if again, recorded, err := db.LastBackup(t.Context()); !again.Equal(at) || !recorded || err != nil {
			t.Errorf("after an older backup: got %v, %t, %v, want %v", again, recorded, err, at)
		}
		if e == dbtest.SQLite {
			return
		}
		for _, args := range [][]string{{"backup", "x.db"}, {"restore", "x.db"}} {
			code, stdout, stderr := run(t, append(args, "--database-url", url)...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, "roster: only an SQLite database is backed up and restored by roster: use pg_dump or mariadb-dump, as docs/operations.md says; see roster "+args[0]) {
				t.Errorf("%v: got code %d, stdout %q, stderr %q, want code 2 and the tools", args, code, stdout, stderr)
			}
		}
	})
}
