package database_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"roster/internal/database"
)

// TestFiles checks that an SQLite database has no file that Files does not name, and that the others have none.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "roster.db")
	files, err := database.Files("sqlite:" + path)
	if err != nil || files[0] != path {
		t.Fatalf("got %v, %v, want %s first", files, err, path)
	}
	db, err := database.Open(t.Context(), database.Options{
		URL: "sqlite:" + path, MaxConnections: 2, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(there) < 4 { // the database, -wal, -shm, -migrate
		t.Fatalf("files in the directory: got %v, %v, want at least 4", there, err)
	}
	for _, file := range there {
		if !slices.Contains(files, file) {
			t.Errorf("got %v, want %s among them", files, file)
		}
	}
	for _, url := range []string{"postgres://127.0.0.1/roster", "mysql://127.0.0.1/roster"} {
		if files, err := database.Files(url); len(files) > 0 || err != nil {
			t.Errorf("%s: got %v, %v, want no files", url, files, err)
		}
	}
	if _, err := database.Files("nowhere"); err == nil {
		t.Error("a URL without a scheme: got no error, want one")
	}
}
