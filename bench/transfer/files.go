package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// The files: records for "roster import", and rows of two tables, with the same users.
const (
	recordsFile = "import.csv"
	usersFile   = "users.csv"
	changesFile = "changes.csv"
)

// files writes the files. The IDs and times grow from line to line, as in an export. Usernames and emails are in random order.
func (b *bench) files() error {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // G404: the same every time
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	imported := time.Now().UnixMicro()
	ids := typeid.NewSource(func() time.Time { return now }, rand.NewChaCha8([32]byte{}))
	return b.write(recordsFile, func(records io.Writer) error {
		return b.write(usersFile, func(users io.Writer) error {
			return b.write(changesFile, func(changes io.Writer) error {
				fmt.Fprintln(records, "id,username,email,createdAt,updatedAt,version")
				for i := range b.users {
					now = now.Add(time.Second)
					id := ids.New(user.Label)
					name := fmt.Sprintf("%x.User%d", random.Uint32(), i)
					email := name + "@example.com"
					username, _ := rules.Username(name) // "roster import" would reject a fault
					address, _ := rules.Email(email)
					at := now.Format(rules.TimeFormat)
					fmt.Fprintf(records, "%s,%s,%s,%s,%s,1\n", id, name, email, at, at)
					stored := now.Format("2006-01-02 15:04:05.000000") // MariaDB reads no zone
					fmt.Fprintf(users, "%s,%s,%s,1,%s,%s,%s,%s\n", id.UUID(), stored, stored, name, username, email, address)
					fmt.Fprintf(changes, "%s,%s,%s,1,\"\",%d\n", user.Label, id.UUID(), feed.Created, imported)
				}
				return nil
			})
		})
	})
}

// write writes a file.
func (b *bench) write(name string, to func(io.Writer) error) error {
	f, err := os.Create(b.path(name))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(to(w), w.Flush(), f.Close())
}

// The columns of the files of rows. The others have defaults, as in an import: active users without an identity, and changes
// without a number.
const (
	userColumns   = "created_at,updated_at,version,username,username_key,email,email_key"
	changeColumns = "kind,version,fields,at"
)

// importer returns the command of an import.
func (b *bench) importer(ctx context.Context, url string) *exec.Cmd {
	return exec.CommandContext(ctx, b.binary, "import", "--log-level=error", "--database-url="+url, b.path(recordsFile)) //nolint:gosec // G204: our own program
}

// baseline returns the command by which the database's own client writes the files of rows in one transaction.
func (b *bench) baseline(engine string) func(ctx context.Context, url string) *exec.Cmd {
	if engine == "postgres" {
		return func(ctx context.Context, url string) *exec.Cmd {
			return exec.CommandContext(ctx, "psql", url, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", //nolint:gosec // G204: its own files
				"--command=set timezone = 'UTC'",
				`--command=\copy users (id,`+userColumns+`) from '`+b.path(usersFile)+`' with (format csv)`,
				`--command=\copy changes (type,node_id,`+changeColumns+`) from '`+b.path(changesFile)+`' with (format csv)`)
		}
	}
	return func(ctx context.Context, url string) *exec.Cmd {
		load := func(file, table, columns string) string {
			return "LOAD DATA LOCAL INFILE '" + b.path(file) + "' INTO TABLE " + table +
				" CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' ENCLOSED BY '\"' (" + columns + ")"
		}
		const id = "UNHEX(REPLACE(@id, '-', ''))"
		statements := []string{
			"START TRANSACTION",
			load(usersFile, "users", "@id,"+userColumns) + " SET id = " + id,
			load(changesFile, "changes", "type,@id,"+changeColumns) + " SET node_id = " + id,
			"COMMIT",
		}
		return b.mariadb(ctx, url, strings.Join(statements, "; "))
	}
}
