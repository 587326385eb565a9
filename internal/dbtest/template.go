package dbtest

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"

	"roster/internal/dbtest/servers"
)

// A Template has the content of many databases. It is made once on each server, and copied for each test, also by other
// programs. It stays on the server, as a database with the name of the template. On SQLite it stays in a file of the user's
// cache.
type Template struct {
	// Name distinguishes the content from all others. It has only small letters, digits and underscores.
	Name string
	// Fill writes the content into an empty database. It must leave no connection.
	Fill func(ctx context.Context, url string) error
}

const (
	// postgresNoSuchDatabase is invalid_catalog_name.
	postgresNoSuchDatabase = "3D000"
	// mysqlNoSuchDatabase is ER_BAD_DB_ERROR of MySQL, and mysqlNoSuchTable ER_NO_SUCH_TABLE, also of MariaDB without the
	// database.
	mysqlNoSuchDatabase, mysqlNoSuchTable = 1049, 1146
	// templateLock is the number and the name of the lock of the program that makes a template.
	templateLock = 7130917
)

// New returns the URL of a new database with the content of the template. It is dropped when the test ends.
func (t Template) New(tb testing.TB, e Engine) string {
	tb.Helper()
	if e == PostgreSQL {
		server := serverOf(tb, servers.PostgresVariable)
		name := newName()
		if err := administer(tb.Context(), server, func(ctx context.Context, db *sql.DB) error { return t.copyPostgres(ctx, db, server, name) }); err != nil {
			tb.Fatalf("dbtest: copy the template %s: %v", t.Name, err)
		}
		dropAfter(tb, server, dropPostgres(name))
		return withDatabase(server, name)
	}
	address := Empty(tb, e)
	var err error
	if e == SQLite {
		err = t.copySQLite(tb.Context(), strings.TrimPrefix(address, "sqlite:"))
	} else {
		err = t.copyMySQL(tb.Context(), address)
	}
	if err != nil {
		tb.Fatalf("dbtest: copy the template %s: %v", t.Name, err)
	}
	return address
}

// copySQLite copies the file of the template.
func (t Template) copySQLite(ctx context.Context, path string) error {
	folder, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	folder = filepath.Join(folder, "roster-test-templates")
	template := filepath.Join(folder, t.Name+".db")
	content, err := os.ReadFile(template) //nolint:gosec // the name is the caller's
	if errors.Is(err, os.ErrNotExist) {
		content, err = t.makeSQLite(ctx, folder, template)
	}
	return cmp.Or(err, os.WriteFile(path, content, 0o600)) //nolint:gosec // Empty made the path
}

// makeSQLite makes the file of the template. Programs that do so at the same time replace it by the same content.
func (t Template) makeSQLite(ctx context.Context, folder, template string) (content []byte, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	own, err := os.MkdirTemp(folder, "new-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
	path := filepath.Join(own, "template.db")
	if err := t.Fill(ctx, "sqlite:"+path); err != nil {
		return nil, err
	}
	if content, err = os.ReadFile(path); err != nil { //nolint:gosec // it has just been written
		return nil, err
	}
	return content, os.Rename(path, template)
}

// copyPostgres makes a database from the template.
func (t Template) copyPostgres(ctx context.Context, db *sql.DB, server *url.URL, name string) error {
	statement := fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, t.Name)
	_, err := db.ExecContext(ctx, statement)
	if missing, ok := errors.AsType[*pq.Error](err); !ok || missing.Code != postgresNoSuchDatabase {
		return err
	}
	if err := t.makePostgres(ctx, db, server); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return err
}

// makePostgres makes the database of the template. The lock ends with the connection, after an error too.
func (t Template) makePostgres(ctx context.Context, db *sql.DB, server *url.URL) error {
	if _, err := db.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", templateLock)); err != nil {
		return err
	}
	exists := false
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", t.Name).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		name := newName() // a template without its whole content never has the template's name
		if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
			return err
		}
		if err := t.Fill(ctx, withDatabase(server, name)); err != nil {
			return errors.Join(err, dropPostgres(name)(context.WithoutCancel(ctx), db))
		}
		if _, err := db.ExecContext(ctx, "ALTER DATABASE "+name+" RENAME TO "+t.Name); err != nil {
			return err
		}
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", templateLock))
	return err
}

// copyMySQL makes the tables of the template again, with their rows: MySQL cannot copy a database.
func (t Template) copyMySQL(ctx context.Context, address string) error {
	server, err := url.Parse(address)
	if err != nil {
		return err
	}
	return administer(ctx, server, func(ctx context.Context, db *sql.DB) error {
		statements, err := t.readMySQL(ctx, db)
		if missing, ok := errors.AsType[*mysql.MySQLError](err); ok && (missing.Number == mysqlNoSuchTable || missing.Number == mysqlNoSuchDatabase) {
			if err = t.makeMySQL(ctx, db, server); err == nil {
				statements, err = t.readMySQL(ctx, db)
			}
		}
		if err != nil {
			return err
		}
		for _, statement := range append([]string{"SET foreign_key_checks = 0"}, statements...) { // tables refer to later ones
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// copies is the table of a template that has the statements that copy it.
func (t Template) copies() string { return t.Name + ".template_copies" }

// readMySQL returns the statements that copy the template into another database. The error is that of a missing table
// or database if there is no template yet.
func (t Template) readMySQL(ctx context.Context, db *sql.DB) (statements []string, err error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf("SELECT statement FROM %s ORDER BY id", t.copies()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var statement string
		if err := rows.Scan(&statement); err != nil {
			return nil, err
		}
		statements = append(statements, statement)
	}
	return statements, rows.Err()
}

// makeMySQL makes the database of the template. Its last table, which comes with all its rows, says that it is complete.
func (t Template) makeMySQL(ctx context.Context, db *sql.DB, server *url.URL) error {
	got := 0
	lock := fmt.Sprintf("SELECT GET_LOCK('dbtest template %d', 120)", templateLock)
	if err := db.QueryRowContext(ctx, lock).Scan(&got); err != nil || got != 1 {
		return cmp.Or(err, errors.New("another program makes the template, and does not end"))
	}
	if _, err := t.readMySQL(ctx, db); err == nil { // another program has made it
		return nil
	}
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + t.Name, "CREATE DATABASE " + t.Name + " CHARACTER SET utf8mb4"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if err := t.Fill(ctx, withDatabase(server, t.Name)); err != nil {
		return err
	}
	copies, err := copiesOf(ctx, db, t.Name)
	if err != nil {
		return err
	}
	create := fmt.Sprintf("CREATE TABLE %s (id BIGINT PRIMARY KEY, statement LONGTEXT) AS %s", t.copies(), strings.Join(copies, " UNION ALL "))
	if _, err := db.ExecContext(ctx, create); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, strings.NewReplacer("GET_LOCK", "RELEASE_LOCK", ", 120", "").Replace(lock))
	return err
}

// copiesOf returns a SELECT for each statement that copies a database: first those of the tables, then those of their rows.
func copiesOf(ctx context.Context, db *sql.DB, name string) (selects []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = '"+name+"' ORDER BY table_name") //nolint:gosec // the name is the caller's
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	add := func(statement string) {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(statement)
		selects = append(selects, fmt.Sprintf("SELECT %d AS id, '%s' AS statement", len(selects), quoted))
	}
	var full []string
	for _, table := range tables {
		var same, create string
		if err := db.QueryRowContext(ctx, "SHOW CREATE TABLE "+name+".`"+table+"`").Scan(&same, &create); err != nil {
			return nil, err
		}
		add(create)
		some := false
		if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+name+".`"+table+"`)").Scan(&some); err != nil {
			return nil, err
		}
		if some {
			full = append(full, table)
		}
	}
	for _, table := range full {
		add("INSERT INTO `" + table + "` SELECT * FROM " + name + ".`" + table + "`")
	}
	return selects, nil
}
