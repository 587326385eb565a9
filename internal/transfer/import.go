package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// ImportOptions say how rows are imported.
type ImportOptions struct {
	// OnConflict says how to treat a row whose ID, username or email the database or an earlier row already has.
	OnConflict directory.OnConflict
	// DryRun does everything, and rolls back.
	DryRun bool
	// Batch is the number of rows for each commit; 0 commits all rows together. A batch never divides a user from the
	// posts that come with it. A dry run is one batch.
	Batch int
	// Tolerant continues after a rejected row. Otherwise the batch with such a row is not imported, and the import
	// ends.
	Tolerant bool
	// Reject is called with the faults of each rejected row. Its error ends the import.
	Reject func([]Fault) error
	// BeforeCommit, when set, is called before each commit; its error ends the import.
	BeforeCommit func() error
	// Progress, when set, is called after each chunk.
	Progress func(Summary)
	// Now is the time of the import.
	Now time.Time
	// IDs creates IDs for rows without one.
	IDs *typeid.Source
}

// A Summary counts rows by outcome.
type Summary struct{ Users, Posts Counts }

// Counts are the numbers of rows by outcome.
type Counts [directory.Outcomes]int

// Rows returns the number of all rows.
func (s Summary) Rows() (n int) {
	for outcome := range s.Users {
		n += s.Users[outcome] + s.Posts[outcome]
	}
	return n
}

// Rejected returns the number of rejected rows.
func (s Summary) Rejected() int { return s.Users[directory.Rejected] + s.Posts[directory.Rejected] }

// ErrRejected is the error of an import that ends with a batch that has a rejected row. The batch is not imported.
var ErrRejected = errors.New("rows are rejected")

// Import writes the rows of a file by the rules of mutations, and records changes. The summary counts the committed
// rows, also when there is an error; in a dry run, it counts the rows that would be committed. The caller in ctx must
// be allowed to create and update users and posts.
//
// One goroutine reads and checks rows. Another writes earlier rows, a few thousand at a time. Each look-up, the
// inserts, the updates and the changes are one statement each.
func Import(ctx context.Context, db *database.DB, r *Reader, o ImportOptions) (Summary, error) {
	if o.DryRun {
		o.Batch = 0
	}
	im := &importer{ImportOptions: o, db: db}
	im.begin(false)
	defer func() { im.tx.Rollback() }() // a closure, because each batch has its own transaction
	// The reader may wait for its input forever, so a cancelled import does not wait for the reader.
	reading, stop := context.WithCancel(ctx)
	defer stop()
	chunks := make(chan chunk, 1)
	go readChunks(reading, r, o.Batch, chunks)
	for {
		select {
		case <-ctx.Done():
			return im.committed, context.Cause(ctx)
		case c := <-chunks:
			switch {
			case errors.Is(c.err, io.EOF):
				return im.committed, nil
			case c.err != nil:
				return im.committed, fmt.Errorf("read: %w", c.err)
			}
			if err := im.write(ctx, c); err != nil {
				return im.committed, err
			}
		}
	}
}

// Bounds of a chunk: large enough for a low cost of statements per row, small enough for memory.
const (
	chunkRows  = 4096
	chunkBytes = 4 << 20 // bytes in arguments of statements; a larger row is a chunk by itself
)

// A chunk has rows that are written together.
type chunk struct {
	rows   []*Row
	commit bool  // the chunk is the last of a batch
	err    error // ends the rows; io.EOF after the last
}

// readChunks reads to the end, or until ctx ends.
func readChunks(ctx context.Context, r *Reader, batch int, out chan<- chunk) {
	send := func(c chunk) bool {
		select {
		case out <- c:
			return true
		case <-ctx.Done():
			return false
		}
	}
	var c chunk
	size, uncommitted := 0, 0
	for {
		row, err := r.Read()
		bytes := 0
		if err == nil {
			bytes = row.record.Size()
		}
		ends := err == nil && batch > 0 && uncommitted >= batch && row.author == nil
		if ends || err != nil || len(c.rows) >= chunkRows || len(c.rows) > 0 && size+bytes > chunkBytes {
			c.commit = ends || errors.Is(err, io.EOF)
			if !send(c) {
				return
			}
			if c.commit {
				uncommitted = 0
			}
			c, size = chunk{}, 0
		}
		if err != nil {
			send(chunk{err: err})
			return
		}
		c.rows = append(c.rows, row)
		size += bytes
		uncommitted++
	}
}

// importer writes chunks in a transaction, and starts another transaction after each commit.
type importer struct {
	ImportOptions
	db        *database.DB
	tx        *directory.Transaction
	counts    Summary // the counts of all rows so far
	committed Summary
}

// begin starts the transaction of the next batch. careful is that of the batch before.
func (im *importer) begin(careful bool) {
	im.tx = directory.New(im.db.Session(database.Write), directory.Options{Clock: func() time.Time { return im.Now }, IDs: im.IDs, Careful: careful})
}

// write imports the rows of a chunk, counts their outcomes, and reports the faults of rejected rows.
func (im *importer) write(ctx context.Context, c chunk) error {
	records := make([]*directory.Record, len(c.rows))
	for i, r := range c.rows {
		records[i], r.record.Invalid = r.record, len(r.Faults) > 0
	}
	if err := im.tx.Import(ctx, records, im.OnConflict); err != nil {
		return err
	}
	before := im.counts.Rejected()
	for _, r := range c.rows {
		counts := &im.counts.Users
		if r.Kind == Posts {
			counts = &im.counts.Posts
		}
		counts[r.record.Outcome]++
		if r.record.Outcome == directory.Rejected {
			r.faults(r.record.Faults)
			if err := im.Reject(r.Faults); err != nil {
				return err
			}
		}
	}
	if im.Progress != nil {
		im.Progress(im.counts)
	}
	if !im.Tolerant && im.counts.Rejected() > before {
		return ErrRejected
	}
	if c.commit {
		return im.commit(ctx)
	}
	return nil
}

func (im *importer) commit(ctx context.Context) error {
	if im.BeforeCommit != nil {
		if err := im.BeforeCommit(); err != nil {
			return err
		}
	}
	if im.DryRun {
		im.tx.Rollback()
	} else if err := im.tx.Commit(ctx, nil); err != nil {
		return err
	}
	im.committed = im.counts
	im.begin(im.tx.Careful())
	return nil
}
