package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"entgo.io/ent/dialect"
	"github.com/go-sql-driver/mysql"
)

// mysqlEngine is MySQL or MariaDB.
type mysqlEngine struct {
	name   string // host:port/database
	config *mysql.Config
	packet atomic.Int64 // max_allowed_packet, as the last connection has it
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
	// The same meaning as elsewhere: times are UTC, text is compared as it was sent, what does not fit is refused, and
	// rows that an update found count as found when it changed nothing.
	c.ParseTime, c.Loc, c.ClientFoundRows = true, time.UTC, true
	c.Collation = "utf8mb4_bin"
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	c.Params["time_zone"] = "'+00:00'"
	c.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
	c.Logger = mysql.Logger(quiet{}) // what it would print comes back as an error too
	return &mysqlEngine{name: u.String(), config: c}, nil
}

// quiet is a logger that says nothing.
type quiet struct{}

func (quiet) Print(...any) {}

func (*mysqlEngine) dialect() string { return dialect.MySQL }

func (e *mysqlEngine) String() string { return "MySQL (" + e.name + ")" }

func (e *mysqlEngine) connectors(o Options) (write, read driver.Connector, err error) {
	c := e.config.Clone()
	if c.Timeout == 0 {
		c.Timeout = o.ConnectTimeout
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = o.answerLimit()
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = o.answerLimit()
	}
	connector, err := newPacketConnector(c, &e.packet)
	return connector, connector, err
}

// argumentLimit is max_allowed_packet of the server, which bounds each argument.
func (e *mysqlEngine) argumentLimit() int { return int(e.packet.Load()) }

// Error numbers of MySQL and MariaDB.
const (
	myAccessDenied     = 1045
	myNoPassword       = 1698 // "access denied" too
	myDatabaseDenied   = 1044
	myNoDatabase       = 1049
	myNotFromHere      = 1130
	myNoVariable       = 1193
	myTooMany          = 1040
	myTooManyOfUser    = 1203
	myUserLimit        = 1226
	myShutdown         = 1053
	mySyntax           = 1064
	myDuplicate        = 1062
	myChangedSinceRead = 1020
	myLockWaitTimeout  = 1205
	myDeadlock         = 1213
	myParent           = 1451
	myChild            = 1452
	myInterrupted      = 1317
	myStatementTimeout = 1969 // MariaDB; MySQL's is 3024
	myExecutionTimeout = 3024
	myKilled           = 1927
	myIdle             = 4031
)

func (*mysqlEngine) classify(err error) (kind Kind, constraint string) {
	if errors.Is(err, mysql.ErrInvalidConn) {
		return Lost, ""
	}
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return Other, ""
	}
	switch e.Number {
	case myDuplicate: // Duplicate entry 'x' for key 'user_username_key', on MySQL 8 with the table and a point before it
		at := strings.LastIndex(e.Message, "for key '")
		if at < 0 {
			return Unique, ""
		}
		name := strings.TrimSuffix(e.Message[at+len("for key '"):], "'")
		if _, after, ok := strings.Cut(name, "."); ok {
			name = after
		}
		return Unique, name
	case myParent, myChild: // … CONSTRAINT `posts_users_posts` FOREIGN KEY …
		_, name, _ := strings.Cut(e.Message, "CONSTRAINT `")
		name, _, _ = strings.Cut(name, "`")
		return ForeignKey, name
	case myDeadlock, myLockWaitTimeout, myChangedSinceRead:
		return Retry, ""
	case myInterrupted, myStatementTimeout, myExecutionTimeout:
		return Timeout, ""
	case myTooMany, myTooManyOfUser, myUserLimit, myShutdown, myKilled, myIdle:
		return Lost, ""
	}
	return Other, ""
}

func (e *mysqlEngine) explain(err error) string {
	var me *mysql.MySQLError
	if !errors.As(err, &me) {
		if errors.Is(err, mysql.ErrNoTLS) {
			return "the server does not speak TLS: take tls off the URL, or enable TLS on the server"
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
	case myNoVariable, mySyntax: // the driver sets as a variable what it does not know
		return "a parameter after ? is none that the driver or the server knows, such as sslmode, which is PostgreSQL's: " + me.Message
	case myTooMany, myTooManyOfUser, myUserLimit:
		return "the server has no connection left: raise its max_connections, or lower --database-max-connections"
	}
	return ""
}

func (*mysqlEngine) txOptions(write bool) *sql.TxOptions {
	if write {
		return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	// The first read makes the snapshot, and all that follow see it.
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (*mysqlEngine) check(context.Context) error { return nil }

// locked takes a lock of the server, named after the database.
func (e *mysqlEngine) locked(ctx context.Context, db *sql.DB, f func() error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is under way
	name := "roster migrate " + e.config.DBName
	if len(name) > 64 { // MySQL's limit
		name = name[:64]
	}
	var got sql.NullInt64
	if err := c.QueryRowContext(ctx, "SELECT GET_LOCK(?, 60)", name).Scan(&got); err != nil {
		return fmt.Errorf("wait for the server that migrates the database: %w", err)
	}
	if got.Int64 != 1 {
		return errors.New("another server has been migrating the database for more than 60 s: see what it does")
	}
	defer func() {
		// When this fails, the connection is closed soon, and with it the lock released.
		_ = c.QueryRowContext(context.WithoutCancel(ctx), "SELECT RELEASE_LOCK(?)", name).Scan(&got)
	}()
	return f()
}
