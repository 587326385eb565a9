package database_test

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/lib/pq"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/typeid"
)

// wantKind checks that err is a failure of a kind.
func wantKind(t *testing.T, err error, want database.Kind) {
	t.Helper()
	f := database.AsFailure(err)
	if f == nil {
		t.Errorf("got %v, want a failure of kind %d", err, want)
		return
	}
	if f.Kind != want {
		t.Errorf("got a failure of kind %d, want %d: %v", f.Kind, want, err)
	}
	if f.Unwrap() == nil || f.Error() == "" {
		t.Errorf("got a failure with the cause %v and the text %q, want both", f.Unwrap(), f.Error())
	}
}

// servers runs f on PostgreSQL and MariaDB.
func servers(t *testing.T, f func(t *testing.T, e dbtest.Engine)) {
	t.Helper()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, e)
		})
	}
}

// works checks that each mode works at the first attempt.
func works(t *testing.T, db *database.DB) {
	t.Helper()
	for _, mode := range []database.Mode{database.Single, database.Snapshot, database.Write} {
		s := db.Session(mode)
		if n, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0); n != 3 || err != nil {
			t.Errorf("things in mode %d: got %d, %v, want 3", mode, n, err)
		}
		if err := s.Commit(); err != nil {
			t.Errorf("commit in mode %d: got %v, want no error", mode, err)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	timeout := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	type row struct {
		err        error
		kind       database.Kind
		constraint string
	}
	for address, rows := range map[string][]row{
		"sqlite:x": {
			{context.Canceled, database.Timeout, ""},
			{fmt.Errorf("query: %w", context.DeadlineExceeded), database.Timeout, ""},
			{errors.New("something"), database.Other, ""},
		},
		"postgres://u@h/d": {
			{&pq.Error{Code: "23505", Constraint: "user_email_key"}, database.Unique, "user_email_key"},
			{&pq.Error{Code: "23503", Constraint: "posts_users_posts"}, database.ForeignKey, "posts_users_posts"},
			{&pq.Error{Code: "23502"}, database.Other, ""},
			{&pq.Error{Code: "40001"}, database.Retry, ""},
			{&pq.Error{Code: "40P01"}, database.Retry, ""},
			{&pq.Error{Code: "55P03"}, database.Retry, ""},
			{&pq.Error{Code: "57014"}, database.Timeout, ""},
			{&pq.Error{Code: "57P01"}, database.Lost, ""},
			{&pq.Error{Code: "57P03"}, database.Lost, ""},
			{&pq.Error{Code: "08006"}, database.Lost, ""},
			{&pq.Error{Code: "53300"}, database.Lost, ""},
			{&pq.Error{Code: "26000"}, database.Lost, ""},
			{&pq.Error{Code: "0A000"}, database.Other, ""},
			{&pq.Error{Code: "42601"}, database.Other, ""},
			{fmt.Errorf("query: %w", driver.ErrBadConn), database.Lost, ""},
			{io.EOF, database.Lost, ""},
			{io.ErrUnexpectedEOF, database.Lost, ""},
			{timeout, database.Lost, ""},
			{context.DeadlineExceeded, database.Timeout, ""},
		},
		"mysql://u@h/d": {
			{&mysql.MySQLError{Number: 1062, Message: "Duplicate entry 'a' for key 'user_email_key'"}, database.Unique, "user_email_key"},
			{&mysql.MySQLError{Number: 1062, Message: "Duplicate entry 'a.b' for key 'users.user_email_key'"}, database.Unique, "user_email_key"},
			{&mysql.MySQLError{Number: 1062, Message: "Duplicate entry 'x' for key 'y' for key 'PRIMARY'"}, database.Unique, "PRIMARY"},
			{&mysql.MySQLError{Number: 1062, Message: "Doppelter Eintrag"}, database.Unique, ""},
			{&mysql.MySQLError{Number: 1452, Message: "Cannot add: a foreign key constraint fails (`d`.`posts`, CONSTRAINT `posts_users_posts` FOREIGN KEY (`author_id`) …)"}, database.ForeignKey, "posts_users_posts"},
			{&mysql.MySQLError{Number: 1451, Message: "a foreign key constraint fails"}, database.ForeignKey, ""},
			{&mysql.MySQLError{Number: 1213}, database.Retry, ""},
			{&mysql.MySQLError{Number: 1205}, database.Retry, ""},
			{&mysql.MySQLError{Number: 1020}, database.Retry, ""},
			{&mysql.MySQLError{Number: 1317}, database.Timeout, ""},
			{&mysql.MySQLError{Number: 1969}, database.Timeout, ""},
			{&mysql.MySQLError{Number: 3024}, database.Timeout, ""},
			{&mysql.MySQLError{Number: 1040}, database.Lost, ""},
			{&mysql.MySQLError{Number: 1226}, database.ReadOnly, ""},
			{&mysql.MySQLError{Number: 1053}, database.Lost, ""},
			{&mysql.MySQLError{Number: 1927}, database.Lost, ""},
			{&mysql.MySQLError{Number: 4031}, database.Lost, ""},
			{&mysql.MySQLError{Number: 1064}, database.Other, ""},
			{mysql.ErrInvalidConn, database.Lost, ""},
			{driver.ErrBadConn, database.Lost, ""},
			{timeout, database.Lost, ""},
			{context.Canceled, database.Timeout, ""},
		},
	} {
		for _, r := range rows {
			if f := database.Classify(address, r.err); f.Kind != r.kind || f.Constraint != r.constraint {
				t.Errorf("%s: %v: got kind %d with %q, want %d with %q", address, r.err, f.Kind, f.Constraint, r.kind, r.constraint)
			}
		}
	}
}

func TestAsFailure(t *testing.T) {
	t.Parallel()
	if f := database.AsFailure(errors.New("something")); f != nil {
		t.Errorf("another error: got %v, want nil", f)
	}
	if f := database.AsFailure(nil); f != nil {
		t.Errorf("no error: got %v, want nil", f)
	}
}

// TestConstraints breaks each constraint of Roster's schema.
func TestConstraints(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		if _, err := db.MigrateUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		fill(t, db)
		const copied = "INSERT INTO users (id, created_at, updated_at, version, username, username_key, email, email_key) " +
			"SELECT %s, created_at, updated_at, version, 'new', %s, 'new', 'new@example.com' FROM users WHERE username_key = 'user1'"
		other := typeid.New("user", uuid.UUID{1})
		for name, c := range map[string]struct {
			breaks     string
			args       []any
			kind       database.Kind
			constraint map[dbtest.Engine]string
		}{
			"username": {
				fmt.Sprintf(copied, "?", "'user1'"),
				[]any{other},
				database.Unique,
				map[dbtest.Engine]string{dbtest.SQLite: "users.username_key", dbtest.PostgreSQL: "user_username_key", dbtest.MySQL: "user_username_key"},
			},
			"email of an update": {
				"UPDATE users SET email_key = 'user2@example.com' WHERE username_key = 'user1'", nil,
				database.Unique,
				map[dbtest.Engine]string{dbtest.SQLite: "users.email_key", dbtest.PostgreSQL: "user_email_key", dbtest.MySQL: "user_email_key"},
			},
			"ID": {
				fmt.Sprintf(copied, "id", "'new'"), nil,
				database.Unique,
				map[dbtest.Engine]string{dbtest.SQLite: "users.id", dbtest.PostgreSQL: "users_pkey", dbtest.MySQL: "PRIMARY"},
			},
			"user with posts": {
				"DELETE FROM users WHERE username_key = 'user1'", nil,
				database.ForeignKey,
				map[dbtest.Engine]string{dbtest.PostgreSQL: "posts_users_posts", dbtest.MySQL: "posts_users_posts"},
			},
			"post without author": {
				"UPDATE posts SET author_id = ? WHERE title = 'Title'",
				[]any{other},
				database.ForeignKey,
				map[dbtest.Engine]string{dbtest.PostgreSQL: "posts_users_posts", dbtest.MySQL: "posts_users_posts"},
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := db.Session(database.Write)
				defer s.Rollback()
				err := run(t.Context(), s, c.breaks, c.args...)
				wantKind(t, err, c.kind)
				if f := s.Failure(); f == nil || f.Kind != c.kind || f.Constraint != c.constraint[e] {
					t.Errorf("the session's failure is %+v, want the constraint %q", f, c.constraint[e])
				}
			})
		}
	})
}

// TestFailedTransaction goes on after a broken constraint, which some engines allow. No engine commits the transaction.
func TestFailedTransaction(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		s := db.Session(database.Write)
		defer s.Rollback()
		if err := run(t.Context(), s, "INSERT INTO things (id, n) VALUES (?, 0)", 4); err != nil {
			t.Fatal(err)
		}
		first := run(t.Context(), s, "INSERT INTO things (id, n) VALUES (?, 0)", 1)
		wantKind(t, first, database.Unique)
		if err := run(t.Context(), s, "INSERT INTO things (id, n) VALUES (?, 0)", 5); (err != nil) != (e == dbtest.PostgreSQL) {
			t.Errorf("a statement after the failure: got %v, want an error only from PostgreSQL", err)
		}
		if s.Failure() != database.AsFailure(first) {
			t.Errorf("got the failure %v, want the first one, %v", s.Failure(), first)
		}
		if err := s.Commit(); err != error(s.Failure()) { //nolint:errorlint // it is this one
			t.Errorf("commit: got %v, want %v", err, s.Failure())
		}
		works(t, db)
	})
}

// slow returns a query that does not end soon. It has a placeholder for a number.
func slow(e dbtest.Engine) string {
	return map[dbtest.Engine]string{
		dbtest.SQLite:     "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c WHERE i > ?",
		dbtest.PostgreSQL: "SELECT 1 FROM pg_sleep(?)",
		dbtest.MySQL:      "SELECT SLEEP(?)",
	}[e]
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		statement, args := slow(e), []any{600}
		if mode != database.Single {
			statement, args = strings.ReplaceAll(statement, "?", "600"), nil // not prepared
		}
		db := things(t, e, func(o *database.Options) { o.StatementTimeout = time.Second })
		bystander := db.Session(database.Snapshot)
		defer bystander.Rollback()
		if _, err := number(t.Context(), bystander, "SELECT count(*) FROM things"); err != nil {
			t.Fatal(err)
		}
		s := db.Session(mode)
		_, err := number(t.Context(), s, statement, args...)
		wantKind(t, err, database.Timeout)
		wantKind(t, s.Commit(), database.Timeout)
		if n, err := number(t.Context(), bystander, "SELECT count(*) FROM things"); n != 3 || err != nil {
			t.Errorf("things in another session: got %d, %v, want 3", n, err)
		}
		bystander.Rollback()
		works(t, db)
	})
}

// TestCancel cancels the context of a running statement.
func TestCancel(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		sent := make(chan struct{}, 1)
		db := things(t, e, func(o *database.Options) {
			o.Observe = func(query string) {
				if strings.Contains(query, "600") {
					sent <- struct{}{}
				}
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := db.Session(mode)
		var statement sync.WaitGroup
		statement.Go(func() {
			_, err := number(ctx, s, strings.ReplaceAll(slow(e), "?", "600"))
			wantKind(t, err, database.Timeout)
		})
		<-sent
		// What is cancelled before it runs is not cancelled.
		if running := map[dbtest.Engine]string{
			dbtest.PostgreSQL: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%(' || ? || ')'",
			dbtest.MySQL:      "SELECT count(*) FROM " + dbtest.Processes(t) + " WHERE db = database() AND info LIKE concat('%(', ?, ')')",
		}[e]; running != "" {
			eventually(t, func() error {
				n, err := number(t.Context(), db.Session(database.Single), running, "600")
				if n == 0 && err == nil {
					err = errors.New("the statement does not run")
				}
				return err
			})
		}
		cancel()
		statement.Wait()
		s.Rollback()
		works(t, db)
	})
}

// behind opens things through a proxy that can cut the connections.
func behind(t *testing.T, e dbtest.Engine) (*database.DB, *dbtest.Proxy) {
	t.Helper()
	var p *dbtest.Proxy
	db := things(t, e, func(o *database.Options) { o.URL, p = dbtest.ProxyURL(t, o.URL) })
	return db, p
}

// warm opens all connections and leaves them idle, with prepared statements.
func warm(t *testing.T, db *database.DB) {
	t.Helper()
	var sessions []*database.Session
	for range options("").MaxConnections {
		s := db.Session(database.Write)
		defer s.Rollback()
		if _, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		s.Rollback()
	}
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		for name, mode := range map[string]database.Mode{"snapshot": database.Snapshot, "write": database.Write} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db, p := behind(t, e)
				warm(t, db)
				s := db.Session(mode)
				if _, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0); err != nil {
					t.Fatal(err)
				}
				p.Cut()
				for range 2 {
					_, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0)
					wantKind(t, err, database.Lost)
				}
				s.Rollback()

				for _, mode := range []database.Mode{database.Single, database.Snapshot, database.Write} {
					away := db.Session(mode)
					_, err := number(t.Context(), away, "SELECT 1")
					wantKind(t, err, database.Lost)
					wantKind(t, away.Commit(), database.Lost)
				}
				wantKind(t, db.Ping(t.Context()), database.Lost)
				p.Restore()
				works(t, db)
			})
		}
	})
}

// TestStaleConnections uses idle connections that broke unnoticed.
func TestStaleConnections(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		db, p := behind(t, e)
		for range 2 {
			warm(t, db)
			p.Cut()
			p.Restore()
			works(t, db)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		for name, c := range map[string]struct {
			mode database.Mode
			kind database.Kind
		}{"snapshot": {database.Snapshot, database.Lost}, "write": {database.Write, database.Unknown}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db, p := behind(t, e)
				s := db.Session(c.mode)
				if _, err := number(t.Context(), s, "SELECT count(*) FROM things"); err != nil {
					t.Fatal(err)
				}
				p.Cut()
				wantKind(t, s.Commit(), c.kind)
				s.Rollback()
				p.Restore()
				works(t, db)
			})
		}
	})
}

// TestConnectionEnded has the server end a connection, as it does when it shuts down.
func TestConnectionEnded(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		s := db.Session(database.Write)
		defer s.Rollback()
		id := map[dbtest.Engine]string{dbtest.PostgreSQL: "SELECT pg_backend_pid()", dbtest.MySQL: "SELECT CONNECTION_ID()"}[e]
		n, err := number(t.Context(), s, id)
		if err != nil {
			t.Fatal(err)
		}
		end := map[dbtest.Engine]string{dbtest.PostgreSQL: "SELECT pg_terminate_backend(%d)", dbtest.MySQL: "KILL %d"}[e]
		if err := run(t.Context(), db.Session(database.Single), fmt.Sprintf(end, n)); err != nil {
			t.Fatal(err)
		}
		_, err = number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0)
		wantKind(t, err, database.Lost)
		s.Rollback()
		works(t, db)
	})
}

// hanging passes connections on to target until hang is called. Then it reads, but sends nothing more.
func hanging(t *testing.T, target string) (address string, hang func()) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hung := make(chan struct{})
	var all sync.WaitGroup
	ctx := t.Context()
	t.Cleanup(all.Wait)
	t.Cleanup(func() { l.Close() })
	copying := func(to io.Writer, from io.Reader) {
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-hung:
			default:
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
		}
	}
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				server, err := new(net.Dialer).DialContext(ctx, "tcp", target)
				if err != nil {
					return
				}
				all.Go(func() { copying(client, server); client.Close() })
				copying(server, client)
				server.Close()
			})
		}
	})
	return l.Addr().String(), sync.OnceFunc(func() { close(hung) })
}

// TestServerHangs uses a server that keeps its connections but answers neither statements nor cancellations.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		for name, c := range map[string]struct {
			do   func(context.Context, *database.DB, *database.Session) error
			kind database.Kind
		}{
			"prepared": {func(ctx context.Context, _ *database.DB, s *database.Session) error {
				_, err := number(ctx, s, "SELECT count(*) FROM things WHERE id > ?", 0)
				return err
			}, database.Lost},
			"not prepared": {func(ctx context.Context, _ *database.DB, s *database.Session) error {
				_, err := number(ctx, s, "SELECT count(*) FROM things")
				return err
			}, database.Lost},
			"commit": {func(_ context.Context, _ *database.DB, s *database.Session) error {
				return s.Commit()
			}, database.Unknown},
			"connect": {func(ctx context.Context, db *database.DB, _ *database.Session) error {
				other := db.Session(database.Write) // beside the connection that there is
				defer other.Rollback()
				_, err := number(ctx, other, "SELECT 1")
				return err
			}, database.Lost},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var hang func()
				db := things(t, e, func(o *database.Options) {
					o.StatementTimeout, o.ConnectTimeout = 500*time.Millisecond, 1500*time.Millisecond
					u, err := url.Parse(o.URL)
					if err != nil {
						t.Fatal(err)
					}
					u.Host, hang = hanging(t, u.Host)
					o.URL = u.String()
				})
				s := db.Session(database.Write)
				if _, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0); err != nil {
					t.Fatal(err)
				}
				hang()
				err := c.do(t.Context(), db, s)
				wantKind(t, err, c.kind)
				s.Rollback()
			})
		}
	})
}

// TestTooManyConnections uses a server that accepts fewer connections than the pool has.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, e dbtest.Engine, u *url.URL) {
		name := "roster_test_" + strings.ToLower(rand.Text()[:12])
		admin := open(t, options(u.String()))
		if e == dbtest.PostgreSQL {
			write(t, admin, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'p' CONNECTION LIMIT 1", name))
			t.Cleanup(func() { drop(t, admin, "DROP ROLE "+name) })
		} else {
			write(t, admin, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'p' WITH MAX_USER_CONNECTIONS 1", name),
				fmt.Sprintf("GRANT ALL ON %s.* TO '%s'@'%%'", u.Path[1:], name))
			t.Cleanup(func() { drop(t, admin, fmt.Sprintf("DROP USER '%s'@'%%'", name)) })
		}
		u.User = url.UserPassword(name, "p")
		db := open(t, options(u.String()))
		one, other := db.Session(database.Write), db.Session(database.Write)
		if _, err := number(t.Context(), one, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		_, err := number(t.Context(), other, "SELECT 1")
		wantKind(t, err, database.Lost)
		other.Rollback()
		if n, err := number(t.Context(), one, "SELECT 42"); n != 42 || err != nil {
			t.Errorf("got %d, %v, want 42", n, err)
		}
		refused(t, options(u.String()), "no connection left", "max_connections")
		if err := one.Commit(); err != nil {
			t.Error(err)
		}
		// The one connection was kept.
		if n, err := number(t.Context(), db.Session(database.Single), "SELECT 42"); n != 42 || err != nil {
			t.Errorf("got %d, %v, want 42", n, err)
		}
	})
}

func TestDeadlock(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		const lock = "UPDATE things SET n = n + 1 WHERE id = ?"
		var sessions [2]*database.Session
		for i := range sessions {
			sessions[i] = db.Session(database.Write)
			defer sessions[i].Rollback()
			if err := run(t.Context(), sessions[i], lock, i+1); err != nil {
				t.Fatal(err)
			}
		}
		var results [2]error
		var both sync.WaitGroup
		for i, s := range sessions {
			both.Go(func() {
				results[i] = run(t.Context(), s, lock, 2-i)
				if results[i] == nil {
					results[i] = s.Commit()
				}
				s.Rollback() // lets the other one go on
			})
		}
		both.Wait()
		if results[0] == nil {
			results[0], results[1] = results[1], results[0]
		}
		wantKind(t, results[0], database.Retry)
		if results[1] != nil {
			t.Errorf("the other session: got %v, want no error", results[1])
		}
		if got := texts(t, db, "SELECT sum(n) FROM things"); got[0] != "2" {
			t.Errorf("the sum of n: got %v, want 2", got)
		}
	})
}

// TestLockWait waits longer for a lock than the database allows.
func TestLockWait(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		var address string
		db := things(t, e, func(o *database.Options) { address = o.URL })
		const lock = "UPDATE things SET n = n + 1 WHERE id = ?"
		holder := db.Session(database.Write)
		defer holder.Rollback()
		if err := run(t.Context(), holder, lock, 1); err != nil {
			t.Fatal(err)
		}
		s := open(t, options(address)).Session(database.Write) // as another server does
		defer s.Rollback()
		if limit := map[dbtest.Engine]string{
			dbtest.PostgreSQL: "SET LOCAL lock_timeout = 100", dbtest.MySQL: "SET innodb_lock_wait_timeout = 1",
		}[e]; limit != "" {
			if err := run(t.Context(), s, limit); err != nil {
				t.Fatal(err)
			}
		}
		wantKind(t, run(t.Context(), s, lock, 1), database.Retry)
		s.Rollback()
		if err := holder.Commit(); err != nil {
			t.Error(err)
		}
		works(t, db)
	})
}

// TestMigrationUnderPreparedStatement changes the type of a column that prepared statements return.
func TestMigrationUnderPreparedStatement(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		alter := map[dbtest.Engine]string{
			dbtest.SQLite:     "ALTER TABLE things RENAME TO old; CREATE TABLE things (id int PRIMARY KEY, n bigint); INSERT INTO things SELECT * FROM old",
			dbtest.PostgreSQL: "ALTER TABLE things ALTER n TYPE bigint",
			dbtest.MySQL:      "ALTER TABLE things MODIFY n bigint",
		}[e]
		db := things(t, e, func(o *database.Options) { o.MaxConnections = 1 })
		read := func() error {
			_, err := number(t.Context(), db.Session(database.Single), "SELECT n FROM things WHERE id > ?", 0)
			return err
		}
		if err := read(); err != nil {
			t.Fatal(err)
		}
		write(t, db, alter)
		if err := read(); e == dbtest.PostgreSQL {
			wantKind(t, err, database.Lost) // which is tried again
		} else if err != nil {
			t.Error(err)
		}
		if err := read(); err != nil {
			t.Error(err)
		}
	})
}

func TestPing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		s := db.Session(database.Write)
		defer s.Rollback()
		if err := run(t.Context(), s, "UPDATE things SET n = 1"); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Errorf("while another session writes: got %v, want no error", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantKind(t, db.Ping(ctx), database.Timeout)
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
	})
}
