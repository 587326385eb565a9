package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/typeid"
)

// TestPlans reads from a large database what should cost as much as it returns, however much there is: pages in each
// single order, of all and of the children of many parents, and by each filter that an index serves.
func TestPlans(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		l := newLibrary(t, e)
		l.orders()
		l.filters()
		l.nested()
	})
}

// library is a database with many users and as many posts.
type library struct {
	*testing.T
	db    *database.DB
	size  int
	start time.Time // of the first user and the first post; each after that is a second later
}

const (
	prolific     = 50   // users with many posts; all others have one or two or none
	written      = 200  // how many
	simultaneous = 2000 // users and posts in the middle that were made at one moment, as an import does
)

func newLibrary(t *testing.T, e dbtest.Engine) *library {
	t.Helper()
	l := &library{T: t, db: migrated.Open(t, e), size: 20_000, start: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	if e == dbtest.PostgreSQL { // where the plan depends on it the most
		l.size = 100_000
	}
	random := rand.New(rand.NewPCG(1, 1))
	step := l.size / prolific / written
	l.fill("users", []string{"username", "username_key", "email", "email_key"}, func(i int) []any {
		name := l.name(i)
		return []any{name, name, name + "@example.com", name + "@example.com"}
	})
	l.fill("posts", []string{"title", "title_key", "body", "author_id"}, func(i int) []any {
		author := random.IntN(l.size)
		if i%step == 0 {
			author = i / step % prolific
		}
		return []any{l.name(i), l.name(i), "Some text.", l.id("user", author)}
	})
	for _, table := range []string{"users", "posts"} {
		analyze := "ANALYZE " + table
		if l.db.Dialect() == dialect.MySQL {
			analyze = "ANALYZE TABLE " + table
		}
		w := &watched{Session: l.db.Session(database.Write)}
		if err := errors.Join(w.each(t.Context(), analyze, []any{}, func(*sql.Rows) error { return nil }), w.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// id is the ID of the row of a number.
func (*library) id(kind string, i int) typeid.ID {
	var u uuid.UUID
	u[3], u[4], u[5], u[6], u[8] = byte(i>>16), byte(i>>8), byte(i), 0x70, 0x80
	return typeid.New(kind, u)
}

// name is a text that no other row has, in no order.
func (*library) name(i int) string { return fmt.Sprintf("%08x", uint32(i)*2654435761) }

// at is when a row was made.
func (l *library) at(i int) time.Time {
	if middle := l.size / 2; middle < i && i < middle+simultaneous {
		i = middle
	}
	return l.start.Add(time.Duration(i) * time.Second)
}

// fill puts rows into a table.
func (l *library) fill(table string, columns []string, row func(i int) []any) {
	l.Helper()
	const together = 1000
	s := l.db.Session(database.Write)
	defer s.Rollback()
	for from := 0; from < l.size; from += together {
		insert := sql.Dialect(l.db.Dialect()).Insert(table).Columns(append([]string{"id", "created_at", "updated_at", "version"}, columns...)...)
		for i := from; i < from+together; i++ {
			insert.Values(append([]any{l.id(strings.TrimSuffix(table, "s"), i), l.at(i), l.at(l.size - 1 - i), 1}, row(i)...)...)
		}
		query, args := insert.Query()
		if err := s.Exec(l.Context(), query, args, nil); err != nil {
			l.Fatal(err)
		}
	}
	if err := s.Commit(); err != nil {
		l.Fatal(err)
	}
}

// allowance is what reads may cost.
type allowance struct {
	rows  int  // that are read, where the engine counts them
	sorts bool // whether what was found may be sorted, and does not come in order
}

// watched is a session that finds out what each statement costs before it runs it, with the same arguments.
type watched struct {
	*database.Session
	allowance
	read   int
	faults []string
}

// Query implements dialect.Driver.
func (w *watched) Query(ctx context.Context, query string, args, v any) error {
	explain := map[string]func(context.Context, string, any) error{
		dialect.Postgres: w.explainPostgreSQL, dialect.MySQL: w.explainMySQL, dialect.SQLite: w.explainSQLite,
	}[w.Dialect()]
	if err := explain(ctx, query, args); err != nil {
		return err
	}
	return w.Session.Query(ctx, query, args, v)
}

// each runs a statement and hands out its rows.
func (w *watched) each(ctx context.Context, query string, args any, row func(*sql.Rows) error) error {
	rows := new(sql.Rows)
	if err := w.Session.Query(ctx, query, args, rows); err != nil {
		return err
	}
	var err error
	for err == nil && rows.Next() {
		err = row(rows)
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// explainPostgreSQL counts the rows that the scans of a statement read, whether they are used then or not.
func (w *watched) explainPostgreSQL(ctx context.Context, query string, args any) error {
	type node struct {
		Type     string  `json:"Node Type"`
		Rows     float64 `json:"Actual Rows"`
		Filtered float64 `json:"Rows Removed by Filter"`
		Checked  float64 `json:"Rows Removed by Index Recheck"`
		Loops    float64 `json:"Actual Loops"`
		Plans    []json.RawMessage
	}
	var walk func(text json.RawMessage) error
	walk = func(text json.RawMessage) error {
		var n node
		if err := json.Unmarshal(text, &n); err != nil {
			return err
		}
		switch n.Type {
		case "Seq Scan":
			w.faults = append(w.faults, "reads the whole table")
		case "Index Scan", "Index Only Scan", "Bitmap Heap Scan":
			w.read += int((n.Rows + n.Filtered + n.Checked) * n.Loops)
		}
		for _, p := range n.Plans {
			if err := walk(p); err != nil {
				return err
			}
		}
		return nil
	}
	return w.each(ctx, "EXPLAIN (ANALYZE, FORMAT JSON) "+query, args, func(rows *sql.Rows) error {
		var text []byte
		var plans []struct{ Plan json.RawMessage }
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &plans); err != nil {
			return err
		}
		return walk(plans[0].Plan)
	})
}

// explainMySQL counts the rows that a statement reads from tables and from what it has put aside.
func (w *watched) explainMySQL(ctx context.Context, query string, args any) error {
	count := func() (n int, err error) {
		err = w.each(ctx, "SHOW SESSION STATUS LIKE 'Handler_read%'", []any{}, func(rows *sql.Rows) error {
			var name string
			var reads int
			err := rows.Scan(&name, &reads)
			n += reads
			return err
		})
		return n, err
	}
	before, err := count()
	if err != nil {
		return err
	}
	if err := w.each(ctx, query, args, func(*sql.Rows) error { return nil }); err != nil {
		return err
	}
	after, err := count()
	w.read += after - before
	return err
}

// explainSQLite finds what reads a whole table, or sorts. That of the pages of all parents, which have their order from
// an index each, is on top of the plan.
func (w *watched) explainSQLite(ctx context.Context, query string, args any) error {
	pages := strings.Contains(query, "json_each")
	return w.each(ctx, "EXPLAIN QUERY PLAN "+query, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return err
		}
		scans := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "INDEX")
		sorts := strings.Contains(detail, "TEMP B-TREE") && !w.sorts && (!pages || parent != 0)
		if scans || sorts {
			w.faults = append(w.faults, detail)
		}
		return nil
	})
}

// reads runs the reads of one operation.
func (l *library) reads(name string, allowed allowance, f func(context.Context, *ent.Client) error) {
	l.Helper()
	w := &watched{Session: l.db.Session(database.Snapshot), allowance: allowed}
	defer w.Rollback()
	if err := f(rules.WithCaller(l.Context(), rules.Everyone()), ent.NewClient(ent.Driver(w))); err != nil {
		l.Fatalf("%s: %v", name, err)
	}
	if w.read > allowed.rows {
		l.Errorf("%s: reads %d rows, want at most %d", name, w.read, allowed.rows)
	}
	for _, fault := range w.faults {
		l.Errorf("%s: %s", name, fault)
	}
}

// pageSize is how many rows the pages of these tests have. They are read with one more, to know whether there are others,
// and with the one of the cursor.
const pageSize = 10

// pageReader reads a page. A time narrows it to the rows from then on.
type pageReader func(ctx context.Context, c *ent.Client, args query.Args, from *time.Time) (info *query.PageInfo, found int, err error)

// pages reads the first page, the last, and those on both sides of a row that is deep in the connection, and on both
// sides of one in the middle of the table, around which many have the same time; only the ends when deep is 0.
func (l *library) pages(name string, rows, deep int, page pageReader) {
	l.Helper()
	n, some := pageSize, 100
	var cursors [2]*string
	l.reads(name, allowance{rows: 1 << 30, sorts: true}, func(ctx context.Context, c *ent.Client) error {
		for at := 0; at < deep; at += some {
			some = min(some, deep-at)
			info, _, err := page(ctx, c, query.Args{First: &some, After: cursors[0]}, nil)
			if err != nil {
				return err
			}
			cursors[0] = info.EndCursor
		}
		from := l.at(l.size / 2)
		info, _, err := page(ctx, c, query.Args{First: &some}, &from)
		if err == nil {
			cursors[1] = info.EndCursor
		}
		return err
	})
	for where, args := range map[string]query.Args{
		"first": {First: &n}, "last": {Last: &n},
		"after": {First: &n, After: cursors[0]}, "before": {Last: &n, Before: cursors[0]},
		"after others of its time": {First: &n, After: cursors[1]}, "before others of its time": {Last: &n, Before: cursors[1]},
	} {
		if deep == 0 && where != "first" && where != "last" {
			continue
		}
		l.reads(name+", "+where, allowance{rows: rows}, func(ctx context.Context, c *ent.Client) error {
			_, found, err := page(ctx, c, args, nil)
			if err == nil && found != pageSize {
				err = fmt.Errorf("got %d rows on a page, want a full page", found)
			}
			return err
		})
	}
}

// postsFrom is the filter of posts from a time on.
func postsFrom(t *time.Time) *ent.PostWhere {
	if t == nil {
		return nil
	}
	return &ent.PostWhere{CreatedAt: &query.DateTimeFilter{Gte: t}}
}

// orders reads pages of all users and of all posts.
func (l *library) orders() {
	l.Helper()
	for _, direction := range []query.OrderDirection{query.Asc, query.Desc} {
		for _, field := range []ent.UserOrderField{"CREATED_AT", "UPDATED_AT", "USERNAME", "EMAIL"} {
			l.pages(fmt.Sprint("users by ", field, " ", direction), pageSize+2, 1000,
				func(ctx context.Context, c *ent.Client, args query.Args, from *time.Time) (*query.PageInfo, int, error) {
					var where *ent.UserWhere
					if from != nil {
						where = &ent.UserWhere{CreatedAt: &query.DateTimeFilter{Gte: from}}
					}
					p, err := query.ReadPage(ctx, c.User.Reader(), "Users", query.All, args, where, []ent.UserOrder{{Field: field, Direction: direction}})
					if err != nil {
						return nil, 0, err
					}
					return p.PageInfo(), len(p.Nodes()), nil
				})
		}
		for _, field := range []ent.PostOrderField{"CREATED_AT", "UPDATED_AT", "TITLE"} {
			l.pages(fmt.Sprint("posts by ", field, " ", direction), pageSize+2, 1000,
				func(ctx context.Context, c *ent.Client, args query.Args, from *time.Time) (*query.PageInfo, int, error) {
					p, err := query.ReadPage(ctx, c.Post.Reader(), "Posts", query.All, args, postsFrom(from), []ent.PostOrder{{Field: field, Direction: direction}})
					if err != nil {
						return nil, 0, err
					}
					return p.PageInfo(), len(p.Nodes()), nil
				})
		}
	}
}

// nested reads pages of the posts of one user and of many.
func (l *library) nested() {
	l.Helper()
	rows := 1 + pageSize + 2 // the user too
	ofMany := prolific * rows
	if l.db.Dialect() == dialect.MySQL { // which puts them aside, reads them to sort them and reads them again
		ofMany *= 4
	}
	ids := make([]typeid.ID, prolific)
	for i := range ids {
		ids[i] = l.id("user", i)
	}
	for _, direction := range []query.OrderDirection{query.Asc, query.Desc} {
		for _, by := range [][]ent.PostOrder{nil, {{Field: "CREATED_AT"}}, {{Field: "UPDATED_AT"}}, {{Field: "TITLE"}}} {
			for i := range by {
				by[i].Direction = direction
			}
			of := func(users []typeid.ID) pageReader {
				return func(ctx context.Context, c *ent.Client, args query.Args, from *time.Time) (*query.PageInfo, int, error) {
					found, err := c.User.Reader().ByIDs(ctx, query.All, users...)
					if err != nil {
						return nil, 0, err
					}
					p, err := found[users[0]].LoadPosts(ctx, query.All, args, postsFrom(from), by)
					if err != nil {
						return nil, 0, err
					}
					return p.PageInfo(), len(p.Nodes()), nil
				}
			}
			// Many posts are on both sides of the cursors: PostgreSQL, which goes by a sample, would sometimes read all of few.
			l.pages(fmt.Sprint("posts of a user by ", by), rows, written/5, of(ids[:1]))
			l.pages(fmt.Sprint("posts of many users by ", by), ofMany, 0, of(ids)) // whoever goes on from a cursor has one user
		}
	}
}

// filters reads users and posts by each filter that finds few.
func (l *library) filters() {
	l.Helper()
	const few = 400
	text := func(s string) *string { return &s }
	from, to := l.at(5000), l.at(5050)
	times := &query.DateTimeFilter{Gte: &from, Lt: &to}
	var ids, posts []typeid.ID
	for i := range 50 {
		ids, posts = append(ids, l.id("user", prolific+i*i)), append(posts, l.id("post", i*i))
	}
	one := l.id("user", 17)
	prefix := &query.TextFilter{StartsWith: text(l.name(3)[:4])}
	for name, where := range map[string]ent.UserWhere{
		"username starts": {Username: prefix},
		"username is":     {Username: &query.TextFilter{Eq: text(l.name(3))}},
		"username in":     {Username: &query.TextFilter{In: []string{l.name(3), l.name(5)}}},
		"email starts":    {Email: prefix},
		"ID is":           {ID: &query.IDFilter{Eq: &ids[0]}},
		"ID in":           {ID: &query.IDFilter{In: ids}},
		"created":         {CreatedAt: times},
		"updated":         {UpdatedAt: times},
	} {
		l.reads("users: "+name, allowance{few, true}, func(ctx context.Context, c *ent.Client) error {
			p, err := query.ReadPage(ctx, c.User.Reader(), "Users", query.All, query.Args{}, &where, nil)
			if err == nil && len(p.Nodes()) == 0 {
				err = errors.New("found none")
			}
			return err
		})
	}
	for name, where := range map[string]ent.PostWhere{
		"title starts": {Title: prefix},
		"ID is":        {ID: &query.IDFilter{Eq: &posts[0]}},
		"ID in":        {ID: &query.IDFilter{In: posts}},
		"author is":    {AuthorID: &query.IDFilter{Eq: &one}},
		"author in":    {AuthorID: &query.IDFilter{In: ids}},
		"created":      {CreatedAt: times},
		"updated":      {UpdatedAt: times},
	} {
		l.reads("posts: "+name, allowance{few, true}, func(ctx context.Context, c *ent.Client) error {
			p, err := query.ReadPage(ctx, c.Post.Reader(), "Posts", query.All, query.Args{}, &where, nil)
			if err == nil && len(p.Nodes()) == 0 {
				err = errors.New("found none")
			}
			return err
		})
	}
}
