package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// numberAtOnce is the greatest number of changes that one transaction numbers.
const numberAtOnce = 10_000

// numbering has the statements by which an engine numbers changes.
type numbering struct {
	// pending is the condition that a change without a number exists.
	pending string
	// number numbers the changes with the lowest IDs, and returns how many.
	number func(ctx context.Context, tx dialect.Driver, last int64) (int64, error)
}

// numberingOf returns nil for SQLite: there, each transaction numbers its own changes.
func numberingOf(engine string) *numbering {
	switch engine {
	case dialect.Postgres: // uses the index: a cached plan from a small table would read all changes
		return &numbering{"EXISTS (SELECT 1 FROM (SELECT number FROM " + changesTable + " ORDER BY number DESC NULLS FIRST LIMIT 1) AS c WHERE number IS NULL)", numberPostgres}
	case dialect.MySQL:
		return &numbering{"EXISTS (SELECT 1 FROM " + changesTable + " WHERE number IS NULL)", numberMySQL}
	}
	return nil
}

// Number numbers all committed changes that have no number. Any server may call it at any time: a lock admits one, and
// the others wait. If all changes have numbers, it costs one statement; on SQLite, none.
func Number(ctx context.Context, db *database.DB) error {
	for {
		if more, err := NumberSome(ctx, db); err != nil || !more {
			return err
		}
	}
}

// NumberSome numbers as many changes as one transaction takes, because an import can leave too many to wait for. It
// reports whether others may be left. It does nothing on a read-only database. On a node of a cluster, it first waits for the
// changes and numbers that other nodes have committed.
func NumberSome(ctx context.Context, db *database.DB) (more bool, err error) {
	if numberingOf(db.Dialect()) == nil {
		return false, nil
	}
	if _, err := db.CatchUp(ctx); err != nil {
		return false, err
	}
	_, pending, err := glance(ctx, db)
	if err != nil || !pending {
		return false, err
	}
	_, more, err = batch(ctx, db, nobody)
	if f := database.AsFailure(err); f != nil && f.Kind == database.ReadOnly {
		return false, nil // changes with numbers can still be read
	}
	return more, err
}

// glance reads the feed's row, and whether a change without a number exists, in one statement.
func glance(ctx context.Context, db *database.DB) (s *State, pending bool, err error) {
	condition := "1 = 0"
	if n := numberingOf(db.Dialect()); n != nil {
		condition = n.pending
	}
	s = &State{}
	err = one(ctx, db.Session(database.Single), "SELECT "+columns+", "+condition+" FROM "+feedTable+" WHERE id = 1", nil, append(s.destinations(), &pending)...)
	return s, pending, err
}

// The names of programs in signals that are not Feeds: of one that has numbered changes, and of one that sends no signal.
const (
	nobody = "-"
	silent = ""
)

// batch numbers and counts changes in one transaction. It returns the feed's row, and whether others may be left. If it numbers
// any, the commit signals this to all servers, with the name of this one. If another node of a cluster does so at the same time,
// it was perhaps ahead. Then batch has done nothing, and the feed's row has its numbers.
func batch(ctx context.Context, db *database.DB, name string) (s *State, more bool, err error) {
	s, more, err = tryBatch(ctx, db, name)
	f := database.AsFailure(err)
	if f == nil {
		return s, more, err
	}
	switch f.Kind {
	case database.Retry, database.Unique:
		caughtUp, waitErr := db.CatchUp(ctx)
		if waitErr != nil || !caughtUp {
			return nil, false, cmp.Or(waitErr, err)
		}
		return glance(ctx, db)
	case database.ReadOnly, database.TooLarge, database.Other:
		if db.Dialect() != dialect.Postgres {
			break
		}
		// The server may refuse the signal alone: its queue is full, or the right to pg_notify was revoked. Nothing may depend on
		// a signal.
		return tryBatch(ctx, db, silent)
	default:
	}
	return s, more, err
}

func tryBatch(ctx context.Context, db *database.DB, name string) (s *State, more bool, err error) {
	tx := db.Session(database.Write)
	defer tx.Rollback()
	s, err = lock(ctx, tx)
	if err != nil {
		return nil, false, err
	}
	before := *s
	if n := numberingOf(db.Dialect()); n != nil {
		// The isolation of writing transactions lets the next statement see everything that is committed by now.
		count, err := n.number(ctx, tx, s.last)
		if err != nil {
			return nil, false, err
		}
		s.last += count
		more = count == numberAtOnce
	}
	if s.due() {
		if err := s.count(ctx, tx); err != nil {
			return nil, false, err
		}
	}
	if *s == before {
		return s, false, nil
	}
	signal := ""
	if s.last > before.last && name != silent {
		signal = numbered + name + " " + s.End().String()
	}
	if err := s.save(ctx, tx, signal); err != nil {
		return nil, false, err
	}
	return s, more || s.due(), tx.Commit()
}

// caughtUp returns the feed's row after all that the cluster has committed by now. Without a cluster, it returns s.
func (s *State) caughtUp(ctx context.Context, db *database.DB) (*State, error) {
	if waited, err := db.CatchUp(ctx); err != nil || !waited {
		return s, err
	}
	return ReadState(ctx, db.Session(database.Single))
}

// numberPostgres has no arguments, so that PostgreSQL plans the statement each time: a cached plan from a small table would
// read all changes. The lock of the feed's row keeps the rows where they are until they are updated.
func numberPostgres(ctx context.Context, tx dialect.Driver, last int64) (int64, error) {
	return database.Affected(ctx, tx, "UPDATE "+changesTable+" AS c SET number = "+strconv.FormatInt(last, 10)+" + p.place FROM ("+
		"SELECT id, row_number() OVER (ORDER BY id) AS place FROM "+changesTable+" WHERE number IS NULL ORDER BY id LIMIT "+strconv.Itoa(numberAtOnce)+
		") AS p WHERE c.id = p.id")
}

// numberMySQL reads the IDs first: an UPDATE that searched for them would wait for the changes of open transactions.
func numberMySQL(ctx context.Context, tx dialect.Driver, last int64) (int64, error) {
	var ids []int64
	err := database.Each(ctx, tx, "SELECT id FROM "+changesTable+" WHERE number IS NULL ORDER BY id LIMIT ?", []any{numberAtOnce}, func(rows *entsql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return 0, fmt.Errorf("feed: %w", err)
	}
	return database.Affected(ctx, tx, "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (place FOR ORDINALITY, id BIGINT PATH '$')) AS p "+
		"STRAIGHT_JOIN "+changesTable+" AS c FORCE INDEX (PRIMARY) ON c.id = p.id SET c.number = ? + p.place", string(list), last)
}
