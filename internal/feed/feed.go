// Package feed is the change feed: every create, update and delete, in the same order for every reader, each exactly
// once.
//
// A transaction writes a change when it holds the lock of the changed row. If a change depends on an earlier change, it
// is inserted after the earlier one is committed, and so has the higher ID. Independent transactions commit in any
// order. So the IDs of committed changes have gaps that fill later, and a reader cannot use them as a position.
// Therefore committed changes get numbers afterwards, in the order of their IDs. Any server can number them; it must
// hold the lock of the feed's row. The numbers have no gaps and only grow, and they are the order of the feed.
// On SQLite, only one transaction writes at a time, so it numbers its own changes.
//
// The package knows the database, but neither ent nor GraphQL.
package feed

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A Kind says what happened to an entity.
type Kind string

// The kinds.
const (
	Created Kind = "created"
	Updated Kind = "updated"
	Deleted Kind = "deleted"
)

// A Change is one create, update or delete of an entity.
type Change struct {
	// Cursor is the place in the feed; Write ignores it.
	Cursor  Cursor
	NodeID  typeid.ID
	Kind    Kind
	Version int       // the entity's version after the change; for a delete, its last version
	Fields  []string  // the fields that an update changed, by their names in GraphQL
	At      time.Time // in microseconds
	Actor   string    // the subject of the caller; empty without authentication
}

// The tables.
const (
	changesTable = statement.ChangesTable
	feedTable    = statement.FeedTable
	countsTable  = statement.CountsTable
)

// State is the feed's row.
type State struct {
	epoch        string
	last, pruned int64
	counted      entsql.NullInt64 // the counts include the changes up to this number; NULL: the rows were never counted
}

// columns are the columns of a State.
const columns = "epoch, last, pruned, counted"

func (s *State) destinations() []any { return []any{&s.epoch, &s.last, &s.pruned, &s.counted} }

// End returns the cursor after the newest change.
func (s *State) End() Cursor { return Cursor{epochOf(s.epoch), s.last} }

// ReadState reads the feed's row. In a session of several statements, the row is that of the snapshot. All changes up
// to the end of the state were committed by then.
func ReadState(ctx context.Context, d dialect.Driver) (*State, error) {
	s := &State{}
	return s, one(ctx, d, "SELECT "+columns+" FROM "+feedTable+" WHERE id = 1", nil, s.destinations()...)
}

// lock reads the feed's row and locks it until the transaction ends. Meanwhile, no other transaction numbers, counts or
// prunes changes.
func lock(ctx context.Context, tx dialect.Driver) (*State, error) {
	q := entsql.Dialect(tx.Dialect()).Select(strings.Split(columns, ", ")...).From(entsql.Table(feedTable)).Where(entsql.EQ("id", 1))
	statement.Of(tx.Dialect()).Lock(q, false)
	query, args := q.Query()
	s := &State{}
	return s, one(ctx, tx, query, args, s.destinations()...)
}

// save writes the numbers of the feed's row. The transaction must hold its lock. On an engine with signals, the commit sends
// the signal, if there is one.
func (s *State) save(ctx context.Context, tx dialect.Driver, signal string) error {
	return setFeed(ctx, tx, map[string]any{"last": s.last, "pruned": s.pruned, "counted": s.counted}, signal)
}

// setFeed writes columns of the feed's row. On PostgreSQL, the commit sends the signal, if there is one.
func setFeed(ctx context.Context, tx dialect.Driver, values map[string]any, signal string) error {
	q := entsql.Dialect(tx.Dialect()).Update(feedTable).Where(entsql.EQ("id", 1))
	for _, column := range slices.Sorted(maps.Keys(values)) {
		q.Set(column, values[column])
	}
	query, args := q.Query()
	if signal != "" && tx.Dialect() == dialect.Postgres {
		query += fmt.Sprintf(" RETURNING pg_notify($%d, $%d)", len(args)+1, len(args)+2)
		args = append(args, channel, signal)
	}
	_, err := database.Affected(ctx, tx, query, args...)
	return err
}

// from checks a cursor and returns the number after which to read. A nil cursor starts with the oldest change. The
// error is ErrExpired.
func (s *State) from(after *Cursor) (int64, error) {
	switch {
	case after == nil:
		return s.pruned, nil
	case after.epoch != epochOf(s.epoch), after.number > s.last, after.number < s.pruned:
		return 0, ErrExpired
	}
	return after.number, nil
}

// window is the greatest number of changes that a page scans. So a page of a selective filter costs no more than
// others; the reader goes on from the end of the page.
const window = 10_000

// A Request asks for changes.
type Request struct {
	After *Cursor // nil: from the oldest change
	First int     // the greatest number of changes
	// Types are the types of entities, such as user; nil selects all.
	Types []string
	// NodeIDs are the IDs of entities; nil selects all.
	NodeIDs []typeid.ID
	// Actor is the actor of the changes; nil selects all.
	Actor *string
}

// A Page is a part of the feed.
type Page struct {
	Changes  []Change
	End      Cursor // the start of the next page
	CaughtUp bool   // the page ends with the newest change
}

// Read reads a page in two statements. The error is ErrExpired when the database lacks the changes after the cursor.
func Read(ctx context.Context, d dialect.Driver, r Request) (*Page, error) {
	state, err := ReadState(ctx, d)
	if err != nil {
		return nil, err
	}
	return state.read(ctx, d, r)
}

// read reads a page in one statement. The page ends at the end of the state.
func (s *State) read(ctx context.Context, d dialect.Driver, r Request) (*Page, error) {
	from, err := s.from(r.After)
	if err != nil {
		return nil, err
	}
	return readPage(ctx, d, r, epochOf(s.epoch), from, s.last)
}

// readPage reads a page of the changes of an epoch after a number, up to another, in one statement.
func readPage(ctx context.Context, d dialect.Driver, r Request, epoch epoch, from, last int64) (*Page, error) {
	to := min(from+window, last)
	page := &Page{CaughtUp: to == last}
	query, args := r.statement(d.Dialect(), from, to)
	err := database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
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

// statement selects one extra change, which tells whether more follow.
func (r Request) statement(d string, from, to int64) (query string, args []any) {
	t := entsql.Table(changesTable)
	q := entsql.Dialect(d).Select("number", "type", "node_id", "kind", "version", "fields", "at", "actor").From(t).
		Where(entsql.And(entsql.GT("number", from), entsql.LTE("number", to))).OrderBy("number").Limit(r.First + 1)
	if r.Types != nil {
		q.Where(statement.In("type", r.Types))
	}
	if r.NodeIDs != nil {
		q.Where(statement.In("node_id", r.NodeIDs))
	}
	if r.Actor != nil {
		q.Where(by(*r.Actor))
	}
	return q.Query()
}

// by returns the condition that a change has an actor. It compares the length too, because MySQL and MariaDB ignore
// spaces at the end.
func by(actor string) *entsql.Predicate {
	return entsql.And(entsql.EQ("actor", actor), entsql.P(func(b *entsql.Builder) {
		b.Join(database.OctetLength("actor")).WriteString(" = ").Arg(len(actor))
	}))
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

// one reads a row. It returns an error if the row does not exist.
func one(ctx context.Context, d dialect.Driver, query string, args []any, into ...any) error {
	exists, err := some(ctx, d, query, args, into...)
	if err == nil && !exists {
		return fmt.Errorf("feed: no row: %s", query)
	}
	return err
}

// some reads a row, and reports whether it exists.
func some(ctx context.Context, d dialect.Driver, query string, args []any, into ...any) (exists bool, err error) {
	err = database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
		exists = true
		return rows.Scan(into...)
	})
	return exists, err
}
