package cli_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExport(t *testing.T) {
	t.Parallel()
	url := seeded(t, "--users=3", "--posts-per-user=1")
	for _, test := range []struct{ line, golden string }{
		{"export users", "export-users.csv"},
		{"export posts", "export-posts.csv"},
		{"export users --format=jsonl", "export-users.jsonl"},
		{"export posts --format=jsonl", "export-posts.jsonl"},
	} {
		for range 2 {
			code, stdout, stderr := run(t, append(strings.Fields(test.line), url)...)
			if want := golden(t, test.golden); code != 0 || stderr != "" || stdout != want {
				t.Errorf("%s: code %d, stderr %q, stdout\n%s\nwant\n%s", test.line, code, stderr, stdout, want)
			}
		}
	}
}

func TestExportToFile(t *testing.T) {
	t.Parallel()
	url, dir := seeded(t, "--users=3", "--posts-per-user=1"), t.TempDir()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, test := range []struct{ name, flag, golden string }{
		{"a.csv", "", "export-users.csv"},
		{"a.csv", "", "export-users.csv"}, // over it
		{"a.jsonl", "", "export-users.jsonl"},
		{"a.ndjson.gz", "", "export-users.jsonl"},
		{"a.jsonl.gz", "--format=csv", "export-users.csv"},
		{"b", "--gzip", "export-users.csv"},
		{"c.csv", "--format=auto", "export-users.csv"},
	} {
		code, stdout, stderr := run(t, append([]string{"export", "users", url, "-o", filepath.Join(dir, test.name)}, strings.Fields(test.flag)...)...)
		if code != 0 || stdout != "" || stderr != "" {
			t.Fatalf("%s: code %d, stdout %q, stderr %q", test.name, code, stdout, stderr)
		}
		data := read(test.name)
		if strings.HasSuffix(test.name, ".gz") || test.flag == "--gzip" {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if want := golden(t, test.golden); string(data) != want {
			t.Errorf("%s: %s\nwant\n%s", test.name, data, want)
		}
	}
	first := read("a.ndjson.gz")
	run(t, "export", "users", url, "-o", filepath.Join(dir, "a.ndjson.gz"))
	if !bytes.Equal(read("a.ndjson.gz"), first) {
		t.Error("the same export is other bytes the second time")
	}
}

func TestExportFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "users.csv")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db") // without tables
	code, stdout, stderr := run(t, "export", "users", empty, "-o", file)
	if code != 1 || stdout != "" || !strings.HasSuffix(stderr, "): the schema is older than this program's: run roster migrate up\n") {
		t.Errorf("without tables: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for _, args := range [][]string{
		{"export", "users", seeded(t, "--users=1"), "-o", filepath.Join(dir, "missing", "users.csv")},
		{"export", "users", seeded(t, "--users=1"), "-o", "/dev/full"},
	} {
		code, stdout, stderr := run(t, args...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "roster: export users") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "before" {
		t.Errorf("the file holds %q, %v", data, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the directory holds %v, %v", files, err)
	}
}
