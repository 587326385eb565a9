package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql/schema"
	"github.com/pressly/goose/v3"

	"roster/internal/consistency"
)

// WithMigrations returns the same database with other migrations.
func (db *DB) WithMigrations(files fs.FS) *DB {
	other := *db
	other.migrations = files
	return &other
}

// Released returns the same database with the migrations of an earlier release, which knows no later tables.
func (db *DB) Released(files fs.FS) *DB {
	other := db.WithMigrations(files)
	other.tables = func(string) ([]*schema.Table, error) { return nil, nil }
	return other
}

// ObservingMigrations returns the same database. f gets each statement of its migrations before the server does.
func (db *DB) ObservingMigrations(f func(query string)) *DB {
	other := *db
	other.observeMigrations = f
	return &other
}

// Locked runs f while it holds the lock of migrations.
func (db *DB) Locked(ctx context.Context, f func() error) error {
	return db.locked(ctx, func(*sql.DB) error { return f() })
}

// MigrateAsReleased applies or undoes all migrations like an old release, which kept no record of the steps.
func (db *DB) MigrateAsReleased(ctx context.Context, up bool) error {
	dir, err := fs.Sub(db.migrations, db.Dialect())
	if err != nil {
		return err
	}
	d := map[string]goose.Dialect{dialect.Postgres: goose.DialectPostgres, dialect.MySQL: goose.DialectMySQL}
	p, err := goose.NewProvider(d[db.Dialect()], db.write.db, dir)
	if err != nil {
		return err
	}
	if up {
		_, err = p.Up(ctx)
	} else {
		_, err = p.DownTo(ctx, 0)
	}
	return err
}

// Leaked returns an error if sessions hold connections. It ends the measurements of replicas, which use some too.
func (db *DB) Leaked() error {
	db.replicas.close()
	pools := []*pool{db.write, db.read}
	if db.replicas != nil {
		for _, r := range db.replicas.all {
			pools = append(pools, r.pool)
		}
	}
	for _, p := range pools {
		if used := p.db.Stats().InUse; used > 0 {
			return fmt.Errorf("%d connections are in use", used)
		}
		if free := len(p.free); free < cap(p.free) {
			return fmt.Errorf("%d of %d connections are free", free, cap(p.free))
		}
	}
	return nil
}

// Caching returns a connector whose connections keep their statements, and a function that drops open connections.
func Caching(c driver.Connector, size int, finalize bool) (_ driver.Connector, dropIdle func()) {
	caching := &connector{Connector: c, cache: size, finalize: finalize, timeout: time.Hour, logger: slog.New(slog.DiscardHandler)}
	return caching, caching.dropIdle
}

// Name returns the name of a database for people.
func Name(url string) (string, error) {
	e, err := parse(url)
	if err != nil {
		return "", err
	}
	return e.String(), nil
}

// Classify returns the failure of an error on the engine of a URL. It does not connect.
func Classify(url string, err error) *Failure {
	e, parseErr := parse(url)
	if parseErr != nil {
		panic(parseErr)
	}
	return (&DB{engine: e}).fail(err)
}

// Meanings returns the table of an engine's errors, by their codes. PostgreSQL has rows for functions of the server too.
// advice has the codes that tell the operator what to do.
func Meanings(d string) (kinds map[string]Kind, advice map[string]bool) {
	kinds, advice = map[string]Kind{}, map[string]bool{}
	row := func(code any, m meaning) {
		kinds[fmt.Sprint(code)], advice[fmt.Sprint(code)] = m.kind, m.advice != ""
	}
	switch d {
	case dialect.SQLite:
		for code, m := range sqliteMeanings() {
			row(code, m)
		}
	case dialect.Postgres:
		for code, m := range postgresMeanings() {
			row(code, m)
		}
		for routine, m := range postgresUnsupported() {
			row(routine, m)
		}
	case dialect.MySQL:
		for code, m := range mysqlMeanings() {
			row(code, m)
		}
	}
	return kinds, advice
}

// BeforeLooks returns the same database. It calls f before each comparison of its files.
func (db *DB) BeforeLooks(f func()) *DB {
	other := *db
	other.engine = looking{db.engine, f}
	return &other
}

type looking struct {
	engine
	before func()
}

func (l looking) attached() error {
	l.before()
	return l.engine.attached()
}

// LifeOf returns how long a connection lives. 0 is without a limit.
func LifeOf(lifetime time.Duration) time.Duration {
	end := endOf(lifetime)
	if end.IsZero() {
		return 0
	}
	return time.Until(end)
}

// PostgresProduct returns the product of a PostgreSQL server that says so much about itself.
func PostgresProduct(version string, citus, aurora bool) Product {
	return postgresTraits{version, citus, aurora}.product()
}

// MySQLProduct is the same for the MySQL family.
func MySQLProduct(version, comment string, aurora bool) Product {
	return mysqlTraits{version, comment, aurora}.product()
}

// ReachedPostgres reports whether a replica that has replayed a timeline up to an LSN has a position.
func ReachedPostgres(timeline int64, lsn uint64, to consistency.Position) bool {
	return postgresStanding{recovering: true, timeline: timeline, lsn: lsn}.reached(to)
}

// EndOfRecord returns the end of the last record before the place where the next one goes.
func EndOfRecord(next, page, segment int64) int64 { return endOfRecord(next, page, segment) }

// ReachedMariaDB reports whether a replica with the values of gtid_current_pos and gtid_binlog_state has a position.
func ReachedMariaDB(current, logged string, to consistency.Position) (bool, error) {
	var s mariadbStanding
	var err1, err2 error
	s.current, err1 = parseGTIDs(current)
	s.logged, err2 = parseGTIDs(logged)
	return s.reached(to), errors.Join(err1, err2)
}

// LikeGalera makes migrations of a MariaDB server lock like those of a node of a Galera cluster.
func (db *DB) LikeGalera() *DB {
	e, ok := db.engine.(*mysqlEngine)
	if ok {
		e.galera.Store(true)
	}
	return db
}

// LastGTID returns the position that a primary with the value of gtid_current_pos is at.
func LastGTID(current string, domain, server uint32) (consistency.Position, error) {
	last, err := lastOf(current, domain, server)
	return consistency.Position{Log: consistency.GTID, Branch: last.domain, Number: last.number, Server: last.server}, err
}

// Ahead returns the position of a commit after which the primary did not tell it. It told an end some time ago, or never.
func Ahead(d consistency.Database, end consistency.Position, ago time.Duration) consistency.Position {
	var r replication = postgresReplication{}
	if end.Log == consistency.GTID {
		r = mariadbReplication{}
	}
	return (&primary{replication: r, database: d, end: end, endAt: time.Now().Add(-ago)}).ahead()
}

// SitLimit is the maximum time until the first statement of a session that must learn which server the primary is.
func SitLimit(o Options) time.Duration { return o.sitLimit() }

// stuck is the replication of a replica that reaches nothing, and of a primary that answers when silent is closed, whatever ctx says.
type stuck struct {
	postgresReplication

	silent chan struct{}
}

func (s stuck) look(context.Context, querier) (standing, error) {
	if s.silent == nil {
		return postgresStanding{recovering: true}, nil
	}
	<-s.silent
	return postgresStanding{lsn: 3}, nil
}

// Waiters lets sessions wait for a position on a replica with so many connections, which never reaches it. The primary has no free
// connection to ask by. Waiters returns how many wait when all others go to the primary.
func Waiters(ctx context.Context, connections, sessions, others int) (int, error) {
	const url = "postgres://roster@localhost/roster"
	settings := ReplicaOptions{Wait: time.Hour}
	r, err := newReplica(Options{MaxConnections: connections}, url, settings)
	if err != nil {
		return 0, err
	}
	rs := &replicas{options: settings, primary: &primary{
		db: &DB{write: &pool{}}, replication: stuck{}, samples: []sample{{at: time.Now()}},
	}}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{}, sessions)
	var running sync.WaitGroup
	for range sessions {
		running.Go(func() {
			rs.await(ctx, seat{replica: r}, consistency.Position{Number: 1})
			done <- struct{}{}
		})
	}
	for range others {
		<-done
	}
	n := len(r.waiting)
	cancel()
	running.Wait()
	return n, r.pool.db.Close()
}

// PositionOfSilent returns the position of a commit while the primary, which was at an end, is silent, and how many of the permits of
// its pool were free before and after its answer.
func PositionOfSilent(ctx context.Context, end consistency.Position) (at consistency.Position, before, after int) {
	r := stuck{silent: make(chan struct{})}
	free := &pool{free: make(chan struct{}, 1)}
	p := &primary{replication: r, database: end.Database, end: end, endAt: time.Now(), logger: slog.New(slog.DiscardHandler)}
	at = p.positionOn(ctx, seat{pool: free})
	before = len(free.free)
	close(r.silent)
	p.running.Wait()
	return at, before, len(free.free)
}

// Decide returns the reason to leave out a replica after each of its measurements, and how many lines the log has.
func Decide(measurements ...OutReason) (reasons []OutReason, lines int) {
	var r replica
	for _, m := range measurements {
		if _, changed := r.decide(outError{reason: m}); changed {
			lines++
		}
		reasons = append(reasons, r.out.reason)
	}
	return reasons, lines
}

// ReadSilent reads from a server that accepts connections and answers nothing, as a frozen one, and returns the error. The
// connection was opened as those of statements on the engine of the URL.
func ReadSilent(ctx context.Context, o Options) error {
	silent := func(context.Context, string, string) (net.Conn, error) {
		c, _ := net.Pipe()
		return c, nil
	}
	e, err := parse(o.URL)
	if err != nil {
		return err
	}
	dial := (&dialer{silence: o.silence(), dial: silent}).DialContext
	if e, ok := e.(*mysqlEngine); ok {
		c := e.config.Clone()
		c.DialFunc = silent
		if dial, err = limiting(c, o.silence()); err != nil {
			return err
		}
	}
	c, err := dial(withConnecting(ctx), "tcp", "db.example.com:1")
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return err
}

// KnowPrimary returns the numbers of lines of the log about an unknown position of the primary, about a known one, and about a wrong
// setting, after measurements: "+" is a good one, "-" one without an answer, and "!" one that finds a wrong setting.
func KnowPrimary(measurements string) (unknown, known, wrong int) {
	var s primaryState
	for _, m := range measurements {
		before := s
		s.add(m != '+', m == '!')
		switch {
		case s.wrong && !before.wrong:
			wrong++
		case s.unknown && !before.unknown:
			unknown++
		case before.unknown && !s.unknown:
			known++
		}
	}
	return unknown, known, wrong
}

// NewConnections are those of a server that takes changes, whose connections are opened by a connector.
type NewConnections struct{ n *newConnections }

// NewNewConnections returns them. Close ends all questions.
func NewNewConnections(c driver.Connector) NewConnections {
	return NewConnections{newConnectionsOf(sql.OpenDB(c), func(context.Context, querier) (standing, error) {
		return postgresStanding{}, nil
	})}
}

// Ask asks the server at the end of a new connection.
func (n NewConnections) Ask(ctx context.Context) error {
	_, err := n.n.primary(ctx)
	return err
}

// Close ends all questions.
func (n NewConnections) Close() { n.n.close() }
