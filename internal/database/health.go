package database

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/tables"
)

const (
	// recheck is the time between two looks at a database that does not work, until it does.
	recheck = time.Second
	// lockWait is how long a look waits for others who lock the tables: they write, so the database can be written.
	lockWait = 500 * time.Millisecond
	// fillBytes is what has to fit onto a disk that was full before it counts as one with room.
	fillBytes = 1 << 20
)

// health is what is wrong with the database as a whole. It is logged when it begins and when it ends.
type health struct {
	ctx   context.Context //nolint:containedctx // it ends what runs in the background
	close func()

	mu       sync.Mutex
	wrong    *Failure // nil while all is well
	news     int      // counts the failures, so that a look that began before one does not undo it
	watching bool
	watchers sync.WaitGroup
}

func newHealth() *health {
	ctx, cancel := context.WithCancel(context.Background())
	h := &health{ctx: ctx}
	h.close = func() {
		cancel()
		h.mu.Lock()
		h.watching = true // no new one
		h.mu.Unlock()
		h.watchers.Wait()
	}
	return h
}

// failed draws the conclusions from a failure.
func (db *DB) failed(p *pool, f *Failure) *Failure {
	p.concludes(f)
	switch {
	case f.Kind == ReadOnly, f.Kind == Unusable:
		db.found(f)
	case f.Advice != "":
		db.options.Logger.Warn("the database refuses a statement", "error", f, "advice", f.Advice)
	}
	return f
}

// found notes what is wrong, logs it unless it is known, and sees to it that its end is noticed.
func (db *DB) found(f *Failure) {
	h := db.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.news++
	if h.wrong == nil || h.wrong.Kind != f.Kind || h.wrong.Advice != f.Advice {
		text := map[Kind]string{ReadOnly: "the database is read only", Unusable: "the database cannot be used"}[f.Kind]
		if text == "" {
			text = "the database does not answer"
		}
		attributes := []any{"database", db.String(), "error", f}
		if f.Advice != "" {
			attributes = append(attributes, "advice", f.Advice)
		}
		db.options.Logger.Error(text, attributes...)
	}
	h.wrong = f
	if !h.watching {
		h.watching = true
		h.watchers.Go(db.watch)
	}
}

// watch looks until the database works again.
func (db *DB) watch() {
	h := db.health
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(h.ctx, db.options.ConnectTimeout)
		_ = db.Ready(ctx) // which notes and logs it
		cancel()
		h.mu.Lock()
		over := h.wrong == nil && h.ctx.Err() == nil
		if over {
			h.watching = false
		}
		h.mu.Unlock()
		if over {
			return
		}
	}
}

// state returns what is wrong, and the count of failures until now.
func (h *health) state() (wrong *Failure, news int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wrong, h.news
}

// Ready makes sure that the database can be read and written now. The error is a Failure, of kind ReadOnly when it can
// be read alone. A database that did not work before has to take a megabyte, too. Nothing of it stays.
func (db *DB) Ready(ctx context.Context) error {
	wrong, news := db.health.state()
	err := db.ReadyForReads(ctx)
	if err == nil {
		err = db.takesChanges(ctx, wrong != nil && wrong.Kind == ReadOnly)
	}
	if err != nil {
		return err
	}
	h := db.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wrong != nil && h.news == news {
		db.options.Logger.Info("the database works again", "database", db.String())
		h.wrong = nil
	}
	return nil
}

// ReadyForReads makes sure that the database can be read now, and that its tables are there. The error is a Failure.
func (db *DB) ReadyForReads(ctx context.Context) error {
	err := db.Ping(ctx)
	if err == nil {
		err = db.engine.attached()
	}
	if err == nil {
		err = db.readsTables(ctx) // first, since what it finds is what operations find
	}
	if err == nil {
		err = db.CheckTables(ctx)
	}
	if err == nil {
		return nil
	}
	f := db.fail(err)
	if f.Kind == ReadOnly {
		f.reading()
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // else nobody waits for it
		db.found(f)
	}
	return f
}

// readsTables reads nothing from each table, which needs the right to read it.
func (db *DB) readsTables(ctx context.Context) error {
	for _, t := range tables.All() {
		columns := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			columns[i] = c.Name
		}
		nothing, _ := entsql.Dialect(db.Dialect()).Select(columns...).From(entsql.Table(t.Name)).Where(entsql.False()).Query()
		if _, err := db.read.db.ExecContext(ctx, nothing); err != nil {
			return err
		}
	}
	return nil
}

// takesChanges tries statements that change no row, on each table, in a transaction such as those of operations. With
// fill, it also inserts something, and rolls it back.
func (db *DB) takesChanges(ctx context.Context, fill bool) error {
	if db.engine.dialect() == dialect.SQLite && db.write.db.Stats().InUse > 0 {
		return nil // who writes now will tell
	}
	limited, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	err := db.tryChanges(limited, fill)
	if err == nil {
		return nil
	}
	f := db.fail(err)
	if slices.Contains([]Kind{Timeout, Retry, Busy, TooLarge}, f.Kind) && ctx.Err() == nil {
		return nil
	}
	db.write.concludes(f)
	if !errors.Is(ctx.Err(), context.Canceled) {
		db.found(f)
	}
	return f
}

func (db *DB) tryChanges(ctx context.Context, fill bool) (err error) {
	c, err := db.write.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is under way
	if db.engine.dialect() == dialect.SQLite {
		// It does not wait for another who writes, and does not keep in memory what is to be written.
		for _, p := range []struct{ set, reset string }{{"busy_timeout = 0", "busy_timeout = 5000"}, {"cache_size = 10", "cache_size = -2000"}} {
			if _, err := c.ExecContext(ctx, "PRAGMA "+p.set); err != nil {
				return err
			}
			defer func() { _, _ = c.ExecContext(context.WithoutCancel(ctx), "PRAGMA "+p.reset) }()
		}
	}
	tx, err := c.BeginTx(context.WithoutCancel(ctx), db.engine.txOptions(true))
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // what matters is err
	for _, t := range tables.All() {
		name, column := db.quote(t.Name), db.quote(t.Columns[0].Name)
		for _, statement := range []string{
			"INSERT INTO " + name + " SELECT * FROM " + name + " WHERE 1 = 0",
			"UPDATE " + name + " SET " + column + " = " + column + " WHERE 1 = 0",
			"DELETE FROM " + name + " WHERE 1 = 0",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	if !fill {
		return nil
	}
	return db.fill(ctx, tx)
}

// fill inserts something that is as large as the answer of an operation may be.
func (db *DB) fill(ctx context.Context, tx *sql.Tx) error {
	statement := "INSERT INTO idempotency_keys (id, request, data, at) VALUES (?, ?, ?, 0)"
	if db.engine.dialect() == dialect.Postgres {
		statement = "INSERT INTO idempotency_keys (id, request, data, at) VALUES ($1, $2, $3, 0)"
	}
	bytes := make([]byte, fillBytes) // that nothing can compress
	if _, err := rand.Read(bytes); err != nil {
		return fmt.Errorf("random bytes: %w", err)
	}
	_, err := tx.ExecContext(ctx, statement, bytes[:32], bytes[32:64], bytes)
	return err
}

func (db *DB) quote(name string) string {
	if db.engine.dialect() == dialect.Postgres {
		return `"` + name + `"`
	}
	return "`" + name + "`"
}
