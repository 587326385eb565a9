package database_test

import (
	"errors"
	"os"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"roster/internal/config"
	"roster/internal/database"
)

// TestSilence reads from a frozen server, on a clock that jumps. With the default settings, an operation that has waited for a
// connection, and that is repeated at the last moment, ends within 15 seconds. So does one that must learn which server the primary
// is.
func TestSilence(t *testing.T) {
	t.Parallel()
	setting := func(name string) time.Duration {
		field, ok := reflect.TypeFor[config.Database]().FieldByName(name)
		d, err := time.ParseDuration(field.Tag.Get("default"))
		if !ok || err != nil {
			t.Fatalf("%s: got %v, want a setting with a default", name, err)
		}
		return d
	}
	const (
		repeated = 2 * time.Second // no operation is repeated later: graph.maxRetry
		promised = 15 * time.Second
	)
	wait, connect, statement := setting("DatabasePoolWait"), setting("DatabaseConnectTimeout"), setting("StatementTimeout")
	for _, url := range []string{"postgres://roster@db.example.com/roster", "mysql://roster@db.example.com/roster"} {
		var took time.Duration
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			err := database.ReadSilent(t.Context(), database.Options{URL: url, ConnectTimeout: connect, StatementTimeout: statement})
			took = time.Since(began)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: got %v, want the end of the time", url, err)
			}
		})
		if took <= connect || took >= statement {
			t.Errorf("%s: a silent server was found after %v, want more than %v and less than %v", url, took, connect, statement)
		}
		learns := database.SitLimit(database.Options{PoolWait: wait, ConnectTimeout: connect})
		if sum := repeated + max(wait+connect, wait+took, learns); sum > promised {
			t.Errorf("%s: an operation ends after %v, want at most %v", url, sum, promised)
		}
	}
}
