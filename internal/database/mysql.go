package database

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"entgo.io/ent/dialect"
	"github.com/go-sql-driver/mysql"
)

// mysqlEngine is MySQL or MariaDB.
type mysqlEngine struct {
	base

	name   string // host:port/database
	server string // see address
	config *mysql.Config
	packet atomic.Int64 // max_allowed_packet of the last connection
	galera atomic.Bool  // the server is a node of a Galera cluster
	lease  atomic.Pointer[lease]
}

func parseMySQL(text string) (engine, error) {
	u, err := parseServerURL(text, "mysql", "3306")
	if err != nil {
		return nil, err
	}
	if len(u.hosts) > 1 {
		return nil, errors.New("database URL: several hosts: the MySQL driver takes one")
	}
	c, err := mysql.ParseDSN("tcp(" + net.JoinHostPort(u.hosts[0], u.ports[0]) + ")/?" + u.Query().Encode())
	if err != nil {
		return nil, errors.New("database URL: a parameter after ? has a wrong value: see the parameters of the Go MySQL driver")
	}
	c.User, c.DBName = u.User.Username(), u.database
	c.Passwd, _ = u.User.Password()
	// The same meaning as on other engines: times are UTC, text is compared as sent, and values that do not fit are
	// refused. An update counts the rows that it matches, also when it changes nothing.
	c.ParseTime, c.Loc, c.ClientFoundRows = true, time.UTC, true
	c.Collation = "utf8mb4_bin"
	// A statement that is not prepared is one text with its arguments. The driver escapes them for UTF-8.
	c.InterpolateParams = true
	// The driver learns the server's limit, whatever the URL says, and refuses a larger packet. The server would close the
	// connection, and the reason would often be lost.
	c.MaxAllowedPacket = 0
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	c.Params["time_zone"] = "'+00:00'"
	c.Params["character_set_client"], c.Params["character_set_results"] = "utf8mb4", "utf8mb4"
	c.Params["collation_connection"] = "utf8mb4_bin"
	c.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
	// The server must check constraints, even if its default is off, as after an interrupted restore.
	c.Params["foreign_key_checks"], c.Params["unique_checks"] = "1", "1"
	c.Logger = &mysql.NopLogger{} // the driver also returns its messages as errors
	return &mysqlEngine{name: u.String(), server: u.address(), config: c}, nil
}

func (*mysqlEngine) dialect() string { return dialect.MySQL }

// explaining implements engine. The engine refuses to explain writes and locks in a transaction that only reads. A SELECT has the
// same plan without its locks, and might wait for them. MySQL's own choice of a format may be one that shows values.
func (*mysqlEngine) explaining(query string) (string, Mode) {
	const explaining = explaining + "FORMAT=TRADITIONAL "
	if strings.HasPrefix(query, "SELECT ") {
		for _, lock := range []string{" FOR UPDATE", " FOR SHARE", " LOCK IN SHARE MODE"} {
			query = strings.TrimSuffix(query, lock)
		}
		return explaining + query, Snapshot
	}
	return explaining + query, Write
}

func (e *mysqlEngine) address() string { return e.server }

func (e *mysqlEngine) String() string { return "MySQL (" + e.name + ")" }

func (e *mysqlEngine) connectors(o Options) (write, read driver.Connector, err error) {
	c := e.config.Clone()
	if c.Timeout == 0 {
		c.Timeout = o.ConnectTimeout
	}
	c.DialFunc = o.dial()
	limits := o.silence()
	if c.ReadTimeout == 0 && c.WriteTimeout == 0 && limits.limit > 0 {
		if c.DialFunc, err = limiting(c, limits); err != nil {
			return nil, nil, err
		}
	} else { // the URL has limits, which the driver keeps
		c.ReadTimeout, c.WriteTimeout = cmp.Or(c.ReadTimeout, limits.limit), cmp.Or(c.WriteTimeout, limits.limit)
	}
	connector, err := mysql.NewConnector(c)
	learning := &packetConnector{connector, &e.packet}
	return learning, learning, err
}

// limiting returns a function that opens connections with a limit on the wait for the server. To ask whether the server answers,
// they open a connection as c says, and log in: servers count and log connections that do not.
func limiting(c *mysql.Config, limits silence) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	dial := c.DialFunc
	asking, err := mysql.NewConnector(c.Clone())
	if err != nil {
		return nil, err
	}
	ping := func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, cancelLimit)
		defer cancel()
		other, err := asking.Connect(ctx)
		if err == nil {
			_ = other.Close() // it was not used
			return true
		}
		_, refused := errors.AsType[*mysql.MySQLError](err)
		return refused
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		limited := &limitedConn{Conn: raw, silence: limits, ping: ping}
		if socket, ok := raw.(syscall.Conn); ok {
			return checkedConn{limited, socket}, nil
		}
		return limited, nil
	}, nil
}

// checkedConn lets the driver find out whether the server has closed an idle connection.
type checkedConn struct {
	*limitedConn

	socket syscall.Conn
}

// SyscallConn implements syscall.Conn. The deadline of the last answer does not count any more.
func (c checkedConn) SyscallConn() (syscall.RawConn, error) {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return c.socket.SyscallConn()
}

// argumentLimit returns max_allowed_packet of the server, which bounds each argument.
func (e *mysqlEngine) argumentLimit() int { return int(e.packet.Load()) }

// Error numbers of MySQL and MariaDB that the table below does not explain.
const (
	myTooMany          = 1040
	myDatabaseDenied   = 1044
	myAccessDenied     = 1045
	myNotReady         = 1047
	myNoDatabase       = 1049
	mySyntax           = 1064
	myUnspecific       = 1105
	myAtCommit         = 1180
	myNotFromHere      = 1130
	myNoVariable       = 1193
	myTooManyOfUser    = 1203
	myLockWait         = 1205
	myDeadlock         = 1213
	myUserLimit        = 1226
	myNoMoreStatements = 1461
	myNoPassword       = 1698 // "access denied" too
)

// The advice for a MariaDB or MySQL server that takes no changes, and for a schema that is not Roster's.
const (
	myStandby    = "the server is read only: end its read_only mode, or name the primary in the URL"
	myGrant      = "the user lacks a right: grant it SELECT, INSERT, UPDATE and DELETE on all tables of Roster"
	myFull       = "the disk of the server, or its tablespace, is full: make room"
	myMemory     = "the server is out of memory: give it more, or lower --database-max-connections"
	myStatements = "the server keeps no more prepared statements: raise its max_prepared_stmt_count, or lower --database-statement-cache"
	myPacket     = "a statement is larger than the server takes: raise its max_allowed_packet, or send less at a time"
	myLimit      = "the user has used up what the server grants it, such as MAX_UPDATES_PER_HOUR: raise the limit with ALTER USER"
	mySchema     = "the schema is not the one that this program needs: run roster migrate up, or restore the tables from a backup"
	myQuorum     = "the Galera node does not take part in its cluster: it has lost the other nodes, or is joining them. " +
		"See its wsrep_cluster_status, start the other nodes, and if they are lost, begin the cluster again with pc.bootstrap"
	myNotSynced = "the Galera node sends its data to another node, or was taken out by wsrep_desync: it takes part again by itself, or with wsrep_desync=OFF"
	myWriteSet  = "a transaction is larger than the Galera cluster takes: raise wsrep_max_ws_size and wsrep_max_ws_rows, or send less at a time"
	myDamaged   = "the server cannot read or write its files: see its log, check its disk, or restore a backup"
)

// mysqlMeanings is the table of the errors of MariaDB and MySQL.
func mysqlMeanings() map[uint16]meaning {
	return map[uint16]meaning{
		1062:               {kind: Unique},
		1451:               {kind: ForeignKey},                              // of a parent
		1452:               {kind: ForeignKey},                              // of a child
		myDeadlock:         {kind: Retry},                                   // on Galera also of a commit that another node was ahead of
		myLockWait:         {kind: Retry},                                   // the wait for a lock
		1020:               {kind: Retry},                                   // the row changed since the snapshot
		1317:               {kind: Timeout},                                 // interrupted
		1969:               {kind: Timeout},                                 // max_statement_time of MariaDB
		3024:               {kind: Timeout},                                 // max_execution_time of MySQL
		myTooMany:          {kind: Lost},                                    // connections
		myTooManyOfUser:    {kind: Lost},                                    // connections
		myUserLimit:        {kind: ReadOnly, advice: myLimit},               // Lost when no connection can be opened
		myAtCommit:         {kind: Lost},                                    // Galera lost its cluster during the commit
		myNotReady:         {kind: Unusable, role: true, advice: myQuorum},  // of a Galera node
		1053:               {kind: Lost},                                    // the server shuts down
		1927:               {kind: Lost},                                    // the connection was killed
		4031:               {kind: Lost},                                    // the connection was idle
		1290:               {kind: ReadOnly, role: true, advice: myStandby}, // read_only, super_read_only
		1792:               {kind: ReadOnly, role: true, advice: myStandby}, // the transaction is read only by default
		1836:               {kind: ReadOnly, role: true, advice: myStandby}, // read-only mode
		1142:               {kind: ReadOnly, advice: myGrant},               // on a table
		1143:               {kind: ReadOnly, advice: myGrant},               // on a column
		1227:               {kind: ReadOnly, advice: myGrant},               // on the server
		myDatabaseDenied:   {kind: ReadOnly, advice: myGrant},               // on a database
		1021:               {kind: ReadOnly, advice: myFull},                // disk full
		1026:               {kind: ReadOnly, advice: myFull},                // error writing a file
		1030:               {kind: ReadOnly, advice: myFull},                // "got error 28 from storage engine"
		1114:               {kind: ReadOnly, advice: myFull},                // table full
		1036:               {kind: ReadOnly, advice: myDamaged},             // a table that is read only
		myNoMoreStatements: {kind: Busy, advice: myStatements},
		1037:               {kind: Busy, advice: myMemory},
		1038:               {kind: Busy, advice: myMemory},
		1041:               {kind: Busy, advice: myMemory},
		1153:               {kind: TooLarge, advice: myPacket},
		1162:               {kind: TooLarge, advice: myPacket},  // the result of a function
		1301:               {kind: TooLarge, advice: myPacket},  // the same, as a warning
		1046:               {kind: Unusable, advice: mySchema},  // no database
		myNoDatabase:       {kind: Unusable, advice: mySchema},  // dropped
		1054:               {kind: Unusable, advice: mySchema},  // no such column
		1146:               {kind: Unusable, advice: mySchema},  // no such table
		1176:               {kind: Unusable, advice: mySchema},  // no such index
		1932:               {kind: Unusable, advice: myDamaged}, // a table without its data
		1812:               {kind: Unusable, advice: myDamaged}, // a tablespace is missing
		1034:               {kind: Unusable, advice: myDamaged}, // a damaged index
		1194:               {kind: Unusable, advice: myDamaged}, // a damaged table
	}
}

func (*mysqlEngine) classify(err error) (m meaning, constraint string) {
	var e *mysql.MySQLError
	switch {
	case errors.Is(err, mysql.ErrInvalidConn):
		return meaning{kind: Lost}, ""
	case errors.Is(err, mysql.ErrPktTooLarge): // the driver knows the server's limit
		return meaning{kind: TooLarge, advice: myPacket}, ""
	case !errors.As(err, &e):
		return meaning{}, ""
	case e.Number == myUnspecific && strings.Contains(e.Message, "max_allowed_packet"): // of a long parameter
		return meaning{kind: TooLarge, advice: myPacket}, ""
	case e.Number == myUnspecific && strings.Contains(e.Message, "writeset size"),
		e.Number == myAtCommit && strings.Contains(e.Message, "wsrep_max_ws_rows"):
		return meaning{kind: TooLarge, advice: myWriteSet}, ""
	}
	m = mysqlMeanings()[e.Number]
	switch m.kind {
	case Unique: // Duplicate entry 'x' for key 'user_username_key', on MySQL 8 with the table and a point before it
		at := strings.LastIndex(e.Message, "for key '")
		if at < 0 {
			return m, ""
		}
		constraint = strings.TrimSuffix(e.Message[at+len("for key '"):], "'")
		if _, after, ok := strings.Cut(constraint, "."); ok {
			constraint = after
		}
	case ForeignKey: // … CONSTRAINT `posts_users_posts` FOREIGN KEY …
		_, constraint, _ = strings.Cut(e.Message, "CONSTRAINT `")
		constraint, _, _ = strings.Cut(constraint, "`")
	default:
	}
	return m, constraint
}

// isDeadlock reports whether the server has rolled a transaction back because of others.
func isDeadlock(err error) bool { return isNumber(err, myDeadlock) }

// isNumber reports whether an error is that of the server with a number.
func isNumber(err error, number uint16) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == number
}

// staysOpen reports whether an error of COMMIT or ROLLBACK leaves the transaction open, or may do so. A server that ends a
// transaction because of others says so by the error of a deadlock.
func staysOpen(err error) bool {
	_, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && !isDeadlock(err)
}

// noMoreStatements reports whether the server refuses to prepare a statement because it keeps too many. The limit counts
// the statements of all clients.
func noMoreStatements(err error) bool {
	return isNumber(err, myNoMoreStatements)
}

func (e *mysqlEngine) explain(err error) string {
	var me *mysql.MySQLError
	if !errors.As(err, &me) {
		if errors.Is(err, mysql.ErrNoTLS) {
			return "the server does not speak TLS: take tls off the URL, or enable TLS on the server"
		}
		if errors.Is(err, mysql.ErrInvalidConn) {
			err = driver.ErrBadConn
		}
		for _, strange := range []error{mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul, mysql.ErrOldProtocol} {
			if errors.Is(err, strange) {
				return "what answers there is no server of MySQL or MariaDB: check host and port"
			}
		}
		return explainNetwork(err)
	}
	switch me.Number {
	case myAccessDenied, myNoPassword:
		return "the server refuses the user or the password: check both"
	case myNoDatabase:
		return "there is no database of this name: create it, or correct the name"
	case myDatabaseDenied:
		return "there is no database of this name that the user may use: create it, grant it, or correct the name"
	case myNotFromHere:
		return "the server refuses connections from here: create the user for this host"
	case myNoVariable, mySyntax: // the driver sets unknown parameters as variables
		why := "a parameter after ? is none that the driver or the server knows, such as sslmode, which is PostgreSQL's"
		if me.Number == mySyntax { // its message has the value
			return why
		}
		return why + ": " + me.Message
	case myTooMany, myTooManyOfUser, myUserLimit:
		return "the server has no connection left: raise its max_connections, or lower --database-max-connections"
	}
	return "the server refuses the connection: " + me.Message
}

// explainMigration names all rights that migrations need. A server names only the first missing one.
func (e *mysqlEngine) explainMigration(ctx context.Context, db *sql.DB, err error) string {
	var me *mysql.MySQLError
	if !errors.As(err, &me) || !slices.Contains([]uint16{1142, 1143, 1227, myDatabaseDenied}, me.Number) || strings.HasPrefix(me.Message, "SELECT ") {
		return ""
	}
	var account string
	if err := db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&account); err != nil {
		return ""
	}
	user, host := account, "%"
	if at := strings.LastIndex(account, "@"); at >= 0 {
		user, host = account[:at], account[at+1:]
	}
	literal := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return fmt.Sprintf("the user lacks a right: GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON %s.* TO %s@%s",
		quote(e.config.DBName), literal(user), literal(host))
}

func (*mysqlEngine) txOptions(write bool) *sql.TxOptions {
	if write {
		return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	// The first read makes the snapshot of the transaction.
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// check refuses a database that cannot store every text. It accepts information_schema, in which nobody can create a
// table: the planner of migrations connects to it to create a database of its own. It learns whether the server is a node of a
// Galera cluster.
func (e *mysqlEngine) check(ctx context.Context, db *sql.DB) error {
	if e.config.DBName == "information_schema" {
		return nil
	}
	var charset string
	if err := db.QueryRowContext(ctx, "SELECT @@character_set_database").Scan(&charset); err != nil {
		return err
	}
	if charset != "utf8mb4" {
		return &EncodingError{fmt.Sprintf("the database has the character set %s: take an empty one with utf8mb4, or ALTER DATABASE %s CHARACTER SET utf8mb4", charset, e.config.DBName)}
	}
	return e.findGalera(ctx, db)
}

// locked takes a lock of the server, named after the database. On a Galera cluster, it also takes the lease.
func (e *mysqlEngine) locked(ctx context.Context, db *sql.DB, o Options, f func() error) error {
	name := "roster migrate " + e.config.DBName
	if len(name) > 64 { // MySQL's limit
		name = name[:64]
	}
	var got sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", name, migrationWait.Seconds()).Scan(&got); err != nil {
		return fmt.Errorf("wait for the server that migrates the database: %w", err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("another server has been migrating the database for more than %v: see what it does", migrationWait)
	}
	defer func() {
		// If this fails, the connection is closed soon, which releases the lock.
		_ = db.QueryRowContext(context.WithoutCancel(ctx), "SELECT RELEASE_LOCK(?)", name).Scan(&got)
	}()
	locked := func() error {
		if err := completeVersions(ctx, db); err != nil {
			return err
		}
		return f()
	}
	if !e.galera.Load() {
		return locked()
	}
	write, _, err := e.connectors(o)
	if err != nil {
		return err
	}
	beside := sql.OpenDB(write)
	defer beside.Close() //nolint:errcheck // nothing is under way
	return e.underLease(ctx, db, beside, locked)
}

func (*mysqlEngine) clock() string {
	return "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
}
