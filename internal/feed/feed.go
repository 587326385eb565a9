// Package feed is the change feed: what was created, updated and deleted, in one order for every reader, with nothing
// missing and nothing twice.
//
// A transaction writes its changes last, when it holds the locks of all that it changed: of two changes of which one
// was built on the other, the second is inserted after the first is committed, and has the higher ID. Transactions that
// have nothing to do with each other commit in any order, so the IDs of what is committed have gaps that fill later, and
// no reader can go by them. Committed changes therefore get a number, in the order of their IDs, by whoever holds the
// lock of the feed's row; the numbers are without gaps, only grow, and are the order of the feed. On SQLite, where a
// transaction that writes is alone, it numbers its changes itself.
//
// The package knows the database, and neither ent nor GraphQL.
package feed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A Kind says what happened to the thing that changed.
type Kind string

// The kinds.
const (
	Created Kind = "created"
	Updated Kind = "updated"
	Deleted Kind = "deleted"
)

// A Change is one thing that happened to one entity.
type Change struct {
	// Cursor is the place in the feed; Write ignores it.
	Cursor  Cursor
	NodeID  typeid.ID
	Kind    Kind
	Version int       // that the change made; of something deleted, the last that there was
	Fields  []string  // the names in GraphQL of what an update changed
	At      time.Time // in microseconds
	Actor   string    // the subject who made the change; empty without authentication
}

// The tables.
const (
	changesTable = "changes"
	feedTable    = "feed"
)

// State is the feed's row.
type State struct {
	epoch        string
	last, pruned int64
}

// End is the cursor after which there is nothing yet.
func (s *State) End() Cursor { return Cursor{epochOf(s.epoch), s.last} }

// ReadState reads the feed's row: in a session of several statements, as it was when the snapshot was taken. All changes
// up to its end were committed by then.
func ReadState(ctx context.Context, d dialect.Driver) (*State, error) {
	s := &State{}
	return s, one(ctx, d, "SELECT epoch, last, pruned FROM "+feedTable+" WHERE id = 1", nil, &s.epoch, &s.last, &s.pruned)
}

// from checks a cursor and returns the number after which to read; nil starts with the oldest change that is kept.
func (s *State) from(after *Cursor) (int64, error) {
	switch {
	case after == nil:
		return s.pruned, nil
	case after.epoch != epochOf(s.epoch), after.number > s.last, after.number < s.pruned:
		return 0, ErrExpired
	}
	return after.number, nil
}

// window is how many numbers a page looks at: a filter that lets few through costs no more, and the reader goes on from
// the end of the page.
const window = 10_000

// A Request asks for changes.
type Request struct {
	After *Cursor // nil: from the oldest that is kept
	First int     // at most so many
	// Types are the types of entities, such as user; nil for all.
	Types []string
	// NodeIDs are the entities; nil for all.
	NodeIDs []typeid.ID
}

// A Page is a part of the feed.
type Page struct {
	Changes  []Change
	End      Cursor // where to go on
	CaughtUp bool   // nothing was left behind the page
}

// Read reads a page in two statements. The error is ErrExpired when the changes after the cursor cannot be told.
func Read(ctx context.Context, d dialect.Driver, r Request) (*Page, error) {
	state, err := ReadState(ctx, d)
	if err != nil {
		return nil, err
	}
	return state.read(ctx, d, r)
}

// read reads a page up to the end that the state says, in one statement.
func (s *State) read(ctx context.Context, d dialect.Driver, r Request) (*Page, error) {
	from, err := s.from(r.After)
	if err != nil {
		return nil, err
	}
	to := min(from+window, s.last)
	page := &Page{CaughtUp: to == s.last}
	epoch := epochOf(s.epoch)
	query, args := r.statement(d.Dialect(), from, to)
	err = database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
		c, err := scan(rows, epoch)
		page.Changes = append(page.Changes, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(page.Changes) > r.First {
		page.Changes, page.CaughtUp = page.Changes[:r.First], false
		to = page.Changes[r.First-1].Cursor.number
	}
	page.End = Cursor{epoch, to}
	return page, nil
}

// statement selects one more than asked for, to know whether there are more.
func (r Request) statement(d string, from, to int64) (query string, args []any) {
	t := entsql.Table(changesTable)
	q := entsql.Dialect(d).Select("number", "type", "node_id", "kind", "version", "fields", "at", "actor").From(t).
		Where(entsql.And(entsql.GT("number", from), entsql.LTE("number", to))).OrderBy("number").Limit(r.First + 1)
	if r.Types != nil {
		q.Where(statement.InTexts("type", r.Types))
	}
	if r.NodeIDs != nil {
		q.Where(statement.In("node_id", r.NodeIDs))
	}
	return q.Query()
}

func scan(rows *entsql.Rows, epoch epoch) (Change, error) {
	c := Change{Cursor: Cursor{epoch: epoch}}
	var kind, fields string
	var at int64
	var actor entsql.NullString
	err := rows.Scan(&c.Cursor.number, &kind, &c.NodeID, &c.Kind, &c.Version, &fields, &at, &actor)
	c.NodeID = c.NodeID.As(kind)
	c.At = time.UnixMicro(at).UTC()
	c.Actor = actor.String
	if fields != "" {
		c.Fields = strings.Split(fields, ",")
	}
	return c, err
}

// one reads a row that is there.
func one(ctx context.Context, d dialect.Driver, query string, args []any, into ...any) error {
	exists := false
	err := database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
		exists = true
		return rows.Scan(into...)
	})
	if err == nil && !exists {
		return fmt.Errorf("feed: no row: %s", query)
	}
	return err
}
