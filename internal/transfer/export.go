package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	entsql "entgo.io/ent/dialect/sql"

	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/typeid"
)

// Bounds of a page.
const (
	pageRows  = 2000
	firstPage = 100     // rows, while the length of their texts is unknown
	pageBytes = 4 << 20 // bytes of long texts; a longer row is a page by itself
)

// Export writes all users or all posts of one snapshot, in the order of their IDs, and returns their number. The same
// data always gives the same bytes. The caller in ctx must be allowed to read them.
func Export(ctx context.Context, db *database.DB, kind Kind, format Format, w io.Writer) (rows int, err error) {
	if err := rules.Permit(ctx, rules.Read, map[Kind]string{Users: "User", Posts: "Post"}[kind]); err != nil {
		return 0, err
	}
	session := db.Session(database.Snapshot)
	defer session.Rollback() // the session only reads
	e := &exporter{session: session, table: user.Table, columns: userColumns(), ahead: firstPage}
	if kind == Posts {
		e.table, e.columns, e.long = post.Table, postColumns(), post.FieldBody
	}
	var page bytes.Buffer
	out := newWriter(format, &page, e.columns)
	out.start()
	for {
		last, err := e.page(ctx)
		if err != nil {
			return rows, err
		}
		n, err := e.read(ctx, last, out)
		if err != nil {
			return rows, err
		}
		rows += n
		if _, err := page.WriteTo(w); err != nil || n == 0 {
			return rows, err
		}
	}
}

// A column of an export has a name in files and a name in the table.
type column struct{ field, name string }

func userColumns() []column {
	return []column{
		{idField, user.FieldID},
		{usernameField, user.FieldUsername},
		{emailField, user.FieldEmail},
		{createdAtField, user.FieldCreatedAt},
		{updatedAtField, user.FieldUpdatedAt},
		{versionField, user.FieldVersion},
	}
}

func postColumns() []column {
	return []column{
		{idField, post.FieldID},
		{authorIDField, post.FieldAuthorID},
		{titleField, post.FieldTitle},
		{bodyField, post.FieldBody},
		{createdAtField, post.FieldCreatedAt},
		{updatedAtField, post.FieldUpdatedAt},
		{versionField, post.FieldVersion},
	}
}

type exporter struct {
	session *database.Session
	table   string
	columns []column
	long    string // the column whose texts can be long, or empty

	last  typeid.ID // the ID of the last row that was read
	next  []length  // the known lengths of the next rows
	ahead int       // the number of rows for the next look
}

// length is the length of a row's long text, in bytes.
type length struct {
	id    typeid.ID
	bytes int
}

// page returns the last ID of the next page, or the zero ID after the last page.
func (e *exporter) page(ctx context.Context) (last typeid.ID, err error) {
	if len(e.next) == 0 {
		if err := e.look(ctx); err != nil {
			return last, err
		}
	}
	total := 0
	for i, row := range e.next {
		if total += row.bytes; i > 0 && total > pageBytes {
			break
		}
		last = row.id
	}
	return last, nil
}

// look reads the lengths of the next rows.
func (e *exporter) look(ctx context.Context) error {
	t := entsql.Table(e.table)
	q := e.after(t).Limit(e.ahead).Select(t.C(idField))
	if e.long != "" {
		q.AppendSelectExpr(database.OctetLength(t.C(e.long)))
	}
	query, args := q.Query()
	total := 0
	err := database.Each(ctx, e.session, query, args, func(rows *entsql.Rows) error {
		var row length
		into := []any{&row.id}
		if e.long != "" {
			into = append(into, &row.bytes)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		e.next = append(e.next, row)
		total += row.bytes
		return nil
	})
	// Some engines read a text to find its length, so look at many rows only if they are short.
	if e.ahead = min(2*e.ahead, pageRows); total > pageBytes {
		e.ahead = firstPage
	}
	return err
}

// after selects the rows after the last one that was read, in the order of their IDs.
func (e *exporter) after(t *entsql.SelectTable) *entsql.Selector {
	q := entsql.Dialect(e.session.Dialect()).Select().From(t).OrderBy(t.C(idField))
	if e.last != (typeid.ID{}) {
		q.Where(entsql.GT(t.C(idField), e.last))
	}
	return q
}

// read writes the rows of a page. last is the last ID of the page.
func (e *exporter) read(ctx context.Context, last typeid.ID, out rowWriter) (n int, err error) {
	if last == (typeid.ID{}) {
		return 0, nil
	}
	t := entsql.Table(e.table)
	q := e.after(t).Where(entsql.LTE(t.C(idField), last))
	for _, c := range e.columns {
		q.AppendSelect(t.C(c.name))
	}
	query, args := q.Query()
	values, texts := e.values(), make([]string, len(e.columns))
	err = database.Each(ctx, e.session, query, args, func(rows *entsql.Rows) error {
		if err := rows.Scan(values...); err != nil {
			return err
		}
		for i := range values {
			texts[i] = e.text(e.columns[i].field, values[i])
		}
		out.row(texts)
		n++
		return nil
	})
	e.last, e.next = last, e.next[min(n, len(e.next)):]
	return n, err
}

// values returns the destinations of a row.
func (e *exporter) values() []any {
	values := make([]any, len(e.columns))
	for i, c := range e.columns {
		switch c.field {
		case idField, authorIDField:
			values[i] = new(typeid.ID)
		case createdAtField, updatedAtField:
			values[i] = new(time.Time)
		case versionField:
			values[i] = new(int)
		default:
			values[i] = new(string)
		}
	}
	return values
}

// text returns a value as text for a file.
func (e *exporter) text(field string, value any) string {
	switch v := value.(type) {
	case *typeid.ID:
		kind := user.Label
		if field == idField && e.table == post.Table {
			kind = post.Label
		}
		return v.As(kind).String()
	case *time.Time:
		return v.UTC().Format(rules.TimeFormat)
	case *int:
		return strconv.Itoa(*v)
	case *string:
		return *v
	}
	panic(fmt.Sprintf("transfer: no column is a %T", value))
}
