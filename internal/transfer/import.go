package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/typeid"
)

// OnConflict says what becomes of a row whose ID, username or email is in the database already, or stood in the file
// before.
type OnConflict string

// What becomes of it.
const (
	Fail   OnConflict = "fail"   // it is rejected
	Skip   OnConflict = "skip"   // it is left out
	Update OnConflict = "update" // what is there gets its values
)

// ImportOptions say how rows are imported.
type ImportOptions struct {
	OnConflict OnConflict
	// DryRun does everything and takes it back.
	DryRun bool
	// Batch is after how many rows to commit; 0 commits all of them together. A user and the posts that stand with it are
	// never parted. A dry run is one batch.
	Batch int
	// Tolerant goes on after a rejected row. Without it, the batch with such a row is not imported, and the import ends.
	Tolerant bool
	// Reject is called with the faults of each rejected row. Its error ends the import.
	Reject func([]Fault) error
	// BeforeCommit, when set, is called before each commit; its error ends the import.
	BeforeCommit func() error
	// Progress, when set, is called from time to time.
	Progress func(Summary)
	// Now is when it happens.
	Now time.Time
	// IDs gives the IDs of what has none.
	IDs *typeid.Source
}

// A Summary is what became of the rows.
type Summary struct{ Users, Posts Counts }

// Counts are numbers of rows.
type Counts struct{ Created, Updated, Unchanged, Skipped, Rejected int }

// Rows is how many rows there were.
func (s Summary) Rows() int { return s.Users.rows() + s.Posts.rows() }

// Rejected is how many rows were rejected.
func (s Summary) Rejected() int { return s.Users.Rejected + s.Posts.Rejected }

func (c Counts) rows() int { return c.Created + c.Updated + c.Unchanged + c.Skipped + c.Rejected }

// ErrRejected is the error of an import that takes none of a batch because a row of it is rejected.
var ErrRejected = errors.New("rows are rejected")

// Import writes the rows of a file, each by the rules of a mutation, and a change for each. The summary is of what is
// committed (of what would be, in a dry run), also when there is an error; what is not committed has not happened. The
// caller in ctx must be allowed to create and update users and posts.
//
// One goroutine reads and checks rows while another one writes those before, a few thousand at a time: look-ups of what
// is there, inserts, updates and changes are a statement each. Rows are decided on in the order of the file, so that the
// outcome is that of one after the other.
func Import(ctx context.Context, db *database.DB, r *Reader, o ImportOptions) (Summary, error) {
	for _, kind := range []string{"User", "Post"} {
		for _, action := range []rules.Action{rules.Create, rules.Update} {
			if !rules.May(rules.CallerFrom(ctx), action, kind) {
				return Summary{}, &rules.ForbiddenError{Action: action, Type: kind}
			}
		}
	}
	if o.DryRun {
		o.Batch = 0
	}
	o.Now = o.Now.UTC().Truncate(time.Microsecond)
	im := &importer{ImportOptions: o, db: db, session: db.Session(database.Write)}
	defer func() { im.session.Rollback() }() // what is not committed
	// The reader may wait for its input for ever: an import that is given up does not wait for it.
	reading, stop := context.WithCancel(ctx)
	defer stop()
	chunks := make(chan chunk, 1)
	go readChunks(reading, r, o.Batch, chunks)
	for {
		select {
		case <-ctx.Done():
			return im.committed, context.Cause(ctx)
		case c := <-chunks:
			end, err := im.take(ctx, c)
			if err != nil || end {
				return im.committed, err
			}
		}
	}
}

// Bounds of a chunk: enough for statements to be cheap for each row, and few enough for memory.
const (
	chunkRows  = 4096
	chunkBytes = 4 << 20 // as arguments of statements; a row with more is a chunk by itself
)

// A chunk is rows that are written together.
type chunk struct {
	rows   []*Row
	commit bool  // a batch ends with it
	err    error // io.EOF after the last; no rows then
}

// readChunks reads to the end, or until nobody wants any more.
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
			bytes = row.size()
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

// importer writes chunks in a session, and starts another one after each commit.
type importer struct {
	ImportOptions
	db        *database.DB
	session   *database.Session
	counts    Summary // of all rows so far
	committed Summary
}

// take writes a chunk; end reports whether it was the last.
func (im *importer) take(ctx context.Context, c chunk) (end bool, err error) {
	if errors.Is(c.err, io.EOF) {
		return true, nil
	}
	if c.err != nil {
		return true, fmt.Errorf("read: %w", c.err)
	}
	rejected := im.counts.Rejected()
	if err := im.write(ctx, c.rows); err != nil {
		return true, err
	}
	if im.Progress != nil {
		im.Progress(im.counts)
	}
	if !im.Tolerant && im.counts.Rejected() > rejected {
		return true, ErrRejected
	}
	if c.commit {
		return false, im.commit()
	}
	return false, nil
}

func (im *importer) commit() error {
	if im.BeforeCommit != nil {
		if err := im.BeforeCommit(); err != nil {
			return err
		}
	}
	if im.DryRun {
		im.session.Rollback()
	} else if err := im.session.Commit(); err != nil {
		return err
	}
	im.committed = im.counts
	im.session = im.db.Session(database.Write)
	return nil
}
