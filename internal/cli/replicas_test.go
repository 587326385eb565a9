package cli_test

import (
	neturl "net/url"
	"path/filepath"
	"strings"
	"testing"

	"roster/internal/dbtest"
)

// TestReplicaURLs wants that a server with wrong replicas does not start, and says why without a password.
func TestReplicaURLs(t *testing.T) {
	t.Parallel()
	file := "sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	const postgres, mysql = "postgres://u:secret@127.0.0.1:1/roster", "mysql://u:secret@127.0.0.1:1/roster"
	for _, test := range []struct{ url, replicas, want string }{
		{file, postgres, "SQLite (" + strings.TrimPrefix(file, "sqlite:") + ") has no replicas: only PostgreSQL and MariaDB have"},
		{postgres, mysql, "replica 1 is MySQL (127.0.0.1:1/roster), and the database is PostgreSQL (127.0.0.1:1/roster): a replica has the same engine"},
		{mysql, postgres, "replica 1 is PostgreSQL (127.0.0.1:1/roster), and the database is MySQL (127.0.0.1:1/roster): a replica has the same engine"},
		{postgres, "postgres://u:secret@127.0.0.1:2/roster," + file, "replica 2 is SQLite"},
		{postgres, "postgres://u:sec,ret:x@127.0.0.1:2/roster", "replica 1: database URL: "},
		{postgres, "postgres://u:secret@127.0.0.1:2/roster,ret@127.0.0.1:3", "replica 2 is no URL: write postgres://… or mysql://…, separate URLs by commas, and write a comma within one as %2C"},
		{postgres, "postgres://u:secret@127.0.0.1:2/roster,postgres://v:secret@127.0.0.1:2/roster", "replica 2, PostgreSQL (127.0.0.1:2/roster), is named twice: leave one out"},
		{strings.Replace(postgres, "127.0.0.1", "db", 1), "postgres://u:secret@Db:5432/roster,postgres://v:secret@db/roster", "replica 2, PostgreSQL (db/roster), is named twice: leave one out"},
		{postgres, "postgres://u:secret@127.0.0.1:2", "replica 1: database URL: no name of a database"},
	} {
		code, stdout, stderr := run(t, "serve", "--listen=127.0.0.1:0", "--database-url="+test.url, "--database-replica-urls="+test.replicas)
		if code != 2 || stdout != "" || !strings.Contains(stderr, "--database-replica-urls: "+test.want) || strings.Contains(stderr, "sec") || strings.Contains(stderr, "ret") {
			t.Errorf("%s with the replicas %s: got code %d, %q and %q, want code 2 and %q", test.url, test.replicas, code, stdout, stderr, test.want)
		}
	}
	if code, _, stderr := run(t, "serve", "--listen=127.0.0.1:0", "--database-url="+postgres, "--replica-max-staleness=10ms"); code != 2 ||
		!strings.Contains(stderr, "--replica-max-staleness must be at least 500ms, not 10ms") {
		t.Errorf("a short limit: got code %d and %q, want code 2 and the least value", code, stderr)
	}
}

// TestReplicasNeedBinaryLog wants that a primary from which no replica can read is refused: the MariaDB server of the tests, which
// writes no binary log, and MySQL.
func TestReplicasNeedBinaryLog(t *testing.T) {
	t.Parallel()
	wantCode, want := 1, "the primary writes no binary log, from which replicas read: set log_bin on the server"
	if !dbtest.IsMariaDB(t) {
		wantCode, want = 2, "the database is MySQL, whose replicas Roster does not know: only those of PostgreSQL and MariaDB"
	}
	code, _, stderr := run(t, "serve", "--listen=127.0.0.1:0", "--database-url="+dbtest.Empty(t, dbtest.MySQL), "--database-replica-urls=mysql://u@127.0.0.1:1/roster")
	if code != wantCode || !strings.Contains(stderr, want) {
		t.Errorf("got code %d and %q, want code %d and %q", code, stderr, wantCode, want)
	}
}

// TestCheckReplicas lets roster check find a replica that is the primary itself, one that is away, and one that refuses the user.
func TestCheckReplicas(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t, dbtest.PostgreSQL)
	for primary, why := range map[string]string{url: "it needs the tables", "postgres://u:secret@127.0.0.1:1/roster": "the database cannot be opened"} {
		_, results := checkup{}.check(t, primary, "--database-replica-urls="+url)
		if r := results["replicas"]; r.Status != "left out" || !strings.Contains(r.Detail, why) {
			t.Errorf("got the replicas %+v, want left out, because %s", r, why)
		}
	}
	if code, _, stderr := run(t, "migrate", "up", "--database-url="+url); code != 0 {
		t.Fatal(stderr)
	}
	const away = "postgres://u:secret@127.0.0.1:1/roster"
	code, stdout, stderr := run(t, "check", "--listen=127.0.0.1:0", "--database-url="+url, "--database-replica-urls="+url+","+away)
	for _, want := range []string{"is left out: it takes changes itself: it is the primary, or was promoted", "PostgreSQL (127.0.0.1:1/roster) is left out: nothing answers there"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("got code %d, %q and\n%s\nwant %q", code, stderr, stdout, want)
		}
	}
	refused, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	refused.User = neturl.UserPassword("nobody", "s3cret")
	checkup{}.finds(t, url, "replicas", "failed", "the server refuses the user or the password", "--database-replica-urls="+refused.String())
}
