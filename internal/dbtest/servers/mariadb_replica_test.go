package servers_test

import (
	"slices"
	"testing"
	"time"

	"roster/internal/dbtest/servers"
)

// TestMariaDBReplica writes on a primary until its replica has the row. A replica that stops to apply changes has them later, and
// so has one that was killed.
func TestMariaDBReplica(t *testing.T) {
	t.Setenv("TMPDIR", publicDir(t))
	primary := keep(t)(servers.StartMariaDBPrimary(t.Context()))
	replica := keep(t)(servers.StartMariaDBReplica(t.Context(), primary, 2))
	execute := func(s *servers.Server, statements ...string) {
		t.Helper()
		if err := s.Execute(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	await := func(want ...int) {
		t.Helper()
		db := open(t, replica.URL()+"copied")
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for deadline := time.Now().Add(time.Minute); ; <-ticker.C {
			if _, err := db.ExecContext(t.Context(), "DO 1"); err == nil && slices.Equal(ids(t, db), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("got no rows %v on the replica within a minute", want)
			}
		}
	}
	execute(primary, "CREATE DATABASE copied", "CREATE TABLE copied.kept (id int)", "INSERT INTO copied.kept VALUES (1)")
	execute(replica, "DO MASTER_GTID_WAIT('0-1-3', 60)")
	await(1)
	execute(replica, "STOP SLAVE SQL_THREAD")
	execute(primary, "INSERT INTO copied.kept VALUES (2)")
	await(1)
	execute(replica, "START SLAVE SQL_THREAD")
	await(1, 2)
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	execute(primary, "INSERT INTO copied.kept VALUES (3)")
	if err := replica.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(1, 2, 3)
}
