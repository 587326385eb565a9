package database_test

import (
	"context"
	"io"
	"net"
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
		db.Listen(ctx, "news", func(text string) {
			select {
			case texts <- text:
			case <-ctx.Done(): // nobody reads any more, and the channel may be full
			}
		})
	}()
	stop = func() {
		t.Helper()
		cancel()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("the end of the listener: got none within 30 s, want it at once")
		}
	}
	t.Cleanup(stop)
	return texts, stop
}

// hears sends a signal again and again until the listener gets the text.
func hears(t *testing.T, from *database.DB, heard <-chan string, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(time.Millisecond) {
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
			t.Fatalf("the listener: got no %q within 30 s, want it", want)
		}
	}
}

// Signals of one database reach only its listeners. After a broken connection, listeners get an empty text.
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
			t.Errorf("got %q from another database, want only signals of this one", text)
		}
	}
}

// Listening ends at once, also while the server is away or silent.
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

// On engines without signals, Listen returns at once.
func TestNoSignals(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.SQLite, dbtest.MySQL} {
		db := open(t, options(dbtest.Empty(t, e)))
		if err := db.Signal(t.Context(), "news", "again"); err != nil {
			t.Error(err)
		}
		db.Listen(t.Context(), "news", func(text string) { t.Errorf("got %q, want no signal", text) })
	}
}
