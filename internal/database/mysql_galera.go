package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/go-sql-driver/mysql"

	"roster/internal/consistency"
)

// On a Galera cluster, each node has all data, and takes reads and writes. A transaction runs on one node, and its locks are
// only there. At the commit, the cluster puts it in one order with those of the other nodes. If one that is before it changed
// the same rows, the commit fails like a deadlock, and nothing of it stays. The other nodes apply it a little later.

// findGalera learns whether the server is a node of a Galera cluster.
func (e *mysqlEngine) findGalera(ctx context.Context, db *sql.DB) error {
	settings, err := pairs(ctx, db, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_provider')")
	provider := settings["wsrep_provider"]
	e.galera.Store(settings["wsrep_on"] == "ON" && provider != "" && provider != "none")
	return err
}

// causally begins a statement that reads as soon as the node has applied all that the cluster has committed.
const causally = "SET STATEMENT wsrep_sync_wait = 1 FOR "

// galera is the cluster of a node.
type galera struct{}

func (e *mysqlEngine) cluster() cluster {
	if e.galera.Load() {
		return galera{}
	}
	return nil
}

// end implements cluster.
func (galera) end(ctx context.Context, q querier) (consistency.Position, error) {
	var seen sql.NullString
	if err := q.QueryRowContext(ctx, "SELECT WSREP_LAST_SEEN_GTID()").Scan(&seen); err != nil {
		return consistency.Position{}, err
	}
	list, err := parseGTIDs(seen.String)
	if err == nil && len(list) != 1 {
		err = errNoPosition
	}
	if err != nil {
		return consistency.Position{}, err
	}
	return consistency.Position{Log: consistency.Galera, Branch: list[0].domain, Number: list[0].number}, nil
}

// await implements cluster. If the node does not have the position yet, it waits for all that the cluster has committed by now. So
// it does not wait for a position that never comes, such as one of another cluster.
func (galera) await(ctx context.Context, q querier, p consistency.Position) error {
	if p.Log == consistency.Galera && p.Number <= math.MaxInt64 {
		const reached = "SELECT WSREP_SYNC_WAIT_UPTO_GTID(?, 0)"
		err := q.QueryRowContext(ctx, reached, fmt.Sprintf("%d-0-%d", p.Branch, p.Number)).Scan(new(int))
		var refused *mysql.MySQLError // not reached, or a server without this function
		if err == nil || !errors.As(err, &refused) {
			return err
		}
	}
	return q.QueryRowContext(ctx, causally+"SELECT 1").Scan(new(int))
}

// synced is the state of a node that takes part in its cluster.
const synced = "Synced"

// ready returns an error while a Galera node should not serve: it has no quorum, it sends its data to another node, or it is
// behind the others and does not slow them down. Reads may work then, with old data.
func (e *mysqlEngine) ready(ctx context.Context, db *sql.DB) error {
	if !e.galera.Load() {
		return nil
	}
	states, err := pairs(ctx, db, "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state_comment')")
	if err != nil {
		return err
	}
	switch state := states["wsrep_local_state_comment"]; {
	case states["wsrep_ready"] != "ON":
		return &Failure{Kind: Unusable, Advice: myQuorum, err: fmt.Errorf("the Galera node is not ready: %s", state)}
	case state != synced:
		return &Failure{Kind: Unusable, Advice: myNotSynced, err: fmt.Errorf("the Galera node is %s, not %s", state, synced)}
	}
	return nil
}

// pairs returns the rows of a statement with two columns.
func pairs(ctx context.Context, db *sql.DB, query string) (map[string]string, error) {
	all := map[string]string{}
	err := Each(ctx, entsql.Conn{ExecQuerier: db}, query, nil, func(rows *entsql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		all[name] = value
		return err
	})
	return all, err
}
