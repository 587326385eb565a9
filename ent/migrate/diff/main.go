// Command diff writes the next migration of every engine from the ent schema: run `make migration NAME=…`, which
// starts the servers that it needs.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"roster/internal/database"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "diff:", err)
		os.Exit(1)
	}
}

// folder holds the migrations, below the root of the project, where make runs.
const folder = "ent/migrate/migrations"

func run(ctx context.Context, args []string, getenv func(string) string) error {
	if len(args) != 1 || !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(args[0]) {
		return fmt.Errorf("give one name of lower-case letters, digits and underscores: make migration NAME=add_bio")
	}
	now := time.Now()
	scratch, err := os.MkdirTemp("", "roster-diff-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // a temporary directory
	if err := plan(ctx, "sqlite:"+filepath.Join(scratch, "scratch.db"), args[0], now); err != nil {
		return err
	}
	for _, variable := range []string{"TEST_POSTGRES_URL", "TEST_MYSQL_URL"} {
		if err := planOn(ctx, getenv(variable), args[0], now); err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
	}
	return nil
}

// planOn plans with a new database of a server.
func planOn(ctx context.Context, server, name string, now time.Time) error {
	u, err := url.Parse(server)
	if err != nil || server == "" {
		return fmt.Errorf("is not set to the URL of a server: run make migration")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/information_schema" // MySQL lets one connect without a database, Roster does not
	}
	admin, err := open(ctx, u.String())
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // nothing is under way
	scratch := fmt.Sprintf("roster_diff_%d", now.UnixNano())
	if err := admin.Session(database.Single).Exec(ctx, "CREATE DATABASE "+scratch, []any{}, nil); err != nil {
		return err
	}
	u.Path = "/" + scratch
	err = plan(ctx, u.String(), name, now)
	if dropErr := admin.Session(database.Single).Exec(ctx, "DROP DATABASE "+scratch, []any{}, nil); err == nil {
		err = dropErr
	}
	return err
}

func plan(ctx context.Context, address, name string, now time.Time) error {
	db, err := open(ctx, address)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is under way
	needed, err := db.PlanMigration(ctx, filepath.Join(folder, db.Dialect()), name, now)
	if err != nil {
		return err
	}
	if !needed {
		fmt.Fprintf(os.Stderr, "%s: the migrations lead to the ent schema already\n", db.Dialect())
		return nil
	}
	fmt.Fprintf(os.Stderr, "%s: wrote %s_%s.sql: read it, its Down too\n", db.Dialect(), now.UTC().Format("20060102150405"), name)
	return nil
}

func open(ctx context.Context, address string) (*database.DB, error) {
	return database.Open(ctx, database.Options{
		URL: address, MaxConnections: 4, PoolWait: 5 * time.Second, ConnectTimeout: 5 * time.Second, StatementTimeout: time.Minute,
	})
}
