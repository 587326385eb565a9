package database

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"roster/internal/consistency"
)

// postgresReplication is streaming replication. A position is the timeline and the end of the write-ahead log.
type postgresReplication struct{}

func (*postgresEngine) replication() replication { return postgresReplication{} }

// kind implements replication. Servers write less than 2 GiB of one log in a second.
func (postgresReplication) kind() (consistency.Log, uint64) { return consistency.WAL, 2 << 30 }

func (postgresReplication) check(context.Context, querier) error { return nil }

// look implements replication. The commit record of a committed transaction ends before the place where the next record goes.
//
// A replica that has replayed changes of the old primary which the new one does not have can have a greater LSN than the new
// primary, but never its timeline. Until the first restart point after a change of the timeline, only a user with
// pg_read_all_stats sees it.
func (postgresReplication) look(ctx context.Context, q querier) (standing, error) {
	const query = "SELECT recovering, " +
		"(CASE WHEN recovering THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint, " +
		"CASE WHEN recovering THEN greatest(" +
		"(SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()), " +
		"(SELECT received_tli FROM pg_stat_wal_receiver)) " +
		"ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint END, " +
		"current_setting('wal_block_size')::bigint, pg_size_bytes(current_setting('wal_segment_size')) FROM pg_is_in_recovery() AS recovering"
	var s postgresStanding
	var lsn, page, segment int64
	var timeline sql.NullInt64
	if err := q.QueryRowContext(ctx, query).Scan(&s.recovering, &lsn, &timeline, &page, &segment); err != nil {
		return nil, err
	}
	if !s.recovering {
		lsn = endOfRecord(lsn, page, segment)
	}
	s.timeline, s.lsn = timeline.Int64, uint64(lsn) //nolint:gosec // G115: never negative
	return s, nil
}

// endOfRecord returns the end of the last record before the place where the next one goes. If a record ends with its page, the next
// one goes behind the header of the next page. The first page of a segment has a longer header. A replica has replayed up to the
// end of the page, and replays no more until the next record.
func endOfRecord(next, page, segment int64) int64 {
	const header, longHeader = 24, 40 // SizeOfXLogShortPHD and SizeOfXLogLongPHD
	switch {
	case next%segment == longHeader:
		return next - longHeader
	case next%page == header:
		return next - header
	}
	return next
}

// refuses implements replication.
func (postgresReplication) refuses(err error) bool {
	e, ok := errors.AsType[*pq.Error](err)
	return ok && slices.Contains([]pqerror.Code{pgInvalidPassword, pgInvalidAuth, pgNoDatabase, pgNoPrivilege}, e.Code)
}

type postgresStanding struct {
	recovering bool
	timeline   int64
	lsn        uint64
}

func (s postgresStanding) takesChanges() bool                  { return !s.recovering }
func (s postgresStanding) replays() bool                       { return s.recovering }
func (postgresStanding) compatible(consistency.Position) error { return nil }
func (s postgresStanding) reached(to consistency.Position) bool {
	return to.Log == consistency.WAL && !to.IsAhead() && s.timeline >= int64(to.Branch) && s.lsn >= to.Number
}

// decides implements standing: a promotion begins a new timeline.
func (s postgresStanding) decides(to consistency.Position) bool {
	return !to.IsAhead() && s.timeline >= int64(to.Branch)
}

func (s postgresStanding) server() serverID {
	return serverID{timeline: s.timeline, changes: !s.recovering}
}

func (s postgresStanding) end(d consistency.Database) (consistency.Position, error) {
	return consistency.Position{Database: d, Log: consistency.WAL, Branch: uint32(s.timeline), Number: s.lsn}, nil //nolint:gosec // G115: it has 32 bits
}
