package e2e

import (
	"strings"
	"syscall"
	"testing"

	"roster/internal/dbtest"
)

// TestUnknownProduct serves from a server that says it is another product. Roster answers, after one warning at most.
func TestUnknownProduct(t *testing.T) {
	t.Parallel()
	binary := build(t)
	address := dbtest.Empty(t, dbtest.PostgreSQL)
	administrator(t, address)(t, "CREATE SCHEMA disguise",
		"CREATE FUNCTION disguise.version() RETURNS text LANGUAGE sql AS $$ SELECT 'CockroachDB CCL v23.1.11' $$")
	address += "&search_path=public,disguise,pg_catalog"
	for _, c := range []struct {
		flags []string
		want  int
	}{{nil, 1}, {[]string{"--database-allow-unknown"}, 0}} {
		p := start(t, binary, address, displayName(t, dbtest.PostgreSQL, address), c.flags...)
		if got := p.ask(t, "{ users { totalCount } }"); got != `{"data":{"users":{"totalCount":0}}}` {
			t.Errorf("%v: got %s, want no users", c.flags, got)
		}
		p.stop(t, syscall.SIGTERM)
		if got := strings.Count(p.Log.String(), "the server is CockroachDB"); got != c.want {
			t.Errorf("%v: got %d warnings in %s, want %d", c.flags, got, p.Log, c.want)
		}
	}
}
