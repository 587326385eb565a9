package database_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/consistency"
	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestReachedPostgres compares what a replica has replayed with positions. After a failover, a replica of the old primary may have
// more of the log than the new primary, but of another timeline.
func TestReachedPostgres(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		timeline int64
		lsn      uint64
		to       consistency.Position
		want     bool
	}{
		{1, 100, consistency.Position{Log: consistency.WAL, Branch: 1, Number: 100}, true},
		{1, 99, consistency.Position{Log: consistency.WAL, Branch: 1, Number: 100}, false},
		{2, 100, consistency.Position{Log: consistency.WAL, Branch: 1, Number: 90}, true},
		{1, 200, consistency.Position{Log: consistency.WAL, Branch: 2, Number: 100}, false},
		{0, 200, consistency.Position{Log: consistency.WAL, Branch: 1, Number: 100}, false}, // the user may not see the timeline
		{1, 200, consistency.Position{Log: consistency.GTID, Branch: 0, Number: 1}, false},
		{1, 200, consistency.Last(consistency.Database{}, consistency.WAL), false},
		{1, 200, consistency.Ahead(consistency.Position{Log: consistency.WAL, Branch: 1, Number: 100}), false},
	} {
		if got := database.ReachedPostgres(test.timeline, test.lsn, test.to); got != test.want {
			t.Errorf("the timeline %d at %d: got %t for %+v, want %t", test.timeline, test.lsn, got, test.to, test.want)
		}
	}
}

// TestReachedMariaDB compares the GTIDs of a replica with positions. After a failover, a replica of the old primary may have
// greater numbers than the new primary, but of another server.
func TestReachedMariaDB(t *testing.T) {
	t.Parallel()
	at := func(domain, server uint32, number uint64) consistency.Position {
		return consistency.Position{Log: consistency.GTID, Branch: domain, Server: server, Number: number}
	}
	for _, test := range []struct {
		current, logged string
		to              consistency.Position
		want            bool
	}{
		{"0-1-100", "0-1-100", at(0, 1, 100), true},
		{"0-1-100", "", at(0, 1, 99), true},
		{"0-1-99", "0-1-100", at(0, 1, 100), false}, // it is logged, but perhaps not committed
		{"0-1-100", "0-1-100", at(1, 1, 100), false},
		{"0-1-100,1-1-7", "0-1-100", at(1, 1, 7), true},
		{"0-1-105", "0-1-105", at(0, 2, 104), false}, // of the old primary alone
		{"0-2-110", "0-1-100,0-2-110", at(0, 1, 100), true},
		{"0-2-110", "0-1-100,0-2-110", at(0, 1, 105), false}, // lost in the failover
		{"0-2-110", "0-2-110", at(0, 1, 100), false},         // unknown without a log
		{"0-1-100", "0-1-100,0-2-101", at(0, 2, 101), false},
		{"", "", at(0, 1, 1), false},
		{"", "", at(0, 1, 0), true},
		{"0-1-100", "0-1-100", consistency.Position{Log: consistency.WAL, Number: 1}, false},
		{"0-1-100", "0-1-100", consistency.Last(consistency.Database{}, consistency.GTID), false},
		{"0-4294967295-100", "0-4294967295-100", consistency.Ahead(at(0, 1, 7)), false},
	} {
		got, err := database.ReachedMariaDB(test.current, test.logged, test.to)
		if err != nil || got != test.want {
			t.Errorf("%q, and in the log %q: got %t, %v for %+v, want %t", test.current, test.logged, got, err, test.to, test.want)
		}
	}
	for _, text := range []string{"0", "0-1", "0-1-2-3", "0-1-x", "-1-1-1", "4294967296-1-1", "0-1-2,", ","} {
		if _, err := database.ReachedMariaDB(text, "", at(0, 1, 1)); err == nil {
			t.Errorf("%q: got a list of GTIDs, want an error", text)
		}
	}
}

// TestLastGTID reads the position of a primary. A domain that is not in its log is no position: each replica would have it.
func TestLastGTID(t *testing.T) {
	t.Parallel()
	for current, want := range map[string]consistency.Position{
		"":              {Log: consistency.GTID, Branch: 1, Server: 5},
		"1-7-100":       {Log: consistency.GTID, Branch: 1, Server: 7, Number: 100},
		"0-1-3,1-5-100": {Log: consistency.GTID, Branch: 1, Server: 5, Number: 100},
	} {
		if got, err := database.LastGTID(current, 1, 5); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", current, got, err, want)
		}
	}
	for _, current := range []string{"0-5-100", "0-5-100,2-5-7", "x"} {
		if got, err := database.LastGTID(current, 1, 5); err == nil {
			t.Errorf("%q: got %+v, want an error", current, got)
		}
	}
}

// TestAhead wants that a position which the primary did not tell is a token that is later than all that clients have, and not for
// ever. No server reaches it by itself.
func TestAhead(t *testing.T) {
	t.Parallel()
	d := consistency.Database{1}
	for _, end := range []consistency.Position{
		{Database: d, Log: consistency.WAL, Branch: 1, Number: 1 << 40},
		{Database: d, Log: consistency.GTID, Branch: 0, Number: 1000, Server: 7},
	} {
		got := database.Ahead(d, end, 0)
		later := database.Ahead(d, end, time.Minute)
		last := consistency.Last(d, end.Log)
		if !got.IsAhead() || got.Compare(end) <= 0 || later.Compare(got) <= 0 || last.Compare(later) <= 0 || got.String() <= end.String() {
			t.Errorf("after %+v: got %+v, and a minute later %+v, want later ones that are not the last", end, got, later)
		}
		if p, err := consistency.Parse(got.String()); err != nil || p != got {
			t.Errorf("%+v: got %+v, %v from its token, want the same", got, p, err)
		}
	}
	if got := database.Ahead(d, consistency.Position{}, 0); got != consistency.Ahead(consistency.Position{Database: d, Log: consistency.WAL}) {
		t.Errorf("without an end: got %+v, want the position that is ahead of nothing", got)
	} else if p, err := consistency.Parse(got.String()); err != nil || !p.IsAhead() {
		t.Errorf("without an end: got %+v, %v from its token, want the same", p, err)
	}
}

// TestWaiters wants that readers which wait for a position use at most half of the connections to a replica.
func TestWaiters(t *testing.T) {
	t.Parallel()
	for connections, want := range map[int]int{1: 1, 2: 1, 16: 8} {
		if got, err := database.Waiters(t.Context(), connections, 20, 20-want); err != nil || got != want {
			t.Errorf("%d connections: got %d sessions that wait, %v, want %d", connections, got, err, want)
		}
	}
}

// TestSteadyReplica wants that a replica whose age is near the limit stays out, and is used after several good measurements. Another
// reason is news.
func TestSteadyReplica(t *testing.T) {
	t.Parallel()
	const in, stale, away = database.InUse, database.Stale, database.Unreachable
	for _, test := range []struct {
		measurements, want []database.OutReason
		lines              int
	}{
		{[]database.OutReason{in, in, stale, in, stale, in}, []database.OutReason{in, in, stale, stale, stale, stale}, 2},
		{[]database.OutReason{stale, in, in, in, in, in, in}, []database.OutReason{stale, stale, stale, stale, stale, in, in}, 2},
		{[]database.OutReason{away, away, stale, stale, in, away}, []database.OutReason{away, away, stale, stale, stale, away}, 3},
	} {
		if got, lines := database.Decide(test.measurements...); !slices.Equal(got, test.want) || lines != test.lines {
			t.Errorf("%v: got %v and %d lines, want %v and %d", test.measurements, got, lines, test.want, test.lines)
		}
	}
}

// TestSteadyPrimary wants a line of the log when the position of the primary becomes unknown, one when it is known again, after
// several good measurements, and one when a setting is wrong.
func TestSteadyPrimary(t *testing.T) {
	t.Parallel()
	for measurements, want := range map[string][3]int{
		"++++++":       {0, 0, 0},
		"+-+-+-++++-":  {1, 0, 0},
		"-+++++-+++++": {2, 2, 0},
		"-!!!!":        {1, 0, 1},
		"!++!+++++!":   {0, 1, 2},
	} {
		unknown, known, wrong := database.KnowPrimary(measurements)
		if got := [3]int{unknown, known, wrong}; got != want {
			t.Errorf("%s: got %v lines, want %v", measurements, got, want)
		}
	}
}

// TestSilentPrimary wants that a commit does not wait for its position, although the driver does.
func TestSilentPrimary(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	end := consistency.Position{Database: consistency.Database{1}, Log: consistency.WAL, Branch: 1, Number: 2}
	p, before, after := database.PositionOfSilent(ctx, end)
	if p.Compare(end) <= 0 || before != 0 || after != 1 {
		t.Errorf("got %+v, and %d and %d free connections, want a position after %+v, and none and one", p, before, after, end)
	}
}

// TestReplicasOfGalera wants that a node of a Galera cluster gets no replicas: their GTIDs do not tell what the other nodes committed.
func TestReplicasOfGalera(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t, dbtest.MySQL)
	err := open(t, options(url)).LikeGalera().UseReplicas(t.Context(), database.ReplicaOptions{URLs: []string{url}, MaxStaleness: time.Minute})
	if _, ok := errors.AsType[*database.ReplicaError](err); !ok || !strings.Contains(err.Error(), "Galera") {
		t.Errorf("got %v, want an error that names Galera", err)
	}
}
