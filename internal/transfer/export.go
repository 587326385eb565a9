package transfer

import (
	"bufio"
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

// exportPage is how many rows one statement reads. Each is short, however slow the reader of the file is.
const exportPage = 2000

// Export writes all users or all posts, in the order of their IDs, as they were at one moment, and returns how many. The
// same data always becomes the same bytes. The caller in ctx must be allowed to read them.
func Export(ctx context.Context, db *database.DB, kind Kind, format Format, w io.Writer) (rows int, err error) {
	if kindOf := map[Kind]string{Users: "User", Posts: "Post"}[kind]; !rules.May(rules.CallerFrom(ctx), rules.Read, kindOf) {
		return 0, &rules.ForbiddenError{Action: rules.Read, Type: kindOf}
	}
	session := db.Session(database.Snapshot)
	defer session.Rollback() // it has changed nothing
	e := &exporter{session: session, table: user.Table, columns: userColumns()}
	if kind == Posts {
		e.table, e.columns = post.Table, postColumns()
	}
	buffered := bufio.NewWriter(w)
	out := newWriter(format, buffered, e.columns)
	out.start()
	for last := (typeid.ID{}); ; {
		n, err := e.page(ctx, &last, out)
		if err != nil {
			return rows, err
		}
		rows += n
		if n < exportPage {
			return rows, buffered.Flush()
		}
	}
}

// A column of an export: its name in files and in the table. A typed zero value tells what it holds.
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
}

// page writes the rows that come after an ID, and moves it to the last of them.
func (e *exporter) page(ctx context.Context, last *typeid.ID, out rowWriter) (n int, err error) {
	t := entsql.Table(e.table)
	q := entsql.Dialect(e.session.Dialect()).Select().From(t).OrderBy(t.C(idField)).Limit(exportPage)
	for _, c := range e.columns {
		q.AppendSelect(t.C(c.name))
	}
	if *last != (typeid.ID{}) {
		q.Where(entsql.GT(t.C(idField), *last))
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
		*last = *values[0].(*typeid.ID) //nolint:errcheck // columns start with the ID
		out.row(texts)
		n++
		return nil
	})
	if err != nil {
		return n, err
	}
	return n, out.err()
}

// values is where a row goes.
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

// text is a value as it stands in a file.
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
