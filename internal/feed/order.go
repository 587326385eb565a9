package feed

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"roster/internal/database"
	"roster/internal/typeid"
)

// An OrderError says why the IDs of changes do not have the order of insertion.
type OrderError struct{ Problem, Remedy string }

func (e *OrderError) Error() string { return e.Problem + ": " + e.Remedy }

// CheckOrder inserts changes in two transactions in turn, and takes them back. It returns an OrderError if their IDs do not
// rise, since readers of the feed would then miss changes or get them in a wrong order. It takes a few IDs of the sequence,
// and two connections. It reports whether it tested anything: on SQLite, IDs do not matter. Other errors are Failures.
func CheckOrder(ctx context.Context, db *database.DB) (tested bool, err error) {
	if numberingOf(db.Dialect()) == nil {
		return false, nil
	}
	var last entsql.NullInt64
	if err := one(ctx, db.Session(database.Single), "SELECT max(id) FROM "+changesTable, nil, &last); err != nil {
		return false, err
	}
	if !db.InCluster() { // there, a node gives higher IDs than those of all changes that it has
		if err := checkIncrement(ctx, db); err != nil {
			return true, err
		}
	}
	first, second := db.Session(database.Write), db.Session(database.Write)
	defer first.Rollback()
	defer second.Rollback()
	random, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil {
		return false, err
	}
	at := last.Int64
	for i, tx := range []*database.Session{first, second, first, second} {
		node := typeid.New("user", random)
		if err := Write(ctx, tx, []Change{{NodeID: node, Kind: Created, Version: i + 1, At: time.Now()}}); err != nil {
			if f := database.AsFailure(err); f != nil && f.Kind == database.Unique {
				err = behind("the next change gets an ID that another change has")
			}
			return true, err
		}
		query, args := entsql.Dialect(tx.Dialect()).Select("id").From(entsql.Table(changesTable)).
			Where(entsql.And(entsql.IsNull("number"), entsql.EQ("node_id", node), entsql.EQ("version", i+1))).Query()
		var id int64
		if err := one(ctx, tx, query, args, &id); err != nil {
			return false, err
		}
		switch {
		case id <= at && i == 0:
			return true, behind(fmt.Sprintf("the next change gets the ID %d, but there is one with the ID %d", id, at))
		case id <= at:
			return true, &OrderError{
				Problem: fmt.Sprintf("a later change gets a lower ID (%d after %d): each connection takes IDs in advance", id, at),
				Remedy:  "let the sequence of changes.id give one ID at a time, upwards: ALTER SEQUENCE changes_id_seq CACHE 1 INCREMENT 1",
			}
		}
		at = id
	}
	return true, nil
}

// behind returns the error of a sequence that gives IDs again.
func behind(problem string) *OrderError {
	return &OrderError{Problem: problem, Remedy: "set the sequence of changes.id behind the greatest ID: perhaps a restore has left out the sequences"}
}

// checkIncrement returns an OrderError if servers of MariaDB or MySQL replicate each other without the order of a cluster.
func checkIncrement(ctx context.Context, db *database.DB) error {
	if db.Dialect() != dialect.MySQL {
		return nil
	}
	var increment int64
	err := one(ctx, db.Session(database.Single), "SELECT @@auto_increment_increment", nil, &increment)
	if err == nil && increment > 1 {
		err = &OrderError{
			Problem: fmt.Sprintf("auto_increment_increment of the database server is %d, as of servers that all write and replicate each other: they give IDs in different orders", increment),
			Remedy:  "let all Roster servers use one server that writes, and set auto_increment_increment to 1 there",
		}
	}
	return err
}
