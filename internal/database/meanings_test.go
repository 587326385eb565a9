package database_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"

	"roster/internal/database"
	"roster/internal/dbtest"
	dbservers "roster/internal/dbtest/servers"
)

// A cause makes a server send an error: the statement that fails, and those before it.
type cause struct {
	setup []string
	fails string
}

// raised makes PostgreSQL send an error whose real cause a test cannot make.
func raised(code string) cause {
	return cause{fails: fmt.Sprintf("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '%s', MESSAGE = 'raised'; END $$", code)}
}

// signalled makes a server of the MySQL family send such an error.
func signalled(number string) cause {
	return cause{fails: fmt.Sprintf("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %s, MESSAGE_TEXT = 'signalled'", number)}
}

func postgresCauses() map[string]cause {
	causes := map[string]cause{
		"23505": {fails: "INSERT INTO things VALUES (1, 0)"},
		"23503": {[]string{"CREATE TABLE parts (thing int REFERENCES things)"}, "INSERT INTO parts VALUES (9)"},
		"26000": {fails: "EXECUTE nothing"},
		"57014": {[]string{"SET LOCAL statement_timeout = 10"}, "SELECT pg_sleep(600)"},
		"25006": {[]string{"SET TRANSACTION READ ONLY"}, "DELETE FROM things"},
		"42501": {[]string{"SET LOCAL ROLE pg_monitor"}, "DELETE FROM things"},
		"53400": {[]string{"SET LOCAL temp_file_limit = 64", "SET LOCAL work_mem = 64"}, "SELECT count(*) FROM (SELECT n, random() FROM generate_series(1, 200000) AS g (n) ORDER BY 2) AS s"},
		"54":    {fails: "SELECT 1" + strings.Repeat(", 1", 1700)},
		"3F000": {fails: "CREATE TABLE nowhere.t (n int)"},
		"42P01": {fails: "SELECT 1 FROM absent"},
		"42703": {fails: "SELECT absent FROM things"},
		// The functions that do not support something.
		"RevalidateCachedQuery": {[]string{"PREPARE p AS SELECT n FROM things", "ALTER TABLE things ALTER n TYPE bigint"}, "EXECUTE p"},
		"call_bool_check_hook":  {fails: "SET default_with_oids = on"}, // as a standby refuses a transaction that writes
	}
	// Of two sessions: TestDeadlock, TestLockWait; of a full pool: TestTooManyConnections; of a time: TestIdleTransaction.
	for _, code := range []string{"40001", "40P01", "55P03", "53300", "25P03", "53100", "53200", "XX001", "XX002"} {
		causes[code] = raised(code)
	}
	causes["08"], causes["57"], causes["58"] = raised("08006"), raised("57P03"), raised("58030")
	return causes
}

func mysqlCauses(mariaDB bool) map[string]cause {
	causes := map[string]cause{
		"1062": {fails: "INSERT INTO things VALUES (1, 0)"},
		"1452": {[]string{"CREATE TABLE parts (thing int NOT NULL, FOREIGN KEY (thing) REFERENCES things (id))"}, "INSERT INTO parts VALUES (9)"},
		"1451": {[]string{"CREATE TABLE parts (thing int NOT NULL, FOREIGN KEY (thing) REFERENCES things (id))", "INSERT INTO parts VALUES (1)"}, "DELETE FROM things"},
		"1114": {[]string{"SET max_heap_table_size = 16384", "CREATE TEMPORARY TABLE heap (n binary(255)) ENGINE = MEMORY"}, "INSERT INTO heap SELECT repeat('x', 255) FROM information_schema.COLLATIONS"},
		"1049": {fails: "USE absent"},
		"1054": {fails: "SELECT absent FROM things"},
		"1146": {fails: "SELECT 1 FROM absent"},
		"1176": {fails: "SELECT 1 FROM things FORCE INDEX (absent)"},
		"1969": signalled("1969"),
		"3024": signalled("3024"),
	}
	const long = "SELECT count(*) FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b, information_schema.COLLATIONS c"
	if mariaDB {
		causes["1969"] = cause{[]string{"SET max_statement_time = 0.01"}, long}
	} else {
		causes["3024"] = cause{[]string{"SET max_execution_time = 10"}, long}
	}
	// Of servers and users of their own: TestMySQLRefuses; the others of two sessions, of a full disk or of damage.
	for _, number := range []string{
		"1213", "1205", "1020", "1317", "1040", "1203", "1226", "1053", "1927", "4031", "1290", "1792", "1836", "1142",
		"1143", "1227", "1044", "1021", "1026", "1030", "1036", "1037", "1038", "1041", "1461", "1153", "1162", "1301", "1046", "1932",
		"1812", "1034", "1194", "1047", "1180",
	} {
		causes[number] = signalled(number)
	}
	return causes
}

// TestMeanings makes a server send the error of each row of its table.
func TestMeanings(t *testing.T) {
	t.Parallel()
	for e, causes := range map[dbtest.Engine]map[string]cause{dbtest.PostgreSQL: postgresCauses(), dbtest.MySQL: mysqlCauses(dbtest.IsMariaDB(t))} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			kinds, advice := database.Meanings(string(e))
			for code := range causes {
				if _, ok := kinds[code]; !ok {
					t.Errorf("the table: got no %s, want one", code)
				}
			}
			db := things(t, e)
			for code, kind := range kinds {
				c, ok := causes[code]
				if !ok {
					t.Errorf("got no cause of the error %s, want one", code)
					continue
				}
				if len(c.setup) > 0 && e == dbtest.MySQL { // what it changes stays
					db := things(t, e)
					sends(t, db, code, c, kind, advice[code])
					continue
				}
				sends(t, db, code, c, kind, advice[code])
			}
		})
	}
}

// sends checks that the server sends the error of a row, and the kind of the failure.
func sends(t *testing.T, db *database.DB, code string, c cause, kind database.Kind, advice bool) {
	t.Helper()
	s := db.Session(database.Write)
	defer s.Rollback()
	for _, statement := range c.setup {
		if err := run(t.Context(), s, statement); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
	}
	err := run(t.Context(), s, c.fails)
	if err == nil || !strings.HasPrefix(codeOf(err), code) {
		t.Errorf("got %v, want the error %s", err, code)
		return
	}
	f := database.AsFailure(err)
	if f.Kind != kind || (f.Advice != "") != advice {
		t.Errorf("%s: got kind %d with the advice %q, want kind %d, with advice: %t", code, f.Kind, f.Advice, kind, advice)
	}
}

// codeOf returns the key of an error in the table.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		if e.Code == "0A000" {
			return e.Routine
		}
		return string(e.Code)
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return fmt.Sprint(e.Number)
	}
	return err.Error()
}

// TestIdleTransaction lets PostgreSQL end an idle transaction.
func TestIdleTransaction(t *testing.T) {
	t.Parallel()
	db := things(t, dbtest.PostgreSQL)
	s := db.Session(database.Write)
	defer s.Rollback()
	pid, err := number(t.Context(), s, "SELECT pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), s, "SET LOCAL idle_in_transaction_session_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		n, err := number(t.Context(), db.Session(database.Single), "SELECT count(*) FROM pg_stat_activity WHERE pid = ?", pid)
		if n != 0 {
			err = errors.New("the server does not end it")
		}
		return err
	})
	wantKind(t, run(t.Context(), s, "SELECT 1"), database.Lost)
}

// ownMySQL starts a server for one test, with the database d: settings of a server concern all of its users.
func ownMySQL(t *testing.T, settings ...string) (admin func(statements ...string), address *url.URL) {
	t.Helper()
	server, err := dbservers.StartMySQL(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	db, err := dbservers.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	admin = func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	admin("CREATE DATABASE d CHARACTER SET utf8mb4", "CREATE TABLE d.things (id int PRIMARY KEY, n int NOT NULL, b longblob)",
		"CREATE USER 'u'@'%' IDENTIFIED BY 'p'", "GRANT ALL ON d.* TO 'u'@'%'")
	address, err = url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.User, address.Path = url.UserPassword("u", "p"), "/d"
	return admin, address
}

// TestMySQLRefuses changes the settings and grants of a server so that it refuses statements.
func TestMySQLRefuses(t *testing.T) {
	t.Parallel()
	admin, u := ownMySQL(t, "--max-allowed-packet=1M")
	admin("SET GLOBAL foreign_key_checks = 0", "SET GLOBAL unique_checks = 0")
	t.Run("checks", func(t *testing.T) {
		db := open(t, options(u.String()))
		for scope, want := range map[string]int{"GLOBAL": 0, "SESSION": 2} {
			query := fmt.Sprintf("SELECT @@%[1]s.foreign_key_checks + @@%[1]s.unique_checks", scope)
			if n, err := number(t.Context(), db.Session(database.Single), query); n != want || err != nil {
				t.Errorf("checks that are on in %s: got %d, %v, want %d", scope, n, err, want)
			}
		}
	})
	t.Run("a large statement", func(t *testing.T) {
		more := *u
		more.RawQuery = "maxAllowedPacket=8388608" // the server takes less
		s := open(t, options(more.String())).Session(database.Write)
		defer s.Rollback()
		err := run(t.Context(), s, "INSERT INTO things VALUES (1, 0, '"+strings.Repeat("x", 2<<20)+"')")
		wantKind(t, err, database.TooLarge)
	})
	t.Run("role", func(t *testing.T) {
		db := open(t, options(u.String()))
		before := connections(t, db, "SELECT CONNECTION_ID()")
		admin("SET GLOBAL read_only = 1")
		defer admin("SET GLOBAL read_only = 0")
		changed(t, db, before, "SELECT CONNECTION_ID()")
	})
	for _, r := range []struct {
		code   string
		before []string
		fails  string
		after  []string
		kind   database.Kind
	}{
		{"1290", []string{"SET GLOBAL read_only = 1"}, "DELETE FROM things", []string{"SET GLOBAL read_only = 0"}, database.ReadOnly},
		{"1792", []string{"SET GLOBAL TRANSACTION READ ONLY"}, "DELETE FROM things", []string{"SET GLOBAL TRANSACTION READ WRITE"}, database.ReadOnly},
		{"1227", nil, "SET GLOBAL max_connections = 9", nil, database.ReadOnly},
		{"1044", nil, "CREATE DATABASE other", nil, database.ReadOnly},
		{
			"1142",
			[]string{"REVOKE ALL ON d.* FROM 'u'@'%'", "GRANT SELECT ON d.* TO 'u'@'%'"},
			"DELETE FROM things",
			[]string{"GRANT ALL ON d.* TO 'u'@'%'"},
			database.ReadOnly,
		},
		{
			"1143",
			[]string{"REVOKE ALL ON d.* FROM 'u'@'%'", "GRANT SELECT, UPDATE (id) ON d.things TO 'u'@'%'"},
			"UPDATE things SET n = 1",
			[]string{"GRANT ALL ON d.* TO 'u'@'%'"},
			database.ReadOnly,
		},
		{
			"1226",
			[]string{"ALTER USER 'u'@'%' WITH MAX_UPDATES_PER_HOUR 1"},
			"DELETE FROM things WHERE id = 1",
			[]string{"ALTER USER 'u'@'%' WITH MAX_UPDATES_PER_HOUR 0"},
			database.ReadOnly,
		},
	} {
		t.Run(r.code, func(t *testing.T) {
			admin(r.before...)
			defer admin(r.after...)
			db := open(t, options(u.String()))
			var err error
			for range 2 { // an hourly limit is reached by the second
				s := db.Session(database.Write)
				err = run(context.WithoutCancel(t.Context()), s, r.fails)
				s.Rollback()
			}
			if err == nil || codeOf(err) != r.code {
				t.Fatalf("got %v, want the error %s", err, r.code)
			}
			wantKind(t, err, r.kind)
			if database.AsFailure(err).Advice == "" {
				t.Error("got no advice, want some")
			}
		})
	}
}

// connections opens all connections of a pool, and returns their IDs on the server.
func connections(t *testing.T, db *database.DB, query string) map[int]bool {
	t.Helper()
	ids := map[int]bool{}
	for range options("").MaxConnections {
		s := db.Session(database.Snapshot)
		defer s.Rollback()
		id, err := number(t.Context(), s, query)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	return ids
}

// changed checks that after a refused change, no connection from before is used.
func changed(t *testing.T, db *database.DB, before map[int]bool, query string) {
	t.Helper()
	s := db.Session(database.Write)
	wantKind(t, run(t.Context(), s, "DELETE FROM things"), database.ReadOnly)
	s.Rollback()
	for id := range connections(t, db, query) {
		if before[id] {
			t.Errorf("got the connection %d, which is older than the change of role, want a new one", id)
		}
	}
}

// TestStandby listens and writes on a standby, which refuses both, and on the same server after its promotion.
func TestStandby(t *testing.T) {
	t.Parallel()
	server, err := dbservers.StartPostgres(t.Context(), "wal_level=replica", "max_wal_senders=2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	admin, err := dbservers.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE d TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		t.Fatal(err)
	}
	u.Path = "/d"
	first, err := database.Open(t.Context(), options(u.String()))
	if err != nil {
		t.Fatal(err)
	}
	write(t, first, "CREATE TABLE things (id int PRIMARY KEY, n int NOT NULL)")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context(), dbservers.Standby); err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 100)
	o := options(u.String())
	o.Logger = slog.New(slog.NewTextHandler(seen(func(line string) {
		if strings.Contains(line, "not listening to other servers") || strings.Contains(line, "no connection to listen") {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	db := open(t, o)
	changed(t, db, connections(t, db, "SELECT pg_backend_pid()"), "SELECT pg_backend_pid()")
	heard, _ := listen(t, db)
	<-refused
	if _, err := admin.ExecContext(t.Context(), "SELECT pg_promote()"); err != nil {
		if _, err = admin.ExecContext(t.Context(), "SELECT pg_promote()"); err != nil {
			t.Fatal(err)
		}
	}
	hears(t, db, heard, "again")
}

// seen is a function as an io.Writer.
type seen func(line string)

func (s seen) Write(b []byte) (int, error) { s(string(b)); return len(b), nil }

// TestReplacedDuringCommit replaces the file between the two comparisons of a commit.
func TestReplacedDuringCommit(t *testing.T) {
	t.Parallel()
	var path string
	db := things(t, dbtest.SQLite, func(o *database.Options) { path = strings.TrimPrefix(o.URL, "sqlite:") })
	looks := 0
	s := db.BeforeLooks(func() {
		if looks++; looks == 2 {
			if err := errors.Join(os.Rename(path, path+".kept"), os.WriteFile(path, nil, 0o600)); err != nil {
				t.Error(err)
			}
		}
	}).Session(database.Write)
	if err := run(t.Context(), s, "UPDATE things SET n = 1"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.Commit(), database.Unknown)
	if looks < 2 {
		t.Errorf("got %d comparisons of the files, want at least 2", looks)
	}
}
