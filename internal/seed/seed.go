// Package seed fills a database with realistic users and posts, to try Roster out. The rows keep the rules of the API.
// The same options give the same rows on every engine. The package knows neither the command line nor the engines.
package seed

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// Options configure Fill. The same options give the same rows, with the same IDs and times. Only the changes have the
// time Now.
type Options struct {
	// Users is the number of users, up to MaxUsers.
	Users int
	// PostsPerUser is the number of posts of each user, up to MaxPostsPerUser.
	PostsPerUser int
	// Seed is the seed of the random numbers. Different seeds give different data.
	Seed uint64
	// Now is the time of the changes in the feed.
	Now time.Time
	// Progress, when set, is called after each batch with the numbers of users and posts so far.
	Progress func(users, posts int)
}

// Bounds of the options. The names and the times suffice for so many rows.
const (
	MaxUsers        = 1_000_000
	MaxPostsPerUser = 1000
)

// Epoch returns the latest time that a row can have. Users are created in the first four of the five years before it.
// Their posts follow, up to Epoch.
func Epoch() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

const (
	year   = 365 * 24 * time.Hour
	past   = 5 * year
	coming = 4 * year
)

// batchRows is the number of rows in a batch.
const batchRows = 1000

// ErrThere is the error of a user that the database already has. The error around it names the user.
var ErrThere = errors.New("exists already: seed an empty database")

// Fill creates users and posts in one transaction, with a change for each. If it fails, it creates none. The caller in
// ctx must be allowed to create both.
func Fill(ctx context.Context, db *database.DB, o Options) error {
	f := newFiller(o)
	f.tx = directory.New(db.Session(database.Write), directory.Options{Clock: func() time.Time { return o.Now }, IDs: f.ids})
	defer f.tx.Rollback() // without effect after the commit
	switch err := f.users(ctx); {
	case errors.Is(err, ErrThere):
		return err
	case err != nil:
		return fmt.Errorf("create users: %w", err)
	}
	if err := f.posts(ctx); err != nil {
		return fmt.Errorf("create posts: %w", err)
	}
	return f.tx.Commit(ctx, nil)
}

// filler creates users and posts in the order of their times. So their IDs have the same order.
type filler struct {
	Options
	tx     *directory.Transaction
	random *rand.Rand
	people *people
	texts  *texts
	ids    *typeid.Source
	now    int64 // the time of the current row, in microseconds

	authors []author
	made    int // the number of posts so far
	batch   []*directory.Record
}

// author has the values of a user that its posts need.
type author struct {
	id    typeid.ID
	since int64
	crowd *crowd
}

func newFiller(o Options) *filler {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], o.Seed)
	source := rand.NewChaCha8(key)
	f := &filler{Options: o, random: rand.New(source)} //nolint:gosec // G404: it has to come out the same every time
	f.people, f.texts = newPeople(f.random), newTexts(f.random)
	f.ids = typeid.NewSource(func() time.Time { return time.UnixMicro(f.now) }, source)
	return f
}

// users creates all users, at equal intervals with random deviations.
func (f *filler) users(ctx context.Context) error {
	f.authors = make([]author, 0, f.Users)
	start := Epoch().Add(-past).UnixMicro()
	slot := coming.Microseconds() / int64(max(f.Users, 1))
	for i := range f.Users {
		f.now = start + slot*int64(i) + f.random.Int64N(slot)
		p, id := f.people.next(), f.ids.New(user.Label)
		f.authors = append(f.authors, author{id: id, since: f.now, crowd: p.crowd})
		record, faults := directory.UserRecord(id, p.username, p.email, f.history())
		if err := f.add(ctx, record, faults); err != nil {
			return err
		}
	}
	return f.write(ctx)
}

// posts creates all posts. Each author writes from its creation on, at equal intervals with random deviations.
func (f *filler) posts(ctx context.Context) error {
	next := make(queue, 0, len(f.authors))
	if f.PostsPerUser > 0 {
		for i := range f.authors {
			next = append(next, f.plan(draft{author: &f.authors[i]}))
		}
	}
	heap.Init(&next)
	for len(next) > 0 {
		d := next[0]
		f.now = d.at
		title, body := f.texts.post(d.author.crowd)
		history := f.history()
		record, faults := directory.PostRecord(f.ids.New(post.Label), d.author.id, nil, title, body, history)
		f.made++
		if err := f.add(ctx, record, faults); err != nil {
			return err
		}
		if d.number++; d.number == f.PostsPerUser {
			heap.Pop(&next)
			continue
		}
		next[0] = f.plan(d)
		heap.Fix(&next, 0)
	}
	return f.write(ctx)
}

// add adds a record to the batch, and writes a full batch.
func (f *filler) add(ctx context.Context, r *directory.Record, faults rules.Faults) error {
	f.batch = append(f.batch, r)
	if err := faults.Err(); err != nil || len(f.batch) < batchRows {
		return err
	}
	return f.write(ctx)
}

// write writes the batch. The error is ErrThere when the database has one of the users.
func (f *filler) write(ctx context.Context) error {
	if len(f.batch) == 0 {
		return nil
	}
	if err := f.tx.Import(ctx, f.batch, directory.Fail); err != nil {
		return err
	}
	for _, r := range f.batch {
		switch u := r.User(); {
		case r.Outcome == directory.Created:
		case u != nil:
			return fmt.Errorf("the user %s (%s) %w", u.Username, u.Email, ErrThere)
		default:
			return r.Faults
		}
	}
	f.batch = f.batch[:0]
	if f.Progress != nil {
		f.Progress(len(f.authors), f.made)
	}
	return nil
}

// history returns the times and the version of the current row. Most rows have never changed.
func (f *filler) history() directory.History {
	h := directory.History{CreatedAt: moment(f.now), UpdatedAt: moment(f.now), Version: 1}
	if f.random.IntN(5) == 0 {
		h.Version, h.UpdatedAt = 2+f.random.IntN(4), moment(f.now+1+f.random.Int64N(Epoch().UnixMicro()-f.now))
	}
	return h
}

func moment(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

// draft is the next post of an author.
type draft struct {
	author *author
	number int // the index among the author's posts, from 0
	at     int64
}

// plan returns a draft with its time.
func (f *filler) plan(d draft) draft {
	slot := (Epoch().UnixMicro() - d.author.since) / int64(f.PostsPerUser)
	d.at = d.author.since + slot*int64(d.number) + f.random.Int64N(slot)
	return d
}

// queue is a heap of the drafts of all authors, the earliest first.
type queue []draft

var _ heap.Interface = (*queue)(nil)

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), q[i].author.id.Compare(q[j].author.id)) < 0
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(draft)) } //nolint:errcheck // nothing else is in it

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
