package database

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	entsql "entgo.io/ent/dialect/sql"
)

// On a Galera cluster, each node has all data, and takes reads and writes. A transaction runs on one node, and its locks are
// only there. At the commit, the cluster puts it in one order with those of the other nodes. If one that is before it changed
// the same rows, the commit fails like a deadlock, and nothing of it stays. The other nodes apply it a little later.

// findGalera learns whether the server is a node of a Galera cluster of MariaDB. Other products do not have all statements of this
// file.
func (e *mysqlEngine) findGalera(ctx context.Context, db *sql.DB) error {
	settings, err := pairs(ctx, db, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_provider', 'version')")
	provider := settings["wsrep_provider"]
	e.galera.Store(strings.Contains(settings["version"], "MariaDB") && settings["wsrep_on"] == "ON" && provider != "" && provider != "none")
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

// await implements cluster. WSREP_SYNC_WAIT_UPTO_GTID would wait less, but it returns just before the rows can be read: in MariaDB
// 10.11, 3 of 25,000 reads after it missed the transaction.
func (galera) await(ctx context.Context, q querier) error {
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
