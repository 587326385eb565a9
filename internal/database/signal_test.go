package database_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// listen listens until stop is called, which waits for the end.
func listen(t *testing.T, db *database.DB) (heard <-chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	texts, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		db.Listen(ctx, "news", func(text string) { texts <- text })
	}()
	stop = func() {
		t.Helper()
		cancel()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("it goes on listening")
		}
	}
	t.Cleanup(stop)
	return texts, stop
}

// hears signals until what is wanted is heard.
func hears(t *testing.T, from *database.DB, heard <-chan string, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		if err := from.Signal(t.Context(), "news", "again"); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-heard:
			if text == want {
				return
			}
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not heard", want)
		}
	}
}

// What is said in one database is heard there, and nowhere else, and after the connection has been broken there is word
// of that.
func TestSignals(t *testing.T) {
	t.Parallel()
	address, proxy := dbtest.ProxyURL(t, dbtest.Empty(t, dbtest.PostgreSQL))
	db, other := open(t, options(address)), open(t, options(dbtest.Empty(t, dbtest.PostgreSQL)))
	heard, _ := listen(t, db)
	elsewhere, _ := listen(t, other)
	hears(t, db, heard, "again")
	proxy.Cut()
	proxy.Restore()
	for { // the pool's connections broke too
		if err := db.Signal(t.Context(), "news", "again"); err == nil {
			break
		}
	}
	hears(t, db, heard, "")
	hears(t, db, heard, "again")
	if err := other.Signal(t.Context(), "news", "elsewhere"); err != nil {
		t.Fatal(err)
	}
	hears(t, other, elsewhere, "again")
	for len(heard) > 0 {
		if text := <-heard; text != "again" && text != "" {
			t.Errorf("heard %q from another database", text)
		}
	}
}

// Listening ends at once, whatever the server does: it is away, or takes connections and says nothing.
func TestListenEnds(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"cut", "silent"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			address, proxy := dbtest.ProxyURL(t, dbtest.Empty(t, dbtest.PostgreSQL))
			db := open(t, options(address))
			heard, stop := listen(t, db)
			hears(t, db, heard, "again")
			proxy.Cut()
			if way == "silent" {
				var config net.ListenConfig
				silent, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer silent.Close()
				proxy.Redirect(silent.Addr().String())
				proxy.Restore()
				c, err := silent.Accept() // the listener connects again, and says hello
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
			}
			stop()
		})
	}
}

// Where there are no signals, nobody waits for one.
func TestNoSignals(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.SQLite, dbtest.MySQL} {
		db := open(t, options(dbtest.Empty(t, e)))
		if err := db.Signal(t.Context(), "news", "again"); err != nil {
			t.Error(err)
		}
		db.Listen(t.Context(), "news", func(text string) { t.Errorf("heard %q", text) })
	}
}
