package query_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// TestPages reads the posts of all users and of each, page by page, in any order, forwards and backwards, on each
// engine: the pages together are what a sorted slice is.
func TestPages(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		rows, authors := fill(t, db)
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 0))
			order := randomOrder(r)
			size := 1 + r.IntN(30)
			backward := r.IntN(2) == 0
			var parents []typeid.ID
			if r.IntN(2) == 0 {
				parents = authors[:1+r.IntN(len(authors))]
			}
			want := map[typeid.ID][]row{}
			for _, row := range sorted(rows, order) {
				author, _ := row["author_id"].(typeid.ID)
				if parents == nil {
					author = typeid.ID{}
				}
				if parents == nil || slices.Contains(parents, author) {
					want[author] = append(want[author], row)
				}
			}
			for parent := range want { // each at its own pace, as clients read
				got := walk(t, db, order, size, backward, parents, parent)
				if !slices.EqualFunc(got, want[parent], func(a, b row) bool { return a["id"] == b["id"] }) {
					t.Errorf("seed %d: %v of %v by %d, backward %t:\n%v\nwant\n%v", seed, order, parent, size, backward, titles(got), titles(want[parent]))
				}
			}
		}
	})
}

func titles(rows []row) string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = fmt.Sprint(r["title_key"], r["created_at"], r["updated_at"], r["id"])
	}
	return strings.Join(list, "\n")
}

// fill creates users and posts with few different titles and times, so that many rows tie.
func fill(t *testing.T, db *database.DB) (rows []row, authors []typeid.ID) {
	t.Helper()
	var records []*directory.Record
	moment := func(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, n*1000, time.UTC) }
	for i := range 3 {
		author := typeid.New("user", uuid.UUID{15: byte(i + 1)})
		records = append(records, fixture.User(t, author, fmt.Sprintf("user%d", i), fixture.At(moment(0))))
		authors = append(authors, author)
	}
	for i := range 70 {
		id, author := typeid.New("post", uuid.UUID{0: byte(i * 37), 15: byte(i + 1)}), authors[i%8/4]
		title, created, updated := []string{"a", "A", "é", "B", "b!"}[i%5], moment(i/3%4), moment(3+i/7%3)
		history := directory.History{CreatedAt: created, UpdatedAt: updated, Version: 1}
		records = append(records, fixture.Post(t, id, author, title, "", history))
		rows = append(rows, row{"id": id, "title_key": rules.FoldTitle(title), "created_at": created, "updated_at": updated, "author_id": author})
	}
	fixture.Write(t, db, records...)
	return rows, authors
}

func randomOrder(r *rand.Rand) []statement.Order {
	columns := []string{"title_key", "created_at", "updated_at", "id"}
	r.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	order := make([]statement.Order, r.IntN(len(columns)+1))
	for i := range order {
		order[i] = statement.Order{Column: columns[i], Desc: r.IntN(2) == 0}
	}
	return order
}

// get is what a row has in a column of the type.
func get[T any](r row, column string) T {
	v, _ := r[column].(T)
	return v
}

// sorted is the rows in an order, ties by the ID in the direction of the last column.
func sorted(rows []row, order []statement.Order) []row {
	tie := statement.Order{Column: "id"}
	if len(order) > 0 {
		tie.Desc = order[len(order)-1].Desc
	}
	return slices.SortedFunc(slices.Values(rows), func(a, b row) int {
		for _, o := range append(slices.Clip(order), tie) {
			c := 0
			switch o.Column {
			case "id":
				c = get[typeid.ID](a, o.Column).Compare(get[typeid.ID](b, o.Column))
			case "title_key":
				c = cmp.Compare(get[string](a, o.Column), get[string](b, o.Column))
			default:
				c = get[time.Time](a, o.Column).Compare(get[time.Time](b, o.Column))
			}
			if o.Desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// walk reads all pages of a connection from one end to the other: those of one parent, together with the pages of the
// other parents after the same cursor.
func walk(t *testing.T, db *database.DB, order []statement.Order, size int, backward bool, parents []typeid.ID, parent typeid.ID) []row {
	t.Helper()
	var all []row
	args := query.Args{First: &size}
	if backward {
		args = query.Args{Last: &size}
	}
	for {
		p, err := query.New("Posts", table(), args, order...)
		if err != nil {
			t.Fatal(err)
		}
		s := p.Rows(query.ColumnsOf(table(), "version"))
		if parents != nil {
			s.Parents = &statement.Parents{IDs: parents, Column: "author_id"}
		}
		found := read(t, db, s)[parent]
		pointers := make([]*row, len(found))
		for i := range found {
			pointers[i] = &found[i]
		}
		cut, info := query.Cut(p, pointers, value)
		var nodes []row
		for _, n := range cut {
			nodes = append(nodes, *n)
		}
		if len(nodes) > size || len(nodes) == 0 && len(all) == 0 {
			t.Fatalf("got %[2]d nodes, want at most %[1]d", size, len(nodes))
		}
		if backward {
			all = append(nodes, all...)
			args.Before = info.StartCursor
		} else {
			all = append(all, nodes...)
			args.After = info.EndCursor
		}
		if more := info.HasNextPage && !backward || info.HasPreviousPage && backward; !more {
			return all
		}
	}
}

// read runs a statement and returns the rows of each parent; those of no parent under the zero ID.
func read(t *testing.T, db *database.DB, s *statement.Select) map[typeid.ID][]row {
	t.Helper()
	found := map[typeid.ID][]row{}
	session := db.Session(database.Single)
	defer session.Rollback()
	text, args, err := s.Build(db.Dialect())
	if err != nil {
		t.Fatal(err)
	}
	rows := new(sql.Rows)
	if err := session.Query(t.Context(), text, args, rows); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for rows.Next() {
		var parent typeid.ID
		var dest []any
		if s.Parents != nil {
			dest = append(dest, &parent)
		}
		for _, name := range s.Columns {
			column, _ := s.Table.Column(name)
			dest = append(dest, map[statement.Kind]any{statement.ID: new(typeid.ID), statement.Text: new(string), statement.Time: new(time.Time), statement.Int: new(int)}[column.Kind])
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		one := row{}
		for i, name := range s.Columns {
			switch v := dest[len(dest)-len(s.Columns)+i].(type) {
			case *typeid.ID:
				one[name] = v.As("post")
			case *string:
				one[name] = *v
			case *time.Time:
				one[name] = v.UTC()
			}
		}
		found[parent.As("user")] = append(found[parent.As("user")], one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
