package servers_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"roster/internal/dbtest/servers"
)

// TestMariaDBReplica writes on a primary until its replica has the row, and again after the replica has stopped and gone on.
func TestMariaDBReplica(t *testing.T) {
	t.Parallel()
	primary, err := servers.StartMariaDBPrimary(t.Context())
	stopLater(t, primary, err)
	replica, err := servers.StartMariaDBReplica(t.Context(), primary, 2)
	stopLater(t, replica, err)
	execute(t, primary, "CREATE DATABASE copied", "CREATE TABLE copied.rows_ (id int)", "INSERT INTO copied.rows_ VALUES (7)")
	await(t, replica, "SELECT COUNT(*) FROM copied.rows_", 1)
	execute(t, replica, "STOP SLAVE SQL_THREAD")
	execute(t, primary, "INSERT INTO copied.rows_ VALUES (8)")
	execute(t, replica, "START SLAVE SQL_THREAD")
	await(t, replica, "SELECT COUNT(*) FROM copied.rows_", 2)
}

func stopLater(t *testing.T, s *servers.Server, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func execute(t *testing.T, s *servers.Server, statements ...string) {
	t.Helper()
	if err := s.Execute(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// await waits until a query of one number returns want.
func await(t *testing.T, s *servers.Server, query string, want int) {
	t.Helper()
	db, err := servers.Open(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		var got sql.NullInt64
		err := db.QueryRowContext(ctx, query).Scan(&got)
		if err == nil && got.Int64 == int64(want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: got %d, %v, want %d", query, got.Int64, err, want)
		case <-ticker.C:
		}
	}
}
