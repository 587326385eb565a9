package graph_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"entgo.io/ent/dialect/sql"

	"roster/internal/dbtest"
)

// spot is a connection in the data: a page of all rows of a kind, or of the children of one row.
type spot struct {
	*edge
	parent *row // nil at the root
}

// spots returns all connections of the world, each edge for a few parents.
func (w *world) spots() (list []spot) {
	for _, k := range w.kinds {
		all := func(*row) []*row { return k.rows }
		list = append(list, spot{edge: &edge{name: w.page(k).Name, to: k, many: true, rows: all}})
		for _, e := range k.edges {
			if e.many {
				for _, parent := range k.rows[:min(3, len(k.rows))] {
					list = append(list, spot{e, parent})
				}
			}
		}
	}
	return list
}

// slice is a page as a client sees it.
type slice struct {
	Edges []struct {
		Cursor string
		Node   struct{ ID string }
	}
	Nodes    []struct{ ID string }
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
	TotalCount int
}

func (p *slice) ids() []string {
	list := make([]string, len(p.Edges))
	for i, e := range p.Edges {
		list[i] = e.Node.ID
	}
	return list
}

// listing is a connection with a filter and an order, to be read page by page.
type listing struct {
	*tester
	world *world
	spot
	where   map[string]any
	orderBy []any
}

// page reads a page; arguments are pairs of names and values.
func (q *listing) page(arguments ...any) *slice {
	q.Helper()
	of := q.to.Name
	connection := `page: ` + q.name + `(first: $first, after: $after, last: $last, before: $before, where: $where, orderBy: $orderBy) {
		edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount }`
	parameters := `$first: Int, $after: String, $last: Int, $before: String, $where: ` + of + `Where, $orderBy: [` + of + `Order!]`
	document := "query (" + parameters + ") { " + connection + " }"
	variables := append([]any{"where", q.where, "orderBy", q.orderBy}, arguments...)
	var found struct {
		Page *slice
		Node struct{ Page *slice }
	}
	if q.parent != nil {
		document = "query ($id: ID!, " + parameters + ") { node(id: $id) { ... on " + q.parent.Name + " { " + connection + " } } }"
		variables = append(variables, "id", q.parent.id.String())
	}
	q.must(&found, document, variables...)
	p := found.Page
	if q.parent != nil {
		p = found.Node.Page
	}
	for i, e := range p.Edges {
		if len(p.Nodes) != len(p.Edges) || p.Nodes[i] != e.Node {
			q.Fatalf("nodes are %v, edges %v", p.Nodes, p.Edges)
		}
	}
	var start, end *string
	if n := len(p.Edges); n > 0 {
		start, end = &p.Edges[0].Cursor, &p.Edges[n-1].Cursor
	}
	if !equal(p.PageInfo.StartCursor, start) || !equal(p.PageInfo.EndCursor, end) {
		q.Fatalf("the cursors of the page are %v, but its edges %v", p.PageInfo, p.Edges)
	}
	return p
}

func equal(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// all is what the pages, joined, have to be: all rows that match, in order.
func (q *listing) all() []string {
	r := &reader{world: q.world}
	order := q.world.order(q.orderBy)
	rows := slices.DeleteFunc(slices.Clone(q.rows(q.parent)), func(n *row) bool { return !r.matches(n, q.where) })
	slices.SortFunc(rows, order.compare)
	ids := make([]string, len(rows))
	for i, n := range rows {
		ids[i] = n.id.String()
	}
	return ids
}

// walk reads all pages in a direction and calls between before each but the first.
func (q *listing) walk(forward bool, size func() int, between func(last string)) (ids []string) {
	q.Helper()
	count, cursor := "last", "before"
	if forward {
		count, cursor = "first", "after"
	}
	var at *string
	for {
		n := size()
		p := q.page(count, n, cursor, at)
		found, more, other := p.ids(), p.PageInfo.HasPreviousPage, p.PageInfo.HasNextPage
		next := p.PageInfo.StartCursor
		if forward {
			more, other, next = other, more, p.PageInfo.EndCursor
			ids = append(ids, found...)
		} else {
			ids = append(found, ids...)
		}
		if other != (at != nil) || more && len(found) != n || len(found) > n {
			q.Fatalf("%v: a page of %d from %v has %d rows, and %+v", q, n, at, len(found), p.PageInfo)
		}
		if !more {
			return ids
		}
		at = next
		if between != nil {
			between(found[len(found)-1])
		}
	}
}

func (q *listing) String() string {
	return fmt.Sprintf("%s of %v, where %v, by %v", q.name, q.parent, q.where, q.orderBy)
}

// queries calls f with random connections, filters and orders.
func queries(t *testing.T, e dbtest.Engine, rounds int, f func(q *listing, random *rand.Rand)) {
	t.Helper()
	s := serve(t, e, settings{})
	w := newWorld(t, *seed)
	w.fillRandom(t, 80)
	w.insert(s)
	random := rand.New(rand.NewPCG(*seed, 1))
	a := newAuthor(w, random, newCursors())
	for range rounds {
		q := &listing{tester: s, world: w, spot: pick(random, w.spots()...)}
		if random.IntN(2) == 0 {
			q.where = a.where(q.to, 2)
		}
		if random.IntN(4) > 0 {
			q.orderBy = a.orderBy(q.to)
		}
		f(q, random)
		if t.Failed() {
			t.Fatalf("that was with -seed=%d", *seed)
		}
	}
}

// TestPagesJoined reads random connections page by page. The pages, joined, are the sorted, filtered list; those read
// backward are the same as those read forward; and a page between two cursors is what lies between them.
func TestPagesJoined(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		queries(t, e, 40, func(q *listing, random *rand.Rand) {
			want := q.all()
			size := func() int { return 1 + random.IntN(1+max(len(want)/2, 1)) }
			for _, forward := range []bool{true, false} {
				if got := q.walk(forward, size, nil); !slices.Equal(got, want) {
					t.Errorf("%v, forward %t\nfound %v\nwant  %v", q, forward, got, want)
				}
			}
			whole := q.page("first", 100)
			if !slices.Equal(whole.ids(), want) || whole.TotalCount != len(want) || whole.PageInfo.HasNextPage || whole.PageInfo.HasPreviousPage {
				t.Errorf("%v\ngot  %v of %d and %+v\nwant %v", q, whole.ids(), whole.TotalCount, whole.PageInfo, want)
				return
			}
			for range 4 {
				if len(want) == 0 {
					break
				}
				from, to, n := random.IntN(len(want)), random.IntN(len(want)), size()
				between := want[min(from+1, to):to]
				first := q.page("after", whole.Edges[from].Cursor, "before", whole.Edges[to].Cursor, "first", n)
				if cut := between[:min(n, len(between))]; !slices.Equal(first.ids(), cut) ||
					first.PageInfo.HasNextPage != (n < len(between)) || !first.PageInfo.HasPreviousPage || first.TotalCount != len(want) {
					t.Errorf("%v, the first %d between %d and %d\ngot  %v and %+v\nwant %v", q, n, from, to, first.ids(), first.PageInfo, cut)
				}
				last := q.page("after", whole.Edges[from].Cursor, "before", whole.Edges[to].Cursor, "last", n)
				if cut := between[max(len(between)-n, 0):]; !slices.Equal(last.ids(), cut) ||
					last.PageInfo.HasPreviousPage != (n < len(between)) || !last.PageInfo.HasNextPage {
					t.Errorf("%v, the last %d between %d and %d\ngot  %v and %+v\nwant %v", q, n, from, to, last.ids(), last.PageInfo, cut)
				}
			}
		})
	})
}

// TestPagesWhileOthersWrite reads random connections page by page while rows come, go and change between the pages. A
// row that matches all the time with the same values is there exactly once, and none comes twice that did not change.
func TestPagesWhileOthersWrite(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		queries(t, e, 25, func(q *listing, random *rand.Rand) {
			forward := random.IntN(2) == 0
			stable := q.all()
			changed := map[string]bool{}
			got := q.walk(forward, func() int { return 1 + random.IntN(1+len(stable)/4) }, func(last string) {
				for range 1 + random.IntN(3) {
					id := q.change(random, last)
					changed[id] = true
				}
				stable = slices.DeleteFunc(stable, func(id string) bool { return changed[id] })
			})
			unchanged := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !slices.Contains(stable, id) })
			if !slices.Equal(unchanged, stable) {
				t.Errorf("%v, forward %t\nfound %v\nwant  %v\nin    %v", q, forward, unchanged, stable, got)
			}
			for _, id := range got {
				if n := count(got, id); n > 1 && !changed[id] {
					t.Errorf("%v, forward %t: got %s %d times, want it once", q, forward, id, n)
				}
			}
		})
	})
}

func count(list []string, id string) (n int) {
	for _, other := range list {
		if other == id {
			n++
		}
	}
	return n
}

// change inserts, deletes or updates a row of the kind that is read, now and then the one that was read last, and
// returns its ID, and empty when it inserted one.
func (q *listing) change(random *rand.Rand, last string) (id string) {
	q.Helper()
	k := q.to
	r := pick(random, k.rows...)
	if found := q.world.byID[last]; found != nil && random.IntN(3) == 0 {
		r = found
	}
	d := sql.Dialect(q.db.Dialect())
	switch {
	case random.IntN(3) == 0 && len(k.rows) < 90:
		r = q.world.add(q.T, k, func(_ string, of *kind, _ bool) *row {
			if q.parent != nil && of == q.parent.kind {
				return q.parent
			}
			return pick(random, of.rows...)
		})
		q.world.write(q.tester, func(exec func(string, []any)) { exec(insertRows(q.tester, []*row{r})) })
		return ""
	case random.IntN(3) == 0 && r != q.parent && q.world.lone(r):
		k.rows = slices.DeleteFunc(k.rows, func(other *row) bool { return other == r })
		q.world.write(q.tester, func(exec func(string, []any)) {
			exec(d.Delete(k.table.Name).Where(sql.EQ("id", r.id)).Query())
		})
	default:
		update := d.Update(k.table.Name).Where(sql.EQ("id", r.id))
		for _, c := range k.table.Columns {
			if c.Name == "id" || q.world.refers(k, c) || folds(k, c) != "" || random.IntN(2) == 0 {
				continue
			}
			q.world.set(q.T, r, c)
			for _, name := range []string{c.Name, c.Name + "_key"} {
				if v, ok := r.values[name]; ok {
					update.Set(name, v)
				}
			}
		}
		if !update.Empty() {
			q.world.write(q.tester, func(exec func(string, []any)) { exec(update.Query()) })
		}
	}
	return r.id.String()
}

// lone reports whether nothing refers to a row.
func (w *world) lone(r *row) bool {
	for _, k := range w.kinds {
		for _, other := range k.rows {
			for _, parent := range other.parent {
				if parent == r {
					return false
				}
			}
		}
	}
	return !slices.ContainsFunc(w.joins, func(j *join) bool {
		return slices.ContainsFunc(j.pairs, func(p [2]*row) bool { return p[0] == r || p[1] == r })
	})
}
