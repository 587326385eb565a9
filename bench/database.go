package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"entgo.io/ent/dialect"

	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest/servers"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// The engines, as in the flag -engines.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
	mysql    = "mysql"
)

const (
	postsPerUser = 10
	rowsAtOnce   = 1000 // in one INSERT
	fillTimeout  = time.Minute
	dropTimeout  = 30 * time.Second
)

// store is a database with users and posts in it.
type store struct {
	*database.DB
	url        string
	users      int
	statements *atomic.Int64 // sent by this process, BEGIN and COMMIT left out
	drop       func() error
}

// newStore makes a database on an engine and fills it.
func newStore(ctx context.Context, engine, dir string, s settings, getenv func(string) string) (_ *store, err error) {
	st := &store{users: s.users, statements: new(atomic.Int64)}
	if st.url, st.drop, err = create(ctx, engine, dir, getenv); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	st.DB, err = database.Open(ctx, database.Options{
		URL:              st.url,
		MaxConnections:   s.connections,
		PoolWait:         fillTimeout,
		ConnectTimeout:   fillTimeout,
		StatementTimeout: fillTimeout,
		StatementCache:   256,
		Observe:          func(string) { st.statements.Add(1) },
	})
	if err != nil {
		return nil, err
	}
	if _, err := st.MigrateUp(ctx); err != nil {
		return nil, err
	}
	return st, st.fill(ctx)
}

// Close removes the database.
func (st *store) Close() error {
	if st.DB == nil {
		return st.drop()
	}
	return errors.Join(st.DB.Close(), st.drop())
}

// create makes an empty database. On SQLite it only chooses a name in dir.
func create(ctx context.Context, engine, dir string, getenv func(string) string) (address string, drop func() error, err error) {
	name := "roster_bench_" + strings.ToLower(rand.Text())
	variable := servers.MySQLVariable
	switch engine {
	case sqlite:
		return "sqlite:" + filepath.Join(dir, name+".db"), func() error { return nil }, nil
	case postgres:
		variable = servers.PostgresVariable
	}
	server, err := url.Parse(getenv(variable))
	if err != nil || server.Host == "" {
		return "", nil, fmt.Errorf("%s names no server: run make bench, or bench under withservers", variable)
	}
	admin, err := servers.Open(server.String())
	if err != nil {
		return "", nil, err
	}
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, errors.Join(err, admin.Close())
	}
	server.Path = "/" + name
	return server.String(), func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
		defer cancel()
		_, err := admin.ExecContext(ctx, "DROP DATABASE "+name)
		return errors.Join(err, admin.Close())
	}, nil
}

// username is the name of the i-th user of a store.
func username(i int) string { return fmt.Sprintf("user%06d", i) }

// fill writes the users and their posts: the same on every engine and in every run, but for the times. Roster would delete
// changes that are older than a week, in the middle of a measurement. First every user writes one post, then every
// user another one: the posts of a user are not neighbours on the disk.
func (st *store) fill(ctx context.Context) error {
	now := time.Now().UTC().Add(-24 * time.Hour).Truncate(time.Hour)
	clock := func() time.Time { // one ID and one row each millisecond
		now = now.Add(time.Millisecond)
		return now
	}
	ids := typeid.NewSource(clock, mathrand.NewChaCha8([32]byte{}))
	tx := directory.New(st.Session(database.Write), directory.Options{Clock: func() time.Time { return now }, IDs: ids})
	defer tx.Rollback()
	history := func() directory.History { return directory.History{CreatedAt: now, UpdatedAt: now, Version: 1} }

	var records []*directory.Record
	add := func(r *directory.Record, _ rules.Faults) { records = append(records, r) } // no rule refuses them
	users := make([]typeid.ID, st.users)
	for i := range users {
		users[i] = ids.New(user.Label)
		add(directory.UserRecord(users[i], username(i), username(i)+"@example.com", history()))
	}
	body := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 5)
	for i := range st.users * postsPerUser {
		add(directory.PostRecord(ids.New(post.Label), users[i%st.users], nil, fmt.Sprintf("Post %d", i), body, history()))
	}
	for some := range slices.Chunk(records, rowsAtOnce) {
		if err := tx.Import(ctx, some, directory.Fail); err != nil {
			return fmt.Errorf("create users and posts: %w", err)
		}
	}
	if err := tx.Commit(ctx, nil); err != nil {
		return err
	}
	if err := feed.Number(ctx, st.DB); err != nil { // or servers would do it in the middle of a measurement
		return err
	}
	return st.analyze(ctx)
}

// analyze updates the engine's statistics. Otherwise the engine would do it during a measurement.
func (st *store) analyze(ctx context.Context) error {
	session, statement := st.Session(database.Single), "VACUUM (ANALYZE)" // PostgreSQL's cannot run in a transaction
	switch st.Dialect() {
	case dialect.MySQL:
		statement = "ANALYZE TABLE users, posts"
	case dialect.SQLite:
		session, statement = st.Session(database.Write), "ANALYZE"
	}
	defer session.Rollback()
	if err := session.Exec(ctx, statement, []any{}, nil); err != nil {
		return err
	}
	return session.Commit()
}
