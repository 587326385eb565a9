package database

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	entsql "entgo.io/ent/dialect/sql"
)

// On a Galera cluster, a lock of a server excludes only the clients of this node. So the program that migrates also takes a
// lease: a row with its owner, which is committed, so all nodes have it. The owner raises the row's number every second. The
// lease expires when another program has seen the same number for some seconds. So it does not matter whether the clocks of
// machines agree. Roster's other tables come from migrations; this one must exist before them.
const (
	createLease = "CREATE TABLE IF NOT EXISTS roster_lease (id int NOT NULL PRIMARY KEY, owner varchar(64) NOT NULL, renewed bigint NOT NULL) " +
		"ENGINE InnoDB CHARSET utf8mb4 COLLATE utf8mb4_bin"
	insertLease = "INSERT IGNORE INTO roster_lease (id, owner, renewed) VALUES (1, '', 0)"
	readLease   = "SELECT owner, renewed FROM roster_lease WHERE id = 1"
	// takeLease takes a lease without an owner, or one that has expired.
	takeLease  = "UPDATE roster_lease SET owner = ?, renewed = renewed + 1 WHERE id = 1 AND (owner = '' OR owner = ? AND renewed = ?)"
	renewLease = "UPDATE roster_lease SET renewed = renewed + 1 WHERE id = 1 AND owner = ?"
	endLease   = "UPDATE roster_lease SET owner = '' WHERE id = 1 AND owner = ?"
)

const (
	// leaseRenewal is the time between two renewals of a lease, and between two looks at that of another program.
	leaseRenewal = time.Second
	// leaseLooks is the number of looks after which a lease that was not renewed has expired. A look waits while its node
	// applies a change of the schema, which the owner may wait for too.
	leaseLooks = 15
	// migrationWait is the longest wait for another program that migrates.
	migrationWait = time.Minute
)

var errLeaseLost = errors.New("this program did not renew its lease in time, so another one goes on with the migration: " +
	"run roster migrate status, then roster migrate up if something is left")

// lease is the right to migrate the database of a cluster.
type lease struct{ owner string }

// underLease runs f while no program on another node migrates the database. db has one connection, and beside another one.
func (e *mysqlEngine) underLease(ctx context.Context, db, beside *sql.DB, f func() error) error {
	l := &lease{rand.Text()}
	err := l.take(ctx, db)
	if m, _ := e.classify(err); m.kind == ReadOnly {
		return f() // this program cannot change the schema either
	}
	if err != nil {
		return err
	}
	ending, end := context.WithCancel(context.WithoutCancel(ctx))
	var renewals sync.WaitGroup
	renewals.Go(func() { l.renew(ending, beside) })
	defer func() {
		end()
		renewals.Wait()
		l.end(context.WithoutCancel(ctx), db)
	}()
	e.lease.Store(l)
	defer e.lease.Store(nil)
	return f()
}

// take waits for the lease and takes it.
func (l *lease) take(ctx context.Context, db *sql.DB) error {
	var exists bool
	if err := db.QueryRowContext(ctx, existsTable, "roster_lease").Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := db.ExecContext(ctx, createLease); err != nil {
			return err
		}
	}
	if _, err := affected(db.ExecContext(ctx, insertLease)); err != nil {
		return err
	}
	ticker := time.NewTicker(leaseRenewal)
	defer ticker.Stop()
	owner, renewed, looks := "", int64(0), 0
	for began := time.Now(); ; {
		args := []any{l.owner, "", -1}
		if looks >= leaseLooks {
			args = []any{l.owner, owner, renewed}
		}
		taken, err := affected(db.ExecContext(ctx, takeLease, args...))
		if err != nil || taken {
			return err
		}
		if time.Since(began) > migrationWait {
			return fmt.Errorf("another server has been migrating the database for more than %v: see what it does", migrationWait)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		was := renewed
		owner, renewed, err = look(ctx, db)
		late := isNumber(err, myLockWait) // the node has not caught up
		if err != nil && !late {
			return err
		}
		if looks++; renewed != was || late {
			looks = 0
		}
	}
}

// look reads the lease, as soon as this node has applied all that the cluster has committed.
func look(ctx context.Context, db *sql.DB) (owner string, renewed int64, err error) {
	err = Each(ctx, entsql.Conn{ExecQuerier: db}, causally+readLease, nil, func(rows *entsql.Rows) error { return rows.Scan(&owner, &renewed) })
	return owner, renewed, err
}

// renew renews the lease until ctx ends. An error may pass, and hold reports that the lease was lost.
func (l *lease) renew(ctx context.Context, beside *sql.DB) {
	ticker := time.NewTicker(leaseRenewal)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		_, _ = beside.ExecContext(ctx, renewLease, l.owner)
	}
}

// hold implements engine. It renews the lease, so the commit fails if another program takes the lease before it on another node.
func (e *mysqlEngine) hold(ctx context.Context, tx *sql.Tx) error {
	return e.lease.Load().hold(ctx, tx)
}

// hold renews the lease, in the transaction of db if it has one. It returns errLeaseLost if another program has it, and the error
// of a deadlock if that is not known yet: then the caller tries again. On a server without a cluster, l is nil, and hold does
// nothing.
func (l *lease) hold(ctx context.Context, db entsql.ExecQuerier) error {
	if l == nil {
		return nil
	}
	result, err := db.ExecContext(ctx, renewLease, l.owner)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, errLeaseLost)
	}
	return nil
}

// end gives the lease back. If this fails, it expires.
func (l *lease) end(ctx context.Context, db *sql.DB) {
	for try := 1; try < tries; try++ {
		if _, err := db.ExecContext(ctx, endLease, l.owner); !isDeadlock(err) {
			return
		}
	}
}

// affected reports whether a statement has changed a row. It has not if it commits and another node was ahead of it.
func affected(result sql.Result, err error) (bool, error) {
	if isDeadlock(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
