// Package entity tests that adding an entity is as little work as docs/adding-an-entity.md says.
package entity

import (
	"bytes"
	"errors"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root = "../.."
	page = "../../docs/adding-an-entity.md"
)

// TestGuide puts the blocks of the page where it says: the lines that it names are there, once each. What comes of that
// is tested by TestAddingAnEntity, which takes minutes: make test-entity.
func TestGuide(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	named := map[string]bool{}
	for _, s := range readGuide(t) {
		if s.command != "" {
			continue
		}
		path := filepath.FromSlash(s.file)
		if s.where != "a new file" && !named[s.file] {
			content, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(tree, path), string(content))
		}
		s.apply(t, tree)
		named[s.file] = true
		if _, err := os.Stat(filepath.Join(root, path)); s.where == "a new file" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want no such file yet", s.file, err)
		}
	}
	for name := range named {
		inForm(t, tree, name)
	}
}

// inForm checks that a file, if it is one of Go, is laid out as gofmt does it.
func inForm(t *testing.T, tree, name string) {
	t.Helper()
	if !strings.HasSuffix(name, ".go") {
		return
	}
	content, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if formatted, err := format.Source(content); err != nil || !bytes.Equal(formatted, content) {
		t.Errorf("%s: got another form than gofmt's, %v, want that one", name, err)
	}
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
func readGuide(t *testing.T) (steps []step) {
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
			t.Fatalf("%s: got %q, want the place of:\n%s", page, paragraph, content)
		}
		steps = append(steps, step{file: place[1], where: place[2] + place[3], anchor: place[4], lines: content})
	}
	if want := strings.Count("\n"+string(text), "\n```"); 2*len(steps) != want {
		t.Fatalf("%s: got %d steps, want one for each pair of %d fences", page, len(steps), want)
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
			t.Fatalf("%s: got %v, want no such file yet", s.file, err)
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
			t.Fatalf("%s: got two lines %s, want one", s.file, s.anchor)
		}
		at = i
	}
	if at < 0 {
		t.Fatalf("%s: got no line %s, want one", s.file, s.anchor)
	}
	if s.where == "below" {
		at++
	}
	write(t, path, strings.Join(slices.Insert(lines, at, s.lines), ""))
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
