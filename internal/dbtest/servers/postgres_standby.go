package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// promoteLimit bounds a promotion, and the wait for a standby.
const promoteLimit = time.Minute

// replication has the settings of a server that has standbys or is one. It keeps each commit that it has acknowledged, also
// when it is killed.
func replication() []string {
	return []string{"synchronous_commit=on", "wal_level=replica", "max_wal_senders=20", "wal_keep_size=256MB"}
}

// StartPostgresPrimary runs a PostgreSQL server that can have standbys. Each additional setting is name=value.
func StartPostgresPrimary(ctx context.Context, settings ...string) (*Server, error) {
	return StartPostgres(ctx, append(replication(), settings...)...)
}

// StartPostgresStandby runs a standby that streams from a running server. Its name is the one that the primary knows it
// by (application_name). It becomes synchronous by Synchronise.
func StartPostgresStandby(ctx context.Context, primary *Server, name string, settings ...string) (*Server, error) {
	initdb, err := findInitdb()
	if err != nil {
		return nil, err
	}
	s, err := postgres(initdb, func(s *site) (program, error) {
		s.password = primary.site.password // the accounts are part of the data
		return copyOf(initdb, primary, s, name), nil
	}, append(replication(), settings...)).start(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.forget(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Follow makes the server a standby of another one: it throws its data away and copies those of the primary, as the first
// start of a standby does. The server may be running or not.
func (s *Server) Follow(ctx context.Context, primary *Server, name string) error {
	initdb, err := findInitdb()
	if err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.site.path("data")); err != nil {
		return err
	}
	s.software.prepare = func(*site) (program, error) { return copyOf(initdb, primary, s.site, name), nil }
	if err := s.software.initialise(ctx, s.site); err != nil {
		return err
	}
	if err := s.again(ctx); err != nil {
		return err
	}
	return s.forget(ctx)
}

// FollowOn lets a running standby follow another server in place of its primary, from the position that it has. The other server
// must have that position in its history.
func (s *Server) FollowOn(ctx context.Context, primary *Server, name string) error {
	return s.administer(ctx, func(ctx context.Context, db *sql.DB) error {
		return run(ctx, db, "ALTER SYSTEM SET primary_conninfo = "+pq.QuoteLiteral(conninfo(primary, name)), "SELECT pg_reload_conf()")
	})
}

// conninfo says how a standby reaches its primary.
func conninfo(primary *Server, name string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s sslmode=disable application_name=%s",
		primary.port, userName, primary.site.password, name)
}

// copyOf returns the program that copies the data of a primary to a site.
func copyOf(initdb string, primary *Server, s *site, name string) program {
	path, ok := inFolder(filepath.Dir(initdb), "pg_basebackup")
	if !ok {
		path = "pg_basebackup" // of PATH
	}
	return program{path, []string{
		"--pgdata=" + s.path("data"), "--dbname=" + conninfo(primary, name), "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf",
	}}
}

// forget drops the primary's list of synchronous standbys from the copy: after its promotion, the server would wait for them.
func (s *Server) forget(ctx context.Context) error {
	return s.administer(ctx, func(ctx context.Context, db *sql.DB) error {
		return run(ctx, db, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	})
}

// Synchronise makes the named standbys synchronous: from its return on, each commit of the primary waits until one of them has
// it. Without names, no commit waits.
func (s *Server) Synchronise(ctx context.Context, names ...string) error {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = pq.QuoteIdentifier(name)
	}
	setting := ""
	if len(names) > 0 {
		setting = "ANY 1 (" + strings.Join(quoted, ", ") + ")"
	}
	return s.administer(ctx, func(ctx context.Context, db *sql.DB) error {
		if err := run(ctx, db, "ALTER SYSTEM SET synchronous_standby_names = "+pq.QuoteLiteral(setting), "SELECT pg_reload_conf()"); err != nil {
			return err
		}
		// A new session has the new setting as soon as the server has read it.
		return eventually(ctx, db, fmt.Sprintf(`SELECT current_setting('synchronous_standby_names') = %s AND
			(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) = %d`, pq.QuoteLiteral(setting), len(names)))
	})
}

// Promote makes a standby a primary. When it returns, the server takes changes.
func (s *Server) Promote(ctx context.Context) error {
	return s.administer(ctx, func(ctx context.Context, db *sql.DB) error {
		var promoted bool
		if err := db.QueryRowContext(ctx, "SELECT pg_promote(true, "+strconv.Itoa(int(promoteLimit/time.Second))+")").Scan(&promoted); err != nil {
			return err
		}
		if !promoted {
			return fmt.Errorf("%s: not promoted within %s", s.site.name, promoteLimit)
		}
		return nil
	})
}

// administer calls f with a connection to the server, for at most promoteLimit.
func (s *Server) administer(ctx context.Context, f func(context.Context, *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, promoteLimit)
	defer cancel()
	db, err := Open(s.url)
	if err != nil {
		return err
	}
	db.SetMaxIdleConns(0) // each statement has a new session
	return errors.Join(f(ctx, db), db.Close())
}

func run(ctx context.Context, db *sql.DB, statements ...string) error {
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// eventually waits until a condition is true.
func eventually(ctx context.Context, db *sql.DB, condition string) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		var reached bool
		if err := db.QueryRowContext(ctx, condition).Scan(&reached); err != nil {
			return fmt.Errorf("%s: %w", condition, err)
		}
		if reached {
			return nil
		}
		<-ticker.C
	}
}

// Hosts returns the URL of a database on several servers, in the form of DATABASE_URL. They have the accounts of the first one.
func Hosts(database string, nodes ...*Server) (string, error) {
	u, err := url.Parse(nodes[0].url)
	if err != nil {
		return "", err
	}
	hosts := make([]string, len(nodes))
	for i, node := range nodes {
		hosts[i] = loopback(node.port)
	}
	u.Host, u.Path = strings.Join(hosts, ","), "/"+database
	return u.String(), nil
}

// Addr returns the host and the port of the server.
func (s *Server) Addr() string { return loopback(s.port) }
