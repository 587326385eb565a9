// Package seed fills a database with users and posts to try Roster out: believable ones, the same for the same options
// on every engine, that keep the rules of the API. It knows neither the command line nor the engines.
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
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// Options say what to make. The same options make the same rows, down to IDs and times; only their changes have
// the time Now.
type Options struct {
	// Users is how many, up to MaxUsers.
	Users int
	// PostsPerUser is how many posts each of them writes, up to MaxPostsPerUser.
	PostsPerUser int
	// Seed tells apart data of the same size.
	Seed uint64
	// Now is the time of the changes in the feed.
	Now time.Time
	// Progress, when set, is called with how many users and posts there are after each statement.
	Progress func(users, posts int)
}

// Bounds of the options: what the names and the times suffice for.
const (
	MaxUsers        = 1_000_000
	MaxPostsPerUser = 1000
)

// Epoch is when all that is made lies in the past. Users come in the first four of the five years before it, and write
// from then on.
func Epoch() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

const (
	year   = 365 * 24 * time.Hour
	past   = 5 * year
	coming = 4 * year
)

// batchRows is how many rows are written at a time.
const batchRows = 1000

// ErrThere says that the database has a user already that would be made; the error around it names one.
var ErrThere = errors.New("exists already: seed an empty database")

// Fill makes users and posts, all of them or, when it fails, none: in one transaction, with a change for each. The caller
// in ctx must be allowed to create both.
func Fill(ctx context.Context, db *database.DB, o Options) error {
	f := newFiller(o)
	f.tx = directory.New(db.Session(database.Write), directory.Options{Clock: func() time.Time { return o.Now }, IDs: f.ids})
	defer f.tx.Rollback() // what is not committed below
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

// filler makes users and posts in the order of their times, which so is that of their IDs too.
type filler struct {
	Options
	tx     *directory.Transaction
	random *rand.Rand
	people *people
	texts  *texts
	ids    *typeid.Source
	now    int64 // the time of the row that is made, in microseconds

	authors []author
	made    int // posts
}

// author is a user as its posts need it.
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

// users makes all users, at even distances but for chance.
func (f *filler) users(ctx context.Context) error {
	f.authors = make([]author, 0, f.Users)
	start := Epoch().Add(-past).UnixMicro()
	slot := coming.Microseconds() / int64(max(f.Users, 1))
	for len(f.authors) < f.Users {
		var records []*directory.Record
		for len(records) < batchRows && len(f.authors) < f.Users {
			f.now = start + slot*int64(len(f.authors)) + f.random.Int64N(slot)
			p, id := f.people.next(), f.ids.New(user.Label)
			record, faults := directory.UserRecord(id, p.username, p.email, f.history())
			if err := faults.Err(); err != nil {
				return err
			}
			records = append(records, record)
			f.authors = append(f.authors, author{id: id, since: f.now, crowd: p.crowd})
		}
		if err := f.write(ctx, records); err != nil {
			return err
		}
	}
	return nil
}

// posts makes all posts: each author's at even distances, but for chance, from the day it came.
func (f *filler) posts(ctx context.Context) error {
	next := make(queue, 0, len(f.authors))
	if f.PostsPerUser > 0 {
		for i := range f.authors {
			next = append(next, f.plan(draft{author: &f.authors[i]}))
		}
	}
	heap.Init(&next)
	for len(next) > 0 {
		var records []*directory.Record
		for len(records) < batchRows && len(next) > 0 {
			d := &next[0]
			f.now = d.at
			title, body := f.texts.post(d.author.crowd)
			history := f.history()
			record, faults := directory.PostRecord(f.ids.New(post.Label), d.author.id, nil, title, body, history)
			if err := faults.Err(); err != nil {
				return err
			}
			records = append(records, record)
			f.made++
			if d.number++; d.number == f.PostsPerUser {
				heap.Pop(&next)
				continue
			}
			*d = f.plan(*d)
			heap.Fix(&next, 0)
		}
		if err := f.write(ctx, records); err != nil {
			return err
		}
	}
	return nil
}

// write writes what is made. The error is ErrThere when the database has some of it.
func (f *filler) write(ctx context.Context, records []*directory.Record) error {
	if err := f.tx.Import(ctx, records, directory.Fail); err != nil {
		return err
	}
	for _, r := range records {
		u, is := r.User()
		switch {
		case r.Outcome == directory.Created:
		case is:
			return fmt.Errorf("the user %s (%s) %w", u.Username, u.Email, ErrThere)
		default:
			return r.Faults
		}
	}
	if f.Progress != nil {
		f.Progress(len(f.authors), f.made)
	}
	return nil
}

// history is the times of what is made now, and how often it has changed since: most of it never.
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
	number int // of its posts, from 0
	at     int64
}

// plan says when a post is written.
func (f *filler) plan(d draft) draft {
	slot := (Epoch().UnixMicro() - d.author.since) / int64(f.PostsPerUser)
	d.at = d.author.since + slot*int64(d.number) + f.random.Int64N(slot)
	return d
}

// queue is the drafts of all authors, the earliest first.
type queue []draft

var _ heap.Interface = (*queue)(nil)

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), q[i].author.id.Compare(q[j].author.id)) < 0
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(draft)) } //nolint:errcheck,forcetypeassert // nothing else is in it

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
