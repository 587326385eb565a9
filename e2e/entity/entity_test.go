//go:build entity

// Package entity tests that adding an entity is as little work as docs/adding-an-entity.md says.
package entity

import (
	"bytes"
	"context"
	"errors"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAddingAnEntity does what docs/adding-an-entity.md says, in a copy of the tree: it takes the blocks of the page, puts
// them where the page says, and runs its commands. Then nothing else may differ but what is generated, and the tests of
// the result pass on all databases: those that were there, and testdata/group_test.go, which knows the new entity.
func TestAddingAnEntity(t *testing.T) {
	t.Parallel()
	const root, page = "../..", "../../docs/adding-an-entity.md"
	tree := t.TempDir()
	copyTree(t, root, tree)
	named := map[string]bool{}
	for _, s := range readGuide(t, page) {
		if s.command != "" {
			command(t, tree, "sh", "-ec", s.command)
			continue
		}
		s.apply(t, tree)
		named[s.file] = true
	}
	onlyThese(t, root, tree, named)

	test, err := os.ReadFile("testdata/group_test.go")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "graph", "group_test.go"), string(test))
	command(t, tree, "go", "build", "./...")
	command(t, tree, "go", "test", "-count=1", "./graph/...", "./internal/database", "./ent/...")
}

// step is a block of the page: lines for a file, or a command.
type step struct {
	command string
	file    string
	where   string // a new file, at the end, above, below
	anchor  string // the line above or below which the lines come, without its indentation
	lines   string
}

var (
	block  = regexp.MustCompile("(?ms)((?:^[^\n]+\n)*)\n^```(\\w*)\n(.*?)^```$") // and the paragraph before it
	target = regexp.MustCompile("`([^`]+)`, (?:(a new file|at the end)|(above|below) `([^`]+)`):\n$")
)

// readGuide returns the steps of the page, in their order. Every block of it is one.
func readGuide(t *testing.T, page string) (steps []step) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		paragraph, language, content := b[1], b[2], b[3]
		if language == "sh" {
			steps = append(steps, step{command: content})
			continue
		}
		place := target.FindStringSubmatch(paragraph)
		if place == nil {
			t.Fatalf("%s does not say where this goes, but %q:\n%s", page, paragraph, content)
		}
		steps = append(steps, step{file: place[1], where: place[2] + place[3], anchor: place[4], lines: content})
	}
	if want := strings.Count("\n"+string(text), "\n```"); 2*len(steps) != want {
		t.Fatalf("%s has %d fences, but %d steps were found", page, want, len(steps))
	}
	return steps
}

// apply writes the lines where they belong.
func (s step) apply(t *testing.T, tree string) {
	t.Helper()
	path := filepath.Join(tree, filepath.FromSlash(s.file))
	before, err := os.ReadFile(path)
	if s.where == "a new file" {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s is not new: %v", s.file, err)
		}
		write(t, path, s.lines)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.where == "at the end" {
		write(t, path, string(before)+"\n"+s.lines)
		return
	}
	lines := slices.Collect(strings.Lines(string(before)))
	at := -1
	for i, line := range lines {
		if strings.TrimSpace(line) != s.anchor {
			continue
		}
		if at >= 0 {
			t.Fatalf("%s has more than one line %s", s.file, s.anchor)
		}
		at = i
	}
	if at < 0 {
		t.Fatalf("%s has no line %s", s.file, s.anchor)
	}
	if s.where == "below" {
		at++
	}
	write(t, path, strings.Join(slices.Insert(lines, at, s.lines), ""))
}

// copyTree copies the files of the project: neither what was built, nor what tools keep in hidden directories.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	for name, content := range files(t, from) {
		write(t, filepath.Join(to, name), string(content))
	}
}

// files is the content of all files below a directory.
func files(t *testing.T, root string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || name == "bin" || entry.Name() == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || strings.Contains(entry.Name(), ".db") {
			return nil
		}
		found[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onlyThese checks that the trees differ in nothing but the named files and what is generated, and that what was
// written is in Go's form.
func onlyThese(t *testing.T, before, after string, named map[string]bool) {
	t.Helper()
	old, changed := files(t, before), files(t, after)
	for name := range old {
		if _, ok := changed[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	generated := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	migration := regexp.MustCompile(`^ent/migrate/migrations/\w+/\d{14}_add_group\.sql$`)
	migrations := 0
	for name, content := range changed {
		name := filepath.ToSlash(name)
		if migration.MatchString(name) {
			migrations++
			continue
		}
		if !bytes.Equal(old[name], content) && !named[name] && !generated.Match(content) {
			t.Errorf("%s is another, which the page does not say", name)
		}
		if named[name] && strings.HasSuffix(name, ".go") {
			if formatted, err := format.Source(content); err != nil || !bytes.Equal(formatted, content) {
				t.Errorf("%s is not in Go's form: %v", name, err)
			}
		}
	}
	if migrations != 3 {
		t.Errorf("there are %d migrations, want one for each engine", migrations)
	}
}

// commandLimit bounds one command. All of them together take about two minutes on two processors.
const commandLimit = 8 * time.Minute

// command runs a program in the tree.
func command(t *testing.T, tree, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = tree
	// Without paths of this copy in the packages, those of the last run come from the cache.
	cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath -buildvcs=false", "CGO_ENABLED=0", "MAKEFLAGS=", "MAKELEVEL=", "GOWORK=off")
	started := time.Now()
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	t.Logf("%s %s: %.1f s\n%s", name, strings.Join(args, " "), time.Since(started).Seconds(), output)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
