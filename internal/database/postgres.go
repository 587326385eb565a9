package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"github.com/lib/pq"
)

// postgresEngine is PostgreSQL.
type postgresEngine struct {
	name string // host:port/database
	dsn  string
}

func parsePostgres(text string) (engine, error) {
	u, err := parseServerURL(text, "postgres", "5432")
	if err != nil {
		return nil, err
	}
	settings := map[string]string{"dbname": u.database, "user": u.User.Username()}
	if password, ok := u.User.Password(); ok {
		settings["password"] = password
	}
	// The driver wants several hosts and their ports as two lists.
	settings["host"], settings["port"] = strings.Join(u.hosts, ","), strings.Join(u.ports, ",")
	for key, values := range u.Query() {
		settings[key] = values[len(values)-1]
	}
	if settings["sslmode"] == "" {
		// What does not leave the machine needs no TLS; everything else must have it unless the URL says otherwise.
		settings["sslmode"] = "require"
		if !slices.ContainsFunc(u.hosts, func(host string) bool { return !isLocal(host) }) {
			settings["sslmode"] = "disable"
		}
	}
	settings["timezone"] = "UTC"          // goose's times, say, have none of their own
	settings["binary_parameters"] = "yes" // one round trip for a statement that is not prepared, instead of two
	if settings["application_name"] == "" {
		settings["application_name"] = "roster"
	}
	var b strings.Builder
	for key, value := range settings {
		if value != "" {
			fmt.Fprintf(&b, "%s='%s' ", key, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
		}
	}
	return &postgresEngine{name: u.String(), dsn: b.String()}, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
}

func (*postgresEngine) dialect() string { return dialect.Postgres }

func (e *postgresEngine) String() string { return "PostgreSQL (" + e.name + ")" }

func (e *postgresEngine) connectors(o Options) (write, read driver.Connector, err error) {
	config, err := pq.NewConfig(e.dsn)
	if err != nil {
		return nil, nil, errors.New(strings.TrimPrefix(err.Error(), "pq: "))
	}
	if config.ConnectTimeout == 0 {
		// Of several hosts each gets its share, so that the ones after a host that does not answer are tried too.
		config.ConnectTimeout = o.ConnectTimeout / time.Duration(1+len(config.Multi))
	}
	c, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, nil, err
	}
	c.Dialer(&dialer{limit: o.answerLimit()})
	return c, c, nil
}

// SQLSTATE codes, PostgreSQL's appendix A.
const (
	pgStalePlan        = "0A000"
	pgForeignKey       = "23503"
	pgUnique           = "23505"
	pgNoStatement      = "26000"
	pgSerialization    = "40001"
	pgDeadlock         = "40P01"
	pgLockNotAvailable = "55P03"
	pgQueryCanceled    = "57014"
	pgInvalidPassword  = "28P01"
	pgInvalidAuth      = "28000"
	pgNoDatabase       = "3D000"
	pgNoPrivilege      = "42501"
	pgTooMany          = "53300"
)

func (*postgresEngine) classify(err error) (kind Kind, constraint string) {
	var e *pq.Error
	if !errors.As(err, &e) {
		return Other, ""
	}
	switch e.Code {
	case pgUnique:
		return Unique, e.Constraint
	case pgForeignKey:
		return ForeignKey, e.Constraint
	case pgSerialization, pgDeadlock, pgLockNotAvailable:
		return Retry, ""
	case pgQueryCanceled:
		return Timeout, ""
	case pgTooMany:
		return Lost, ""
	case pgNoStatement: // behind a pooler that gave the statement's connection to another
		return Lost, ""
	case pgStalePlan: // a migration changed a column's type under a prepared statement; a new connection prepares it anew
		if e.Routine == "RevalidateCachedQuery" {
			return Lost, ""
		}
	}
	switch e.Code.Class() {
	case "08", "57": // connection exceptions; operator intervention: shutting down, starting up
		return Lost, ""
	}
	return Other, ""
}

func (e *postgresEngine) explain(err error) string {
	var pe *pq.Error
	if !errors.As(err, &pe) {
		if errors.Is(err, pq.ErrSSLNotSupported) {
			return "the server does not speak TLS: add ?sslmode=disable to the URL, or enable TLS on the server"
		}
		return explainNetwork(err)
	}
	switch pe.Code {
	case pgInvalidPassword:
		return "the server refuses the user or the password: check both"
	case pgInvalidAuth:
		return "the server refuses the user, or connections from here: check the user, sslmode, and the server's pg_hba.conf"
	case pgNoDatabase:
		return "there is no database of this name: create it, or correct the name"
	case pgNoPrivilege:
		return "the user may not connect to this database: grant it, or take another user"
	case pgTooMany:
		return "the server has no connection left: raise its max_connections, or lower --database-max-connections"
	}
	return ""
}

func (*postgresEngine) txOptions(write bool) *sql.TxOptions {
	if write {
		return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (*postgresEngine) check(context.Context) error { return nil }

// migrateLock is an arbitrary number, the same in all versions.
const migrateLock = 0x726f73746572 // "roster"

func (*postgresEngine) locked(ctx context.Context, db *sql.DB, f func() error) error {
	if _, err := db.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", migrateLock)); err != nil {
		return fmt.Errorf("wait for the server that migrates the database: %w", err)
	}
	defer func() {
		// When this fails, the connection is closed soon, and with it the lock released.
		_, _ = db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("SELECT pg_advisory_unlock(%d)", migrateLock))
	}()
	return f()
}

func (*postgresEngine) apply(ctx context.Context, tx *sql.Tx, w way) error {
	return execute(ctx, tx, w.statements)
}

func (*postgresEngine) unfinished(context.Context, *sql.DB) (way, error) { return way{}, nil }
