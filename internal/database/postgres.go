package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// postgresEngine is PostgreSQL.
type postgresEngine struct {
	base

	name   string // host:port/database
	server string // see address
	url    string // for the driver
}

func parsePostgres(text string) (engine, error) {
	u, err := parseServerURL(text, "postgres", "5432")
	if err != nil {
		return nil, err
	}
	// The driver gets each setting once. It wants several hosts and their ports as two lists.
	settings := url.Values{
		"host": {strings.Join(u.hosts, ",")}, "port": {strings.Join(u.ports, ",")},
		"dbname": {u.database},
	}
	if name := u.User.Username(); name != "" {
		settings.Set("user", name)
	}
	if password, ok := u.User.Password(); ok {
		settings.Set("password", password)
	}
	for key, values := range u.Query() {
		settings.Set(key, values[len(values)-1])
	}
	if settings.Get("sslmode") == "" {
		// Connections within the machine need no TLS. Others use it, unless the URL says otherwise.
		settings.Set("sslmode", "require")
		if !slices.ContainsFunc(u.hosts, func(host string) bool { return !isLocal(host) }) {
			settings.Set("sslmode", "disable")
		}
	}
	settings.Set("timezone", "UTC")          // for times without a zone, such as goose's
	settings.Set("binary_parameters", "yes") // one round trip instead of two for a statement that is not prepared
	if settings.Get("application_name") == "" {
		settings.Set("application_name", "roster")
	}
	if several := strings.Contains(settings.Get("host")+settings.Get("hostaddr"), ","); several && settings.Get("target_session_attrs") == "" {
		// One of the hosts is the primary, and it may become another one.
		settings.Set("target_session_attrs", string(pq.TargetSessionAttrsReadWrite))
	}
	if settings.Get("connect_timeout") == "0" {
		settings.Del("connect_timeout") // without a limit; Options.ConnectTimeout is one
	}
	driverURL := url.URL{Scheme: "postgres", Path: "/", RawQuery: settings.Encode()}
	return &postgresEngine{name: u.String(), server: u.address(), url: driverURL.String()}, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
}

func (*postgresEngine) dialect() string { return dialect.Postgres }

// planLine implements engine.
func (*postgresEngine) planLine(_ []string, values []sql.NullString) string { return values[0].String }

// withoutValues implements engine. PostgreSQL writes the values of a statement into the conditions of its plan. A text can go
// over several lines.
func (*postgresEngine) withoutValues(plan string) string {
	return postgresNumbers.ReplaceAllString(postgresTexts.ReplaceAllString(plan, "'…'"), "${1}…")
}

// The values in the conditions of a plan. Costs, rows and widths have no space before them, and so are none.
var (
	postgresTexts   = regexp.MustCompile(`'(?:[^']|'')*'`)
	postgresNumbers = regexp.MustCompile(`([=<>~] |, |\()-?\d[\d.]*`)
)

func (e *postgresEngine) address() string { return e.server }

func (e *postgresEngine) String() string { return "PostgreSQL (" + e.name + ")" }

func (e *postgresEngine) connectors(o Options) (write, read driver.Connector, err error) {
	config, err := pq.NewConfig(e.url)
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "pq: ")
		for _, parser := range []string{": strconv.", ": ParseAddr("} { // an error for programmers follows
			text, _, _ = strings.Cut(text, parser)
		}
		return nil, nil, errors.New(text)
	}
	if config.ConnectTimeout == 0 {
		// Each of several hosts gets a share of the time, so that a silent host does not use it up.
		config.ConnectTimeout = o.ConnectTimeout / time.Duration(1+len(config.Multi))
	}
	c, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, nil, err
	}
	c.Dialer(&dialer{silence: o.silence(), dial: o.dial()})
	return c, c, nil
}

// SQLSTATE codes, PostgreSQL's appendix A, that the table below does not explain.
const (
	pgUnsupported     = "0A000"
	pgInvalidAuth     = "28000"
	pgInvalidPassword = "28P01"
	pgNoDatabase      = "3D000"
	pgNoSchema        = "3F000"
	pgNoPrivilege     = "42501"
	pgTooMany         = "53300"
)

// The advice for a PostgreSQL server that takes no changes, and for a schema that is not Roster's.
const (
	pgStandby = "the server is a standby or was made read only: promote it or end its read-only mode, or name the primary in the URL"
	pgGrant   = "the user lacks a right: grant it SELECT, INSERT, UPDATE and DELETE on all tables of Roster"
	pgSchema  = "the schema is not the one that this program needs: run roster migrate up, or restore the tables from a backup"
	pgDamaged = "the server cannot read or write its files: see its log, check its disk, or restore a backup"
)

// postgresMeanings is the table of PostgreSQL's errors, by SQLSTATE, or by the first two characters for a whole class.
func postgresMeanings() map[pqerror.Code]meaning {
	return map[pqerror.Code]meaning{
		"23505":       {kind: Unique},
		"23503":       {kind: ForeignKey},
		"40001":       {kind: Retry},   // serialisation failure
		"40P01":       {kind: Retry},   // deadlock
		"55P03":       {kind: Retry},   // a lock is not available
		"57014":       {kind: Timeout}, // the query was cancelled
		pgTooMany:     {kind: Lost},    // connections
		"26000":       {kind: Lost},    // no such statement: a pooler gave its connection to another client
		"08":          {kind: Lost},    // connection exceptions
		"57":          {kind: Lost},    // operator intervention: shutting down, starting up
		"25P03":       {kind: Lost},    // the server ended a connection that was idle in its transaction
		"25006":       {kind: ReadOnly, role: true, advice: pgStandby},
		pgNoPrivilege: {kind: ReadOnly, advice: pgGrant},
		"53100":       {kind: ReadOnly, advice: "the disk of the server is full: make room on it"},
		"53200":       {kind: Busy, advice: "the server is out of memory: give it more, or lower --database-max-connections"},
		"53400":       {kind: Busy, advice: "a limit of the server is reached: see its log, and raise the limit"},
		"54":          {kind: TooLarge, advice: "a statement is beyond a limit of the server: send less at a time"},
		pgNoSchema:    {kind: Unusable, advice: pgSchema},  // no such schema
		"42P01":       {kind: Unusable, advice: pgSchema},  // no such table
		"42703":       {kind: Unusable, advice: pgSchema},  // no such column
		"58":          {kind: Unusable, advice: pgDamaged}, // system errors, such as of input and output
		"XX001":       {kind: Unusable, advice: pgDamaged}, // damaged data
		"XX002":       {kind: Unusable, advice: pgDamaged}, // a damaged index
	}
}

// postgresUnsupported is the table of "feature not supported". Its meaning depends on the function of the server.
func postgresUnsupported() map[string]meaning {
	return map[string]meaning{
		// A migration changed a column's type under a prepared statement; a new connection prepares it anew.
		"RevalidateCachedQuery": {kind: Lost},
		// The server refuses a setting. It allows Roster's, except a transaction that writes, on a standby.
		"call_bool_check_hook": {kind: ReadOnly, role: true, advice: pgStandby},
	}
}

func (*postgresEngine) classify(err error) (m meaning, constraint string) {
	var e *pq.Error
	if !errors.As(err, &e) {
		return meaning{}, ""
	}
	if e.Code == pgUnsupported {
		return postgresUnsupported()[e.Routine], ""
	}
	table := postgresMeanings()
	m, ok := table[e.Code]
	if !ok {
		m = table[pqerror.Code(e.Code.Class())]
	}
	return m, e.Constraint
}

func (e *postgresEngine) explain(err error) string {
	var pe *pq.Error
	if !errors.As(err, &pe) {
		if errors.Is(err, pq.ErrSSLNotSupported) {
			return "the server does not speak TLS: add ?sslmode=disable to the URL, or enable TLS on the server"
		}
		if text := err.Error(); strings.Contains(text, "session is read-only") || strings.Contains(text, "hot standby mode") {
			return "no host takes changes: promote a standby, name the primary in the URL, or add target_session_attrs=any to read from a standby"
		}
		if strings.Contains(err.Error(), "pq: un") { // an unknown, or unexpected, message
			return "what answers there is no PostgreSQL server: check host and port"
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
	return "the server refuses the connection: " + pe.Message
}

// explainMigration asks the server which right the user lacks. The errors do not name the user, nor the schema in every
// language.
func (*postgresEngine) explainMigration(ctx context.Context, db *sql.DB, err error) string {
	var pe *pq.Error
	if !errors.As(err, &pe) || pe.Code != pgNoPrivilege && pe.Code != pgNoSchema {
		return ""
	}
	var user, path, schema, owner string
	var create bool
	if err := db.QueryRowContext(ctx, `SELECT quote_ident(current_user), current_setting('search_path'),
		coalesce(quote_ident(current_schema()), ''), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
		coalesce((SELECT min(quote_ident(tableowner)) FROM pg_tables WHERE schemaname = current_schema()
			AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT')
			AND NOT pg_has_role(tableowner, 'USAGE')), '')`).Scan(&user, &path, &schema, &create, &owner); err != nil {
		return ""
	}
	switch {
	case schema == "":
		return fmt.Sprintf("the search_path (%s) leads to no schema that the user %s may use: "+
			"create one and GRANT USAGE, CREATE ON SCHEMA … TO %[2]s, or set the search_path to one that exists, in the URL or by ALTER ROLE %[2]s SET search_path = …", path, user)
	case !create:
		return fmt.Sprintf("the user %s lacks a right: GRANT CREATE ON SCHEMA %s TO %[1]s", user, schema)
	case owner != "":
		return fmt.Sprintf("tables in the schema %s belong to %s: migrate as that user, or make %s their owner by ALTER TABLE … OWNER TO %[3]s", schema, owner, user)
	}
	return ""
}

func (*postgresEngine) txOptions(write bool) *sql.TxOptions {
	if write {
		return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// check refuses a database that cannot store every text.
func (*postgresEngine) check(ctx context.Context, db *sql.DB) error {
	var encoding string
	if err := db.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return &EncodingError{fmt.Sprintf("the database has the encoding %s: take one that was created with ENCODING 'UTF8'", encoding)}
	}
	return nil
}

// migrateLock is an arbitrary number, the same in all versions.
const migrateLock = 0x726f73746572 // "roster"

func (*postgresEngine) locked(ctx context.Context, db *sql.DB, _ Options, f func() error) error {
	if _, err := db.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", migrateLock)); err != nil {
		return fmt.Errorf("wait for the server that migrates the database: %w", err)
	}
	defer func() {
		// If this fails, the connection is closed soon, which releases the lock.
		_, _ = db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("SELECT pg_advisory_unlock(%d)", migrateLock))
	}()
	return f()
}

func (*postgresEngine) clock() string {
	return "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
}
