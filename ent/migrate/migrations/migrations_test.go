package migrations_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"roster/ent/migrate/migrations"
)

// TestFiles checks that every engine has the same steps, each of which can be undone: "migrate down --to VERSION" means
// the same everywhere.
func TestFiles(t *testing.T) {
	t.Parallel()
	folders, err := fs.ReadDir(migrations.Files, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) != 3 {
		t.Errorf("there are the folders %v", folders)
	}
	var first []string
	for _, folder := range folders {
		files, err := fs.ReadDir(migrations.Files, folder.Name())
		if err != nil {
			t.Fatal(err)
		}
		var names, versions []string
		for _, file := range files {
			names = append(names, file.Name())
			versions = append(versions, file.Name()[:min(14, len(file.Name()))])
			if !regexp.MustCompile(`^20\d{12}_[a-z0-9_]+\.sql$`).MatchString(file.Name()) {
				t.Errorf("%s is no name of a migration", file.Name())
			}
			content, err := fs.ReadFile(migrations.Files, folder.Name()+"/"+file.Name())
			if err != nil {
				t.Fatal(err)
			}
			before, down, ok := strings.Cut(string(content), "-- +goose Down\n")
			header, up, alsoOK := strings.Cut(before, "-- +goose Up\n")
			if !ok || !alsoOK || statements(header) != 0 || statements(up) == 0 != (statements(down) == 0) {
				t.Errorf("%s/%s does not consist of an Up and a Down", folder.Name(), file.Name())
			}
		}
		if first == nil {
			first = names
		}
		if !slices.Equal(names, first) || len(names) == 0 {
			t.Errorf("%s has the files %q, %s has %q", folder.Name(), names, folders[0].Name(), first)
		}
		if slices.Sort(versions); len(slices.Compact(versions)) != len(names) {
			t.Errorf("%s has two files of one version: %q", folder.Name(), names)
		}
	}
}

// statements is how many lines of SQL there are.
func statements(sql string) (n int) {
	for line := range strings.Lines(sql) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			n++
		}
	}
	return n
}
