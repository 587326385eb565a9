// Command vulncheck fails if the program uses code with a known vulnerability that docs/dependencies.md does not
// explain. It runs govulncheck with the database in the module golang.org/x/vulndb. tools/go.mod has the version of
// both, so the same commit always gets the same result. It runs at the root of the project, by "make vulncheck".
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// limit is the time for a check. The first one downloads and builds govulncheck.
const limit = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "vulncheck: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	text, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		return err
	}
	version, folder, err := database(ctx, "tools", stderr)
	if err != nil {
		return err
	}
	r, err := scan(ctx, "tools/go.mod", ".", folder, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s, golang.org/x/vulndb %s\n", r.goVersion, version)
	for _, id := range slices.Sorted(maps.Keys(r.findings)) {
		fmt.Fprintf(stdout, "%s: %s\n  https://pkg.go.dev/vuln/%s\n", id, r.findings[id], id)
	}
	return compare(r.findings, explained(text))
}

// database downloads the module with the database, if necessary. It returns the version of the module and the folder
// with the database: one file for each vulnerability, in the format of https://ossf.github.io/osv-schema/.
func database(ctx context.Context, tools string, stderr io.Writer) (version, folder string, err error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "golang.org/x/vulndb")
	cmd.Dir, cmd.Stderr = tools, stderr
	out, err := cmd.Output()
	var module struct{ Version, Dir, Error string }
	if err := errors.Join(err, json.Unmarshal(out, &module)); err != nil {
		return "", "", fmt.Errorf("go mod download golang.org/x/vulndb: %w: %s", err, module.Error)
	}
	return module.Version, filepath.Join(module.Dir, "data", "osv"), nil
}

// A result is the result of govulncheck.
type result struct {
	goVersion string
	findings  map[string]string // IDs of vulnerabilities, with text for people
}

// scan runs govulncheck on all packages of the module in dir. modfile is the go.mod that has govulncheck as a tool.
func scan(ctx context.Context, modfile, dir, database string, stderr io.Writer) (result, error) {
	// govulncheck finds nothing in an empty database, and does not complain.
	if files, err := filepath.Glob(filepath.Join(database, "GO-*.json")); err != nil || len(files) == 0 {
		return result{}, errors.Join(fmt.Errorf("%s has no vulnerabilities", database), err)
	}
	//nolint:gosec // G204: the arguments come from this program and its tests
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+modfile, "govulncheck",
		"-C", dir, "-db", "file://"+filepath.ToSlash(database), "-format", "json", "./...")
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil { // in this format, a vulnerability is no error
		return result{}, fmt.Errorf("govulncheck: %w", err)
	}
	return read(bytes.NewReader(out))
}

// read reads the messages of govulncheck: https://pkg.go.dev/golang.org/x/vuln/internal/govulncheck. It keeps the
// vulnerabilities of all imported packages, even if the program calls none of their functions. It ignores packages that
// are not imported: the program does not contain them.
func read(messages io.Reader) (result, error) {
	r := result{findings: map[string]string{}}
	summaries := map[string]string{}
	for decoder := json.NewDecoder(messages); ; {
		var m struct {
			Config *struct {
				GoVersion string `json:"go_version"`
			}
			OSV     *struct{ ID, Summary string }
			Finding *struct {
				OSV          string
				FixedVersion string `json:"fixed_version"`
				Trace        []struct{ Package, Version string }
			}
		}
		err := decoder.Decode(&m)
		switch {
		case errors.Is(err, io.EOF) && r.goVersion == "":
			return r, errors.New("govulncheck says nothing")
		case errors.Is(err, io.EOF):
			return r, nil
		case err != nil:
			return r, fmt.Errorf("read the output of govulncheck: %w", err)
		case m.Config != nil:
			r.goVersion = m.Config.GoVersion
		case m.OSV != nil:
			summaries[m.OSV.ID] = m.OSV.Summary
		case m.Finding != nil && len(m.Finding.Trace) > 0 && m.Finding.Trace[0].Package != "":
			f := m.Finding
			fixed := "not fixed"
			if f.FixedVersion != "" {
				fixed = "fixed in " + f.FixedVersion
			}
			at := f.Trace[0]
			r.findings[f.OSV] = fmt.Sprintf("%s@%s, %s: %s", at.Package, at.Version, fixed, summaries[f.OSV])
		}
	}
}

// explained returns the IDs that have a row with a reason in the table of vulnerabilities, and whether the row is about
// the standard library.
func explained(text []byte) map[string]bool {
	ids := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (GO-\d+-\d+) \| (\w+).*\| *\w[^|]*\|$`).FindAllSubmatch(text, -1) {
		ids[string(row[1])] = string(row[2]) == "stdlib"
	}
	return ids
}

// compare returns an error if a finding is not explained, or if an explanation has no finding. The standard library
// belongs to the Go release that runs the check, so its explanations may have no finding.
func compare(findings map[string]string, explained map[string]bool) error {
	var wrong []error
	for _, id := range slices.Sorted(maps.Keys(findings)) {
		if _, ok := explained[id]; !ok {
			wrong = append(wrong, fmt.Errorf("%s is new: use the fixed version, or explain it in docs/dependencies.md", id))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(explained)) {
		if _, ok := findings[id]; !ok && !explained[id] {
			wrong = append(wrong, fmt.Errorf("%s is gone: remove its row from docs/dependencies.md", id))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	lines := strings.ReplaceAll(errors.Join(wrong...).Error(), "\n", "\n  ")
	return fmt.Errorf("the vulnerabilities differ from those in docs/dependencies.md:\n  %s", lines)
}
