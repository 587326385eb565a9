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
	for _, of := range map[Kind][]string{Users: {"User", "User.identity"}, Posts: {"Post"}}[kind] {
		if err := rules.Permit(ctx, rules.Read, of); err != nil {
			return 0, err
		}
	}
	session := db.Session(database.Snapshot)
	defer session.Rollback() // the session only reads
	e := &exporter{session: session, table: user.Table, columns: userColumns(), ahead: firstPage}
	if kind == Posts {
		e.table, e.columns, e.long = post.Table, postColumns(), post.FieldBody
	}
	return e.export(ctx, format, w)
}

// ExportPostsOf writes the posts of an author as JSON lines, in the order of their IDs, and returns their number. It reads
// in the caller's session. The caller in ctx must be allowed to read all posts.
func ExportPostsOf(ctx context.Context, session *database.Session, author typeid.ID, w io.Writer) (rows int, err error) {
	if err := rules.Permit(ctx, rules.Read, "Post"); err != nil {
		return 0, err
	}
	e := &exporter{session: session, table: post.Table, columns: postColumns(), long: post.FieldBody, ahead: firstPage, author: author}
	return e.export(ctx, JSONLines, w)
}

// export writes the rows page by page, and returns their number.
func (e *exporter) export(ctx context.Context, format Format, w io.Writer) (rows int, err error) {
	var page bytes.Buffer
	write := newWriter(format, &page, e.columns)
	for {
		n, err := e.page(ctx, write)
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
		{statusField, user.FieldStatus},
		{issuerColumn, user.FieldIdentityIssuer},
		{subjectColumn, user.FieldIdentitySubject},
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
	long    string    // the column whose texts can be long, or empty
	author  typeid.ID // the author of the posts; zero for all rows

	last    typeid.ID // the ID of the last row that was read
	lengths []int     // the known lengths of the long texts of the next rows, in bytes
	ahead   int       // the number of rows for the next look
}

// size returns the number of rows of the next page, or 0 after the last page.
func (e *exporter) size(ctx context.Context) (rows int, err error) {
	if e.long == "" {
		return pageRows, nil
	}
	if len(e.lengths) == 0 {
		if err := e.look(ctx); err != nil {
			return 0, err
		}
	}
	total := 0
	for _, length := range e.lengths {
		if total += length; rows > 0 && total > pageBytes {
			break
		}
		rows++
	}
	e.lengths = e.lengths[rows:]
	return rows, nil
}

// look reads the lengths of the next long texts.
func (e *exporter) look(ctx context.Context) error {
	total := 0
	query, args := e.next(e.ahead).SelectExpr(database.OctetLength(e.long)).Query()
	err := database.Each(ctx, e.session, query, args, func(rows *entsql.Rows) error {
		length := 0
		err := rows.Scan(&length)
		e.lengths = append(e.lengths, length)
		total += length
		return err
	})
	// Some engines read a text to find its length, so look at many rows only if they are short.
	if e.ahead = min(2*e.ahead, pageRows); total > pageBytes {
		e.ahead = firstPage
	}
	return err
}

// next selects from the next rows, in the order of their IDs.
func (e *exporter) next(limit int) *entsql.Selector {
	q := entsql.Dialect(e.session.Dialect()).Select().From(entsql.Table(e.table)).OrderBy(idField).Limit(limit)
	if e.last != (typeid.ID{}) {
		q.Where(entsql.GT(idField, e.last))
	}
	if e.author != (typeid.ID{}) {
		q.Where(entsql.EQ(post.FieldAuthorID, e.author))
	}
	return q
}

// page writes the rows of the next page, and returns their number.
func (e *exporter) page(ctx context.Context, write rowWriter) (n int, err error) {
	limit, err := e.size(ctx)
	if err != nil || limit == 0 {
		return 0, err
	}
	q, values, texts := e.next(limit), e.values(), make([]string, len(e.columns))
	for _, c := range e.columns {
		q.AppendSelect(c.name)
	}
	query, args := q.Query()
	err = database.Each(ctx, e.session, query, args, func(rows *entsql.Rows) error {
		if err := rows.Scan(values...); err != nil {
			return err
		}
		for i := range values {
			texts[i] = e.text(e.columns[i].field, values[i])
		}
		write(texts)
		n++
		return nil
	})
	return n, err
}

// values returns the destinations of a row.
func (e *exporter) values() []any {
	values := make([]any, len(e.columns))
	for i, c := range e.columns {
		switch c.field {
		case idField:
			values[i] = &e.last
		case authorIDField:
			values[i] = new(typeid.ID)
		case createdAtField, updatedAtField:
			values[i] = new(time.Time)
		case versionField:
			values[i] = new(int)
		case issuerColumn, subjectColumn:
			values[i] = new(entsql.NullString)
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
	case *entsql.NullString:
		return v.String // empty for NULL: no issuer and no subject is empty
	}
	panic(fmt.Sprintf("transfer: no column is a %T", value))
}
