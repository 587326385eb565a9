package query_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// book is an entity, as code is generated for one.
type book struct {
	id       typeid.ID
	title    string
	siblings *query.Group[*book]
}

func books() *query.Entity[book] {
	return &query.Entity[book]{
		Kind: query.NewKind[book, bookWhere](&statement.Table{
			Type: "book", GraphQL: "Book", Name: "books", ID: "id",
			Columns: []statement.Column{{Name: "id", Kind: statement.ID}, {Name: "title", Kind: statement.Text}},
			Orders:  map[string]string{"TITLE": "title"},
		}, ""),
		Scan: func(columns []string) ([]any, error) {
			destinations := map[string]any{"id": new(typeid.ID), "title": new(sql.NullString)}
			values := make([]any, len(columns))
			for i, name := range columns {
				values[i] = destinations[name]
			}
			return values, nil
		},
		Assign: func(b *book, _ []string, values []any) error {
			for _, value := range values {
				switch v := value.(type) {
				case *typeid.ID:
					b.id = v.As("book")
				case *sql.NullString:
					b.title = v.String
				}
			}
			return nil
		},
		Value: func(b *book, column string) any {
			if column == "title" {
				return b.title
			}
			return b.id
		},
		ID:       func(b *book) typeid.ID { return b.id },
		Siblings: func(b *book) *query.Group[*book] { return b.siblings },
	}
}

// bookWhere is the filter of books.
type bookWhere struct {
	Title   *query.TextFilter
	And, Or []bookWhere
	Not     *bookWhere
}

func (w bookWhere) Conditions(f *query.FilterBuilder) []query.Condition {
	return []query.Condition{f.Text("title", "title", func(s string) string { return s }, w.Title)}
}

func (w bookWhere) Logic() (and, or []bookWhere, not *bookWhere) { return w.And, w.Or, w.Not }

// openLibrary returns a new database with three books.
func openLibrary(ctx context.Context, directory string) (*database.DB, error) {
	db, err := database.Open(ctx, database.Options{
		URL: "sqlite:" + filepath.Join(directory, "books.db"), MaxConnections: 1, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	session := db.Session(database.Write)
	err = errors.Join(
		session.Exec(ctx, "CREATE TABLE books (id blob PRIMARY KEY, title text NOT NULL)", []any{}, nil),
		session.Exec(ctx, "INSERT INTO books VALUES (randomblob(16), 'Emma'), (randomblob(16), 'Ulysses'), (randomblob(16), 'Middlemarch')", []any{}, nil),
		session.Commit(),
	)
	return db, err
}

// Pages of the books whose titles contain "mm" or "ss", in the order of their titles.
func Example() {
	directory, err := os.MkdirTemp("", "books")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // it is below the directory for temporary files
	ctx := rules.WithCaller(context.Background(), rules.Everyone())
	db, err := openLibrary(ctx, directory)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	session := db.Session(database.Snapshot)
	defer session.Rollback()

	reader := query.Reader[book]{
		Entity: books(), Driver: session, Root: new(query.Root),
		Attach: func(b *book, siblings *query.Group[*book]) { b.siblings = siblings },
	}
	one, mm, ss := 1, "mm", "ss"
	where := &bookWhere{Or: []bookWhere{{Title: &query.TextFilter{Contains: &mm}}, {Title: &query.TextFilter{Contains: &ss}}}}
	args := query.Args{First: &one}
	for more := true; more; {
		page, err := query.ReadPage(ctx, reader, "Books", query.All, args, where, []query.Order[book]{{Field: "TITLE", Direction: query.Desc}})
		if err != nil {
			panic(err)
		}
		for _, b := range page.Nodes() {
			fmt.Println(b.title)
		}
		args.After, more = page.PageInfo().EndCursor, page.PageInfo().HasNextPage
	}
	// Output:
	// Ulysses
	// Emma
}
