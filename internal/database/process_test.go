package database_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"roster/internal/database"
)

// processName is the name under which this program starts like a server.
const processName = "starting-server"

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case processName:
		os.Exit(start(os.Args[1], os.Stdout, os.Stderr))
	case memoryName:
		os.Exit(withoutMemory(os.Args[1], os.Stdout, os.Stderr))
	case limitedName:
		os.Exit(limited(os.Args[1], os.Args[2], os.Stdout, os.Stderr))
	case killedName:
		os.Exit(migrateUntilKilled(os.Args[1], os.Args[2], os.Args[3], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// start migrates a database like a server that starts, and prints the number of migrations that it applied.
func start(url string, stdout, stderr io.Writer) (code int) {
	ctx := context.Background()
	db, err := database.Open(ctx, options(url))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	applied, err := db.MigrateUp(ctx)
	if err := errors.Join(err, db.CheckVersion(ctx), db.Close()); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprintln(stdout, len(applied))
	return 0
}

// self returns the path of this program.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process returns the command that runs start on a database, with this program or a copy.
func process(t *testing.T, path, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, url)
	cmd.Args[0] = processName
	return cmd
}
