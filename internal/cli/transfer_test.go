package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
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
			code, stdout, stderr := run(t, append(strings.Fields(test.line), url, "--log-level=warn")...)
			if want := golden(t, test.golden); code != 0 || stderr != "" || stdout != want {
				t.Errorf("%s: got code %d, stderr %q, stdout\n%s\nwant\n%s", test.line, code, stderr, stdout, want)
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
		{"d.json", "", "export-users.jsonl"},
		{"e.JSONL", "", "export-users.jsonl"},
		{"f.csv.GZ", "", "export-users.csv"},
		{"g.NdJson.Gz", "", "export-users.jsonl"},
	} {
		code, stdout, stderr := run(t, append([]string{"export", "users", url, "--log-level=warn", "-o", filepath.Join(dir, test.name)}, strings.Fields(test.flag)...)...)
		if code != 0 || stdout != "" || stderr != "" {
			t.Fatalf("%s: got code %d, stdout %q, stderr %q, want code 0 and nothing", test.name, code, stdout, stderr)
		}
		data := read(test.name)
		if strings.HasSuffix(strings.ToLower(test.name), ".gz") || test.flag == "--gzip" {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if want := golden(t, test.golden); string(data) != want {
			t.Errorf("%s: got %s\nwant\n%s", test.name, data, want)
		}
	}
	first := read("a.ndjson.gz")
	run(t, "export", "users", url, "-o", filepath.Join(dir, "a.ndjson.gz"))
	if !bytes.Equal(read("a.ndjson.gz"), first) {
		t.Errorf("the second export: got %q, want %q as the first one", read("a.ndjson.gz"), first)
	}
}

func TestExportFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "users.csv")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(t.TempDir(), "roster.db")
	if err := os.WriteFile(database, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := "--database-url=sqlite:" + database // without tables
	code, stdout, stderr := run(t, "export", "users", empty, "-o", file)
	if code != 1 || stdout != "" || !strings.HasSuffix(stderr, "): the schema is older than this program's: run roster migrate up\n") {
		t.Errorf("without tables: got code %d, stdout %q, stderr %q, want code 1 and advice to migrate", code, stdout, stderr)
	}
	for _, args := range [][]string{
		{"export", "users", seeded(t, "--users=1"), "-o", filepath.Join(dir, "missing", "users.csv")},
		{"export", "users", seeded(t, "--users=1"), "--log-level=warn", "-o", "/dev/full"},
	} {
		code, stdout, stderr := run(t, args...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "roster: export users") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: got code %d, stdout %q, stderr %q, want code 1 and an error of one line", args, code, stdout, stderr)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "before" {
		t.Errorf("got the file %q, %v, want it as before", data, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("got the files %v, %v, want the first one alone", files, err)
	}
}

// TestSpreadsheet exports texts that a spreadsheet would execute, and imports them again.
func TestSpreadsheet(t *testing.T) {
	t.Parallel()
	const user = "user_01jvsz5r0xe3k8m1p4s6t9w2yb"
	at := func(name string) string { return "--database-url=sqlite:" + filepath.Join(t.TempDir(), name) }
	load := func(url, text string, flags ...string) {
		t.Helper()
		if code, _, stderr := feedIn(t, text, append([]string{"import", url}, flags...)...); code != 0 {
			t.Fatal(stderr)
		}
	}
	exported := func(url, what string, flags ...string) string {
		t.Helper()
		code, stdout, stderr := run(t, append([]string{"export", what, url}, flags...)...)
		if code != 0 {
			t.Fatal(stderr)
		}
		return stdout
	}
	url := at("roster.db")
	load(url, `{"id":"`+user+`","username":"ada","email":"=ada@example.com","version":2.0}`)
	for _, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''=1", "'quoted'", "null", " =1", "a=1", "\uff1d1", "'"} {
		post, err := json.Marshal(map[string]string{"authorId": user, "title": text, "body": "\t" + text})
		if err != nil {
			t.Fatal(err)
		}
		load(url, string(post))
	}
	users, posts := exported(url, "users", "--spreadsheet"), exported(url, "posts", "--spreadsheet")
	if !strings.HasPrefix(users, "\ufeffid,") || !strings.Contains(users, ",ada,'=ada@example.com,") || !strings.HasPrefix(posts, "\ufeffid,") {
		t.Errorf("got the cells\n%s%s\nwant a byte-order mark, and an apostrophe before the email", users, posts)
	}
	for _, cell := range []string{
		",'=1+1,", ",'+1,", ",'-1,", ",'@SUM(A1),", ",''=1,", ",'''=1,", ",'quoted',", ",null,", ",' =1,", ",a=1,", ",'\uff1d1,", ",',", ",\"'\t=1+1\",",
	} {
		if !strings.Contains(posts, cell) {
			t.Errorf("got\n%s\nwant the cell %s in it", posts, cell)
		}
	}
	for name, flags := range map[string][]string{"plain.db": nil, "spreadsheet.db": {"--spreadsheet"}} {
		again := at(name)
		for _, what := range []string{"users", "posts"} {
			load(again, exported(url, what, flags...), flags...)
			if got, want := exported(again, what), exported(url, what); got != want {
				t.Errorf("%v: got %s\nwant\n%s", flags, got, want)
			}
		}
	}
	texts := at("texts.db")
	load(texts, exported(url, "users"))
	load(texts, posts)
	if got := exported(texts, "posts"); "\ufeff"+got != posts {
		t.Errorf("apostrophes without --spreadsheet: got %s\nwant\n%s", got, posts)
	}
}
