package main

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roster/ent/migrate/migrations"
	"roster/internal/dbtest"
)

// folders copies the migrations, without the files of the folders that are named.
func folders(t *testing.T, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, migrations.Files); err != nil {
		t.Fatal(err)
	}
	for _, folder := range without {
		if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// diff runs the command, and returns what it wrote, by folder.
func diff(t *testing.T, dir string) (messages string, written map[string]string) {
	t.Helper()
	server, err := url.Parse(dbtest.Empty(t, dbtest.MySQL))
	if err != nil {
		t.Fatal(err)
	}
	server.Path = "" // "make migration" gives the URL of the server, without a database
	variables := map[string]string{"TEST_POSTGRES_URL": dbtest.Empty(t, dbtest.PostgreSQL), "TEST_MYSQL_URL": server.String()}
	var stderr bytes.Buffer
	err = run(t.Context(), dir, []string{"next"}, func(v string) string { return variables[v] }, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*_next.sql"))
	if err != nil {
		t.Fatal(err)
	}
	written = map[string]string{}
	versions := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		versions[filepath.Base(file)] = true
		written[filepath.Base(filepath.Dir(file))] = string(content)
		if !strings.Contains(stderr.String(), "wrote "+file) {
			t.Errorf("output: got no line for %s, want one: %s", file, &stderr)
		}
	}
	if len(files) > 0 && (len(files) != 3 || len(versions) != 1) {
		t.Errorf("files: got %q, want one for each engine", files)
	}
	return stderr.String(), written
}

// A clock that is behind changes nothing about the order of migrations.
func TestAfter(t *testing.T) {
	t.Parallel()
	dir := folders(t)
	now := time.Date(2099, 1, 2, 3, 4, 5, 6, time.UTC)
	for name, want := range map[string]time.Time{
		"20981231000000_older.sql": now,
		"20990102030405_same.sql":  now.Truncate(time.Second).Add(time.Second),
		"20990102030459_newer.sql": time.Date(2099, 1, 2, 3, 5, 0, 0, time.UTC),
	} {
		file := filepath.Join(dir, "mysql", name)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := after(dir, now); err != nil || !got.Equal(want) {
			t.Errorf("after %s: %v, %v, want %v", name, got, err, want)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "mysql", "next.sql"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := after(dir, now); err == nil {
		t.Error("a file without a version: got no error, want one")
	}
}

func TestNothingToDo(t *testing.T) {
	t.Parallel()
	messages, written := diff(t, folders(t))
	if messages != "the migrations lead to package tables already\n" || len(written) > 0 {
		t.Errorf("got the messages %q and the files %v, want no files", messages, written)
	}
}

func TestEverythingToDo(t *testing.T) {
	t.Parallel()
	_, written := diff(t, folders(t, "sqlite3", "postgres", "mysql"))
	for folder, content := range written {
		if !strings.HasPrefix(content, "-- +goose Up\n") || !strings.Contains(content, "CREATE TABLE") || !strings.Contains(content, "\n-- +goose Down\n") {
			t.Errorf("%s: got\n%s\nwant the change, or nothing to do", folder, content)
		}
	}
}

func TestSomethingToDoOnOneEngine(t *testing.T) {
	t.Parallel()
	_, written := diff(t, folders(t, "mysql"))
	if written["sqlite3"] != nothing || written["postgres"] != nothing || !strings.Contains(written["mysql"], "CREATE TABLE") {
		t.Errorf("files of a second run: got %q, want none", written)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give one name":     {},
		"one name":          {"a", "b"},
		"lower-case":        {"Add Bio"},
		"TEST_POSTGRES_URL": {"add_bio"},
	} {
		err := run(t.Context(), t.TempDir(), args, func(string) string { return "" }, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error", args, err)
		}
	}
}
