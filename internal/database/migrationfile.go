package database

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"ariga.io/atlas/sql/migrate"
)

// migrationFile is a migration in goose's form: lines "-- +goose Up" and "-- +goose Down" begin its two directions.
// Roster reads the statements itself, since goose does not tell how many of them it has run.
type migrationFile struct {
	version  int64
	name     string
	up, down []string // statements
}

// readMigrations reads the files of a folder, in order of their versions.
func readMigrations(dir fs.FS) ([]migrationFile, error) {
	paths, err := fs.Glob(dir, "*.sql") // in order
	if err != nil {
		return nil, err
	}
	var files []migrationFile
	for _, path := range paths {
		content, err := fs.ReadFile(dir, path)
		if err != nil {
			return nil, err
		}
		file, err := parseMigration(path, string(content))
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", path, err)
		}
		files = append(files, file)
	}
	return files, nil
}

func parseMigration(path, content string) (file migrationFile, err error) {
	version, name, _ := strings.Cut(strings.TrimSuffix(path, ".sql"), "_")
	if file.version, err = strconv.ParseInt(version, 10, 64); err != nil || name == "" {
		return file, errors.New("the name of the file is not VERSION_NAME.sql")
	}
	file.name = name
	header, rest, ok := strings.Cut(content, "-- +goose Up\n")
	up, down, alsoOK := strings.Cut(rest, "-- +goose Down\n")
	if !ok || !alsoOK || strings.TrimSpace(header) != "" {
		return file, errors.New("it does not consist of an Up and a Down")
	}
	// With NO TRANSACTION, a kill would leave half a migration. SQLite can rebuild a table without it.
	if at := strings.Index(up+down, "-- +goose"); at >= 0 {
		line, _, _ := strings.Cut((up + down)[at:], "\n")
		return file, fmt.Errorf("%q is not understood: each way is one transaction, and ; ends a statement", line)
	}
	if file.up, err = statements(up); err != nil {
		return file, err
	}
	file.down, err = statements(down)
	return file, err
}

func statements(text string) (statements []string, err error) {
	found, err := migrate.Stmts(text)
	for _, s := range found {
		statements = append(statements, s.Text)
	}
	return statements, err
}
