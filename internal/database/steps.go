package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
)

// On MySQL and MariaDB a statement that defines data commits at once. So a migration is many transactions, and a record
// says where an interrupted one goes on. The table roster_migration has one row while a migration runs, otherwise none.
// The row has the next step, and a hash of the tables that the step names, from before the step. Each such statement
// takes effect wholly or not at all. So a step must run if its tables still have this hash; if they have changed, the
// step has happened. A statement that changes rows shares a transaction with the record that it is done.
const (
	createRecord = "CREATE TABLE IF NOT EXISTS roster_migration (id int NOT NULL PRIMARY KEY, version bigint NOT NULL, up bool NOT NULL, " +
		"step int NOT NULL, tables varchar(64) NOT NULL) ENGINE InnoDB CHARSET utf8mb4 COLLATE utf8mb4_bin"
	existsTable = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = ?"
	readRecord  = "SELECT step, tables FROM roster_migration WHERE version = ? AND up = ?"
	writeRecord = "REPLACE INTO roster_migration (id, version, up, step, tables) VALUES (1, ?, ?, ?, ?)"
	dropRecord  = "DELETE FROM roster_migration"
	// A record that contradicts the versions does not count: somebody has repaired the database by hand.
	unfinishedRecord = "SELECT version, up FROM roster_migration r WHERE up <> EXISTS (SELECT 1 FROM goose_db_version v WHERE v.version_id = r.version)"
)

// apply runs the remaining steps. Then it begins the transaction that ends the record. goose adds the version to it and
// commits it.
func (e *mysqlEngine) apply(ctx context.Context, tx *sql.Tx, w way) error {
	for i, statement := range w.statements {
		if err := resumable(statement); err != nil {
			return fmt.Errorf("statement %d of %d: %w", i+1, len(w.statements), err)
		}
	}
	if _, err := tx.ExecContext(ctx, createRecord); err != nil {
		return err
	}
	m := &stepper{tx, e.lease.Load(), w}
	step, err := m.next(ctx)
	for try := 1; err == nil && step < len(w.statements); {
		err = m.step(ctx, step)
		switch {
		case err == nil:
			step, try = step+1, 1
		case isDeadlock(err) && try < tries: // the record says whether the step has happened
			try++
			step, err = m.next(ctx)
		default:
			if step == 0 {
				m.forget(ctx)
			}
			err = fmt.Errorf("statement %d of %d: %w", step+1, len(w.statements), err)
		}
	}
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if _, err = tx.ExecContext(ctx, dropRecord); err != nil {
		return err
	}
	return m.lease.hold(ctx, tx)
}

// stepper runs the steps of a migration.
type stepper struct {
	tx    *sql.Tx
	lease *lease // nil: the server is in no cluster
	way   way
}

// transact runs f in a transaction, which is committed only while this program has the lease. After an error, nothing of f stays.
func (m *stepper) transact(ctx context.Context, f func() error) error {
	_, err := m.tx.ExecContext(ctx, "START TRANSACTION")
	if err == nil {
		err = f()
	}
	if err == nil {
		err = m.lease.hold(ctx, m.tx)
	}
	if err == nil {
		_, err = m.tx.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = m.tx.ExecContext(ctx, "ROLLBACK") // what matters is err
	}
	return err
}

// step runs a step and records the next one.
func (m *stepper) step(ctx context.Context, step int) error {
	statement := m.way.statements[step]
	run := func() error { return runStep(ctx, m.tx, statement) }
	record := func() error { return recordStep(ctx, m.tx, m.way, step+1) }
	if changesRows(statement) {
		return m.transact(ctx, func() error {
			if err := run(); err != nil {
				return err
			}
			return record()
		})
	}
	if err := m.lease.hold(ctx, m.tx); err != nil {
		return err
	}
	if err := run(); err != nil {
		return err
	}
	return m.transact(ctx, record)
}

// forget ends the record if no step has happened. If the connection broke, or another program has the lease, the record stays.
func (m *stepper) forget(ctx context.Context) {
	if step, err := m.next(ctx); err != nil || step > 0 {
		return
	}
	_ = m.transact(ctx, func() error { // the migration has failed anyway
		_, err := m.tx.ExecContext(ctx, dropRecord)
		return err
	})
}

// next returns the next step. It records the first one.
func (m *stepper) next(ctx context.Context) (step int, err error) {
	for try := 1; ; try++ {
		err = m.transact(ctx, func() (err error) {
			step, err = nextStep(ctx, m.tx, m.way)
			return err
		})
		if !isDeadlock(err) || try == tries {
			return step, err
		}
	}
}

// nextStep returns the next step. It records the first one.
func nextStep(ctx context.Context, tx *sql.Tx, w way) (step int, err error) {
	var before string
	err = tx.QueryRowContext(ctx, readRecord, w.version, w.up).Scan(&step, &before)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, recordStep(ctx, tx, w, 0)
	}
	if err != nil {
		return 0, err
	}
	now, err := tablesOf(ctx, tx, w, step)
	if err == nil && now != before {
		step++
	}
	return step, err
}

// recordStep records the next step.
func recordStep(ctx context.Context, tx *sql.Tx, w way, step int) error {
	tables, err := tablesOf(ctx, tx, w, step)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, writeRecord, w.version, w.up, step, tables)
	return err
}

// tablesOf returns a hash of the definitions of the tables that a step names. It is empty if the step defines nothing.
func tablesOf(ctx context.Context, tx *sql.Tx, w way, step int) (string, error) {
	if step >= len(w.statements) || changesRows(w.statements[step]) {
		return "", nil
	}
	var named []string
	const tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_type <> 'VIEW' ORDER BY table_name"
	err := Each(ctx, entsql.Conn{ExecQuerier: tx}, tables, nil, func(rows *entsql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`).MatchString(w.statements[step]) {
			named = append(named, name)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	autoIncrement := regexp.MustCompile(` AUTO_INCREMENT=\d+`) // rows change this part of a definition
	hash := sha256.New()
	for _, name := range named {
		var definition string
		if err := tx.QueryRowContext(ctx, "SHOW CREATE TABLE "+quote(name)).Scan(new(string), &definition); err != nil {
			return "", err
		}
		hash.Write([]byte(autoIncrement.ReplaceAllString(definition, "") + "\n"))
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// runStep runs a statement. Earlier releases kept no record: a statement that they completed before a kill fails now,
// and is done.
func runStep(ctx context.Context, tx *sql.Tx, statement string) error {
	_, err := tx.ExecContext(ctx, statement)
	if err == nil {
		return nil
	}
	done, why := doneBefore(ctx, tx, statement)
	switch {
	case done:
		return nil
	case why != nil:
		return fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// doneBefore reports whether a statement creates a table of package tables that exists with all parts that the statement
// names, or drops a table that does not exist. The error says what an existing table lacks.
func doneBefore(ctx context.Context, tx *sql.Tx, statement string) (bool, error) {
	match := regexp.MustCompile("(?i)^(CREATE|DROP) TABLE `(\\w+)`").FindStringSubmatch(statement)
	wanted, err := allTables(dialect.MySQL)
	if match == nil || err != nil {
		return false, err
	}
	create, name := strings.EqualFold(match[1], "CREATE"), match[2]
	at := slices.IndexFunc(wanted, func(t *schema.Table) bool { return t.Name == name })
	if at < 0 {
		return false, nil
	}
	lacks, err := missing(ctx, dialect.MySQL, tx, wanted[at:at+1])
	if err != nil {
		return false, nil //nolint:nilerr // the reason is why the statement failed
	}
	gone := slices.Equal(lacks, []string{"the table " + name})
	// What a later migration adds is not missing.
	part := regexp.MustCompile(`(?:column \w+\.|index |foreign key )(\w+)`)
	lacks = slices.DeleteFunc(lacks, func(lack string) bool {
		match := part.FindStringSubmatch(lack)
		return match != nil && !strings.Contains(statement, quote(match[1]))
	})
	if create && len(lacks) > 0 && !gone {
		return false, fmt.Errorf("the one that is there is not Roster's, it lacks %s: choose another database", strings.Join(lacks, ", "))
	}
	return create != gone, nil
}

// changesRows reports whether a statement changes rows. Such a statement can be part of a transaction.
func changesRows(statement string) bool {
	return regexp.MustCompile(`(?i)^(INSERT|UPDATE|DELETE|REPLACE)\b`).MatchString(statement)
}

// resumable returns an error for a statement that a kill could leave in an unknown state. Other statements that define
// data take effect wholly or not at all, and change the definition of a table.
func resumable(statement string) error {
	matches := func(pattern string) bool {
		return regexp.MustCompile(`(?is)^(?:` + pattern + `)`).MatchString(statement)
	}
	switch {
	case changesRows(statement):
		return nil
	case matches(`(DROP|RENAME)\s+TABLE\b.*,`):
		return errors.New("it names several tables, and a kill can come between them: write a statement for each")
	case matches(`CREATE\b.*\bSELECT\b`):
		return errors.New("it makes a table with rows, and a kill can come between: create the table, then INSERT … SELECT")
	case !matches(`(CREATE|DROP|ALTER|RENAME)\s+TABLE\b|CREATE\s+(UNIQUE\s+)?INDEX\b|DROP\s+INDEX\b`):
		return errors.New("it cannot be taken up again after a kill: write it as CREATE, ALTER, RENAME or DROP TABLE, " +
			"CREATE or DROP INDEX, INSERT, UPDATE, DELETE or REPLACE")
	}
	return nil
}

// unfinished reads the record. If the record exists, so does goose's table of versions.
func (*mysqlEngine) unfinished(ctx context.Context, db *sql.DB) (w way, err error) {
	var exists bool
	if err := db.QueryRowContext(ctx, existsTable, "roster_migration").Scan(&exists); err != nil || !exists {
		return way{}, err
	}
	err = db.QueryRowContext(ctx, unfinishedRecord).Scan(&w.version, &w.up)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return w, err
}

// completeVersions adds the version 0 to goose's table, if goose was killed before it did.
func completeVersions(ctx context.Context, db *sql.DB) error {
	store, err := goosedb.NewStore(goosedb.DialectMySQL, goose.DefaultTablename)
	if err != nil {
		return err
	}
	var exists bool
	err = db.QueryRowContext(ctx, existsTable, store.Tablename()).Scan(&exists)
	if err != nil || !exists {
		return err
	}
	_, err = store.GetLatestVersion(ctx, db)
	if errors.Is(err, goosedb.ErrVersionNotFound) {
		err = store.Insert(ctx, db, goosedb.InsertRequest{Version: 0})
	}
	return err
}
