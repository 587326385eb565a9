package database

import (
	"context"
	"database/sql"
	"strconv"

	"roster/internal/consistency"
)

// postgresReplication is streaming replication. A position is the timeline and the end of the write-ahead log.
type postgresReplication struct{}

func (*postgresEngine) replication() replication { return postgresReplication{} }

// log implements replication: 1 GiB.
func (postgresReplication) log() (consistency.Log, uint64) { return consistency.WAL, 1 << 30 }

func (postgresReplication) check(context.Context, querier) error { return nil }

// end implements replication. The commit record of a committed transaction ends before the place where the next record goes.
func (postgresReplication) end(ctx context.Context, q querier, d consistency.Database) (consistency.Position, error) {
	const query = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, current_setting('wal_block_size')::int, " +
		"substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
	var at, page int64
	var timeline string
	if err := q.QueryRowContext(ctx, query).Scan(&at, &page, &timeline); err != nil {
		return consistency.Position{}, err
	}
	branch, err := strconv.ParseUint(timeline, 16, 32)
	if err != nil {
		return consistency.Position{}, err
	}
	// If a record ends with its page, the next one goes behind the header of the next page. A replica has replayed up to the
	// end of the page, and replays no more until the next record.
	const header = 24
	if at%page == header {
		at -= header
	}
	return consistency.Position{Database: d, Log: consistency.WAL, Branch: uint32(branch), Number: uint64(at)}, nil //nolint:gosec // G115: never negative
}

// progress implements replication. A replica that has replayed changes of the old primary which the new one does not have can
// have a greater LSN than the new primary, but never its timeline. Until the first restart point after a change of the
// timeline, only a user with pg_read_all_stats sees it.
func (postgresReplication) progress(ctx context.Context, q querier) (progress, error) {
	const query = "SELECT pg_is_in_recovery(), (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::bigint, greatest(" +
		"(SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()), " +
		"(SELECT received_tli FROM pg_stat_wal_receiver))"
	var recovering bool
	var lsn int64
	var timeline sql.NullInt64
	if err := q.QueryRowContext(ctx, query).Scan(&recovering, &lsn, &timeline); err != nil {
		return nil, err
	}
	if !recovering {
		return nil, errNoReplica
	}
	return postgresProgress{timeline.Int64, uint64(lsn)}, nil //nolint:gosec // G115: never negative
}

type postgresProgress struct {
	timeline int64
	lsn      uint64
}

func (postgresProgress) suits(consistency.Position) error { return nil }

func (p postgresProgress) reached(to consistency.Position) bool {
	return to.Log == consistency.WAL && p.timeline >= int64(to.Branch) && p.lsn >= to.Number
}
