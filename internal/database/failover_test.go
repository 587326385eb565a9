package database_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
	dbservers "roster/internal/dbtest/servers"
)

// TestSeveralHosts uses a primary and its standby. Connections go to the server that takes changes, unless the URL says
// otherwise, also after a promotion.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	primary, err := dbservers.StartPostgresPrimary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	standby, err := dbservers.StartPostgresStandby(t.Context(), primary, "standby")
	t.Cleanup(func() {
		for _, s := range []*dbservers.Server{primary, standby} {
			if s == nil {
				continue
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := func(servers ...*dbservers.Server) string {
		t.Helper()
		address, err := dbservers.Hosts("postgres", servers...)
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
	const recovers = "SELECT pg_is_in_recovery()::int"
	for address, want := range map[string]int{
		hosts(standby, primary):                                          0,
		hosts(primary, standby):                                          0,
		hosts(standby, primary) + "&target_session_attrs=any":            1,
		hosts(primary, standby) + "&target_session_attrs=standby":        1,
		hosts(primary, standby) + "&target_session_attrs=prefer-standby": 1,
		hosts(standby): 1, // one host: whatever it is
	} {
		db := open(t, options(address))
		if got, err := number(t.Context(), db.Session(database.Single), recovers); got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", hidden(t, address), got, err, want)
		}
	}
	refused(t, options(hosts(standby)+"&target_session_attrs=read-write"), "no host takes changes: promote a standby")
	refused(t, options(hosts(standby, standby)), "no host takes changes")

	db := open(t, options(hosts(primary, standby)))
	write(t, db, "CREATE TABLE things (id int)")
	heard, _ := listen(t, db)
	hears(t, db, heard, "again")
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := number(t.Context(), db.Session(database.Single), recovers); err == nil {
		t.Error("without a primary: got an answer, want none")
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // a standby may have missed the table, since it is not synchronous
		s := db.Session(database.Write)
		defer s.Rollback()
		return run(t.Context(), s, "CREATE TABLE more (id int)")
	})
	hears(t, db, heard, "")
	hears(t, db, heard, "again")
}

// hidden returns a URL without its password.
func hidden(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Redacted()
}

// TestConnectionLifetime moves the address of a server while its old server goes on. All connections follow, since they
// end after a while.
func TestConnectionLifetime(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		var moved, next *dbtest.Proxy
		db := things(t, e, func(o *database.Options) {
			o.ConnectionLifetime = 2 * time.Second
			u, err := url.Parse(o.URL)
			if err != nil {
				t.Fatal(err)
			}
			next = dbtest.NewProxy(t, u.Host)
			o.URL, moved = dbtest.ProxyURL(t, o.URL)
		})
		var came atomic.Bool
		next.LoseAnswers(func([]byte) bool { came.Store(true); return false })
		warm(t, db)
		moved.Redirect(next.Addr())
		for deadline := time.Now().Add(time.Minute); !came.Load(); {
			if n, err := number(t.Context(), db.Session(database.Single), "SELECT count(*) FROM things"); n != 3 || err != nil {
				t.Fatalf("got %d, %v, want 3", n, err)
			}
			if time.Now().After(deadline) {
				t.Fatal("got no connection to the new address within a minute, want one")
			}
		}
	})
}

// TestConnectionEnds has connections that begin together and end at different times.
func TestConnectionEnds(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for range 100 {
		life := database.LifeOf(time.Hour)
		if life < 45*time.Minute-time.Second || life > time.Hour {
			t.Errorf("got a life of %s, want 45 to 60 minutes", life)
		}
		all = append(all, life.Round(time.Minute))
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n < 5 {
		t.Errorf("got lives of %d different minutes, want at least 5 among 100", n)
	}
	if database.LifeOf(0) != 0 {
		t.Error("without a lifetime: got an end, want none")
	}
}

// TestListenHeals breaks the connection of a listener silently: neither side learns of it. The listener finds out, connects
// again and says that texts may be missing.
func TestListenHeals(t *testing.T) {
	t.Parallel()
	address := dbtest.Empty(t, dbtest.PostgreSQL)
	behind, proxy := dbtest.ProxyURL(t, address)
	o := options(behind)
	o.ConnectTimeout = 500 * time.Millisecond
	db, sender := open(t, o), open(t, options(address))
	heard, _ := listen(t, db)
	hears(t, sender, heard, "again")
	proxy.Silence()
	for len(heard) > 0 {
		<-heard
	}
	hears(t, sender, heard, "")
	hears(t, sender, heard, "again")
}

// TestListenRests lets nobody send a signal. The server is asked for a word again and again, and the connection stays.
func TestListenRests(t *testing.T) {
	t.Parallel()
	behind, proxy := dbtest.ProxyURL(t, dbtest.Empty(t, dbtest.PostgreSQL))
	o := options(behind)
	o.ConnectTimeout = time.Second
	db := open(t, o)
	heard, _ := listen(t, db)
	hears(t, db, heard, "again")
	for len(heard) > 0 {
		<-heard
	}
	asked := make(chan struct{}, 10)
	proxy.LoseAnswers(func(request []byte) bool {
		if bytes.Equal(request, []byte("Q\x00\x00\x00\x05\x00")) { // an empty statement
			asked <- struct{}{}
		}
		return false
	})
	for range 2 {
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("the server: got no question within a minute, want one")
		}
	}
	for len(heard) > 0 {
		if text := <-heard; text == "" {
			t.Error("got a new connection, want none: the old one works")
		}
	}
}

// TestListenRenews ends the connection of a listener because of its age. It gets a new one, and the log says nothing.
func TestListenRenews(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 100)
	o := options(dbtest.Empty(t, dbtest.PostgreSQL))
	o.ConnectTimeout, o.ConnectionLifetime = time.Second, 2*time.Second
	o.Logger = slog.New(slog.NewTextHandler(seen(func(line string) { lines <- line }), nil))
	db := open(t, o)
	heard, _ := listen(t, db)
	hears(t, db, heard, "again")
	for range 3 { // the first one may be of the first connection
		hears(t, db, heard, "")
		hears(t, db, heard, "again")
	}
	if len(lines) > 0 {
		t.Errorf("got the log %q, want nothing about a connection", <-lines)
	}
}

// TestAway uses a database that is away in different ways. Every operation ends as if the database were away, also while all
// connections wait for a server that does not answer.
func TestAway(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		for name, leave := range map[string]func(*dbtest.Proxy){
			"nothing listens":      (*dbtest.Proxy).Cut,
			"the server is frozen": func(p *dbtest.Proxy) { p.Mute(true) },
		} {
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				var proxy *dbtest.Proxy
				db := things(t, e, func(o *database.Options) {
					o.StatementTimeout, o.ConnectTimeout, o.PoolWait = time.Second, time.Second, time.Second
					o.URL, proxy = dbtest.ProxyURL(t, o.URL)
				})
				warm(t, db)
				leave(proxy)
				results := make(chan error)
				for i := range 3 * options("").MaxConnections {
					go func() {
						ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
						defer cancel()
						s := db.Session([]database.Mode{database.Single, database.Snapshot, database.Write}[i%3])
						defer s.Rollback()
						_, err := number(ctx, s, "SELECT count(*) FROM things WHERE id > ?", 0)
						results <- err
					}()
				}
				for range 3 * options("").MaxConnections {
					f := database.AsFailure(<-results)
					if f == nil || f.Kind != database.Lost && f.Kind != database.Busy {
						t.Errorf("got %v, want the failure of a database that is away", f)
					}
				}
				proxy.Mute(false)
				proxy.Restore()
				eventually(t, func() error {
					_, err := number(t.Context(), db.Session(database.Single), "SELECT count(*) FROM things")
					return err
				})
			})
		}
	})
}

// TestFrozen freezes a server in the middle of a statement, of the begin of a transaction and of a commit. The server is asked
// whether it answers, so nobody waits until the time of the statement is over. A server that answers is slow, and its statement
// goes on.
func TestFrozen(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, e dbtest.Engine) {
		frozen := func(t *testing.T) (*database.DB, *dbtest.Proxy) {
			var proxy *dbtest.Proxy
			db := things(t, e, func(o *database.Options) {
				o.ConnectTimeout, o.StatementTimeout = 500*time.Millisecond, 10*time.Minute
				o.URL, proxy = dbtest.ProxyURL(t, o.URL)
			})
			warm(t, db)
			return db, proxy
		}
		for name, c := range map[string]struct {
			mode    database.Mode
			commits bool // the server freezes before the commit
			want    database.Kind
		}{
			"statement": {database.Single, false, database.Lost},
			"begin":     {database.Write, false, database.Lost},
			"commit":    {database.Write, true, database.Unknown},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db, proxy := frozen(t)
				s := db.Session(c.mode)
				defer s.Rollback()
				do := func() error {
					_, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0)
					return err
				}
				if c.commits {
					if err := do(); err != nil {
						t.Fatal(err)
					}
					do = s.Commit
				}
				proxy.Mute(true)
				wantKind(t, do(), c.want)
			})
		}
		t.Run("slow", func(t *testing.T) {
			t.Parallel()
			db, _ := frozen(t)
			slow := "SELECT 7 FROM pg_sleep(2)"
			if e == dbtest.MySQL {
				slow = "SELECT 7 + sleep(2)"
			}
			if n, err := number(t.Context(), db.Session(database.Single), slow); n != 7 || err != nil {
				t.Errorf("a slow statement: got %d, %v, want 7", n, err)
			}
		})
	})
}
