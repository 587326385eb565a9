package database

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/tables"
)

const (
	// recheck is the time between two checks of a database that does not work.
	recheck = time.Second
	// lockWait is the time that a check waits for locks of others. If they still hold the locks then, they can write,
	// and so the database works.
	lockWait = 500 * time.Millisecond
	// fillBytes must fit onto a disk that was full, so that it counts as a disk with room.
	fillBytes = 1 << 20
)

// health has the problem of the database as a whole. It logs when the problem begins and when it ends.
type health struct {
	ctx   context.Context //nolint:containedctx // it ends what runs in the background
	close func()

	mu       sync.Mutex
	wrong    *Failure // nil: no problem
	news     int      // counts failures, so that a check that began before a failure does not clear it
	watching bool
	watchers sync.WaitGroup
}

func newHealth() *health {
	ctx, cancel := context.WithCancel(context.Background())
	h := &health{ctx: ctx}
	h.close = func() {
		cancel()
		h.mu.Lock()
		h.watching = true // prevents a new watcher
		h.mu.Unlock()
		h.watchers.Wait()
	}
	return h
}

// failed updates the health after a failure.
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

// found records a problem. A new problem is logged, and watched until it ends.
func (db *DB) found(f *Failure) {
	h := db.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.news++
	if h.wrong == nil || h.wrong.Kind != f.Kind || h.wrong.Advice != f.Advice {
		texts := map[Kind]string{ReadOnly: "the database is read only", Unusable: "the database cannot be used"}
		text := cmp.Or(texts[f.Kind], "the database does not answer")
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

// watch checks the database until it works again.
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
		_ = db.Ready(ctx) // it records and logs the result
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

// state returns the problem and the number of failures until now.
func (h *health) state() (wrong *Failure, news int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wrong, h.news
}

// Ready checks that the database can be read and written now. The error is a Failure, of kind ReadOnly when the
// database can be read but not written. After a failure, Ready also inserts a megabyte and rolls it back.
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

// ReadyForReads checks that the database can be read now, that it has its tables, and that the server should serve: a node of a
// cluster that is apart from the others would answer with old data. The error is a Failure.
func (db *DB) ReadyForReads(ctx context.Context) error {
	err := db.Ping(ctx)
	if err == nil {
		err = db.engine.attached()
	}
	if err == nil {
		err = db.readsTables(ctx) // first: operations would get the same failure
	}
	if err == nil {
		err = db.CheckTables(ctx)
	}
	if err == nil {
		err = db.engine.ready(ctx, db.write.db)
	}
	if err == nil {
		return nil
	}
	f := db.fail(err)
	if f.Kind == ReadOnly {
		f.reading()
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // otherwise nobody waits for the result
		db.found(f)
	}
	return f
}

// readsTables reads no rows from each table. This needs the right to read it.
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

// takesChanges tries statements that change no row, on each table, in a transaction like that of an operation. With
// fill, it also inserts rows and rolls them back.
func (db *DB) takesChanges(ctx context.Context, fill bool) error {
	if db.engine.dialect() == dialect.SQLite && db.write.db.Stats().InUse > 0 {
		return nil // operations that write will report it
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
		// It does not wait for other writers, and writes the rows to the file at once.
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

// fill inserts a row as large as the answer of an operation may be.
func (db *DB) fill(ctx context.Context, tx *sql.Tx) error {
	bytes := make([]byte, fillBytes) // random, so that nothing compresses them
	_, _ = rand.Read(bytes)          // returns no error
	statement, args := entsql.Dialect(db.Dialect()).Insert("idempotency_keys").Columns("id", "request", "data", "at").
		Values(bytes[:32], bytes[32:64], bytes, 0).Query()
	_, err := tx.ExecContext(ctx, statement, args...)
	return err
}

func (db *DB) quote(name string) string {
	return entsql.Dialect(db.Dialect()).String(func(b *entsql.Builder) { b.Ident(name) })
}
