//go:build entity

package entity

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAddingAnEntity does what docs/adding-an-entity.md says, in a copy of the tree: it takes the blocks of the page, puts
// them where the page says, and runs its commands. Then nothing else may differ but what is generated, and the tests of
// the result pass on all databases: those that were there, and testdata/group_test.go, which knows the new entity.
func TestAddingAnEntity(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	copyTree(t, root, tree)
	named := map[string]bool{}
	for _, s := range readGuide(t) {
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
	command(t, tree, "go", "test", "-count=1", "./ent/...", "./graph/...", "./internal/limits", "./e2e/fuzzhttp")
	command(t, tree, "go", "test", "-count=1", "-run", "^Test(Schema|Plan|Migrate(Killed)?$)", "./internal/database")
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

// onlyThese checks that the trees differ in nothing but the named files and what is generated, and that the former are
// in Go's form.
func onlyThese(t *testing.T, before, after string, named map[string]bool) {
	t.Helper()
	old, changed := files(t, before), files(t, after)
	for name := range old {
		if _, ok := changed[name]; !ok {
			t.Errorf("%s: got no file, want it to stay", name)
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
			t.Errorf("%s: got a change that the page does not name, want none", name)
		}
	}
	for name := range named {
		inForm(t, after, name)
	}
	if migrations != 3 {
		t.Errorf("migrations: got %d, want one for each engine", migrations)
	}
}

// commandLimit bounds one command, and commandGrace what its children still write after that. All commands together
// take about two minutes on two processors.
const (
	commandLimit = 15 * time.Minute
	commandGrace = 10 * time.Second
)

// command runs a program in the tree.
func command(t *testing.T, tree, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = tree
	cmd.WaitDelay = commandGrace
	// Without paths of this copy in the packages, those of the last run come from the cache.
	cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath -buildvcs=false", "CGO_ENABLED=0", "MAKEFLAGS=", "MAKELEVEL=", "GOWORK=off")
	started := time.Now()
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	t.Logf("%s %s: %.1f s\n%s", name, strings.Join(args, " "), time.Since(started).Seconds(), output)
}
