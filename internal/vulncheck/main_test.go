package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestScan runs govulncheck on small programs, with a database that calls strings.ToUpper a vulnerability.
func TestScan(t *testing.T) {
	t.Parallel()
	database := t.TempDir()
	write(t, database, "GO-2026-0001.json", `{
		"id": "GO-2026-0001", "modified": "2026-01-02T03:04:05Z", "summary": "Letters grow",
		"affected": [{
			"package": {"name": "stdlib", "ecosystem": "Go"},
			"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "99.0.0"}]}],
			"ecosystem_specific": {"imports": [{"path": "strings", "symbols": ["ToUpper"]}]}
		}]
	}`)
	for call, want := range map[string][]string{
		"strings.ToUpper": {"GO-2026-0001"},
		"strings.ToLower": {"GO-2026-0001"}, // in the same package
		"unicode.ToUpper": nil,
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			module := t.TempDir()
			write(t, module, "go.mod", "module example.com/victim\n\ngo 1.26.0\n")
			imported, _, _ := strings.Cut(call, ".")
			write(t, module, "main.go", "package main\n\nimport \""+imported+"\"\n\nfunc main() { _ = "+call+" }\n")
			r, err := scan(t.Context(), "../../tools/go.mod", module, database, t.Output())
			got := slices.Collect(maps.Keys(r.findings))
			if err != nil || !slices.Equal(got, want) || !strings.HasPrefix(r.goVersion, "go1.") {
				t.Errorf("got %v, %q, %v, want %v", r.findings, r.goVersion, err, want)
			}
			if text := r.findings["GO-2026-0001"]; want != nil && !strings.HasSuffix(text, ", fixed in v99.0.0: Letters grow") {
				t.Errorf("got %q, want the version that fixes it, and the summary", text)
			}
		})
	}
}

// TestScanFails checks that a scan that did not take place is an error.
func TestScanFails(t *testing.T) {
	t.Parallel()
	module := t.TempDir()
	write(t, module, "go.mod", "module example.com/broken\n\ngo 1.26.0\n")
	write(t, module, "main.go", "package main\n\nfunc main() { no such thing }\n")
	if r, err := scan(t.Context(), "../../tools/go.mod", module, t.TempDir(), t.Output()); err == nil {
		t.Errorf("a program that does not compile: got %v, want an error", r)
	}
	write(t, module, "main.go", "package main\n\nfunc main() {}\n")
	if r, err := scan(t.Context(), "../../tools/go.mod", module, filepath.Join(module, "missing"), t.Output()); err == nil {
		t.Errorf("a missing database: got %v, want an error", r)
	}
	if r, err := scan(t.Context(), "../../tools/go.mod", module, t.TempDir(), t.Output()); err == nil {
		t.Errorf("an empty database: got %v, want an error", r)
	}
	for _, messages := range []string{"", `{"progress": {"message": "hello"}}`, `{"config": `} {
		if r, err := read(strings.NewReader(messages)); err == nil {
			t.Errorf("the messages %q: got %v, want an error", messages, r)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	const table = `
| Vulnerability | In | Reason |
| --- | --- | --- |
| GO-2026-0002 | example.com/b | The program does not call the function. |
| GO-2026-0003 | example.com/c | |
| GO-2026-0005 | stdlib: net/http | A newer Go release fixes it. |

GO-2026-0004 in a sentence is no explanation.
`
	ids := explained([]byte(table))
	if want := map[string]bool{"GO-2026-0002": false, "GO-2026-0005": true}; !maps.Equal(ids, want) {
		t.Fatalf("explained: got %v, want %v", ids, want)
	}
	for finding, want := range map[string]string{
		"GO-2026-0002":              "",
		"GO-2026-0002 GO-2026-0005": "",
		"GO-2026-0002 GO-2026-0003": "GO-2026-0003 is new",
		"GO-2026-0002 GO-2026-0004": "GO-2026-0004 is new",
		"":                          "GO-2026-0002 is gone",
	} {
		findings := map[string]string{}
		for id := range strings.FieldsSeq(finding) {
			findings[id] = "text"
		}
		err := compare(findings, ids)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "\n  "+want+": ") {
			t.Errorf("the findings %q: got %v, want %q", finding, err, want)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
