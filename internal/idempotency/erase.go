package idempotency

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// erased is the data of an erased answer. No mutation has it. A server of an older release sends it, which is valid.
const erased = "null"

// ErrErased is the error of a key whose answer was erased with the data of a person. The request took effect once, and
// must not be executed again.
var ErrErased = errors.New("the answer of the idempotency key was erased")

// An Answer is a stored answer.
type Answer struct {
	At        time.Time // the claim of its key, in microseconds
	Authority string    // as in Request; empty if a server of an older release stored it
	Data      []byte    // JSON

	id []byte
}

// Texts returns all texts in the data: the strings that are values, at every depth. The error says that the data is not
// JSON.
func (a *Answer) Texts() ([]string, error) {
	var data any
	if err := json.Unmarshal(a.Data, &data); err != nil {
		return nil, fmt.Errorf("idempotency: a stored answer: %w", err)
	}
	return texts(nil, data), nil
}

func texts(list []string, value any) []string {
	switch v := value.(type) {
	case string:
		return append(list, v)
	case []any:
		for _, element := range v {
			list = texts(list, element)
		}
	case map[string]any:
		for _, member := range v {
			list = texts(list, member)
		}
	}
	return list
}

// Bounds of a page of Read.
const (
	firstPage = 16 // answers, while their sizes are unknown
	pageRows  = 200
	pageBytes = 4 << 20 // of data; the answer that exceeds it is the last of its page
)

// errFull ends a page.
var errFull = errors.New("idempotency: the page is full")

// Read calls each with the stored answers that were claimed at or after a time, page by page, the oldest first. It leaves
// out erased answers. The zero time reads all answers. A page has at most 5 MiB of data. The error is that of each or the
// session's.
func Read(ctx context.Context, d dialect.Driver, since time.Time, each func([]Answer) error) error {
	at, id, limit := int64(math.MinInt64), []byte{}, firstPage
	if !since.IsZero() {
		at = since.UnixMicro()
	}
	for {
		var page []Answer
		size := 0
		query, args := entsql.Dialect(d.Dialect()).Select("id", "at", "authority", "data").From(entsql.Table(table)).
			Where(entsql.And(entsql.GTE("at", at), entsql.Or(entsql.GT("at", at), entsql.GT("id", id)), entsql.NEQ("data", []byte(erased)))).
			OrderBy("at", "id").Limit(limit).Query()
		err := database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
			var a Answer
			var authority entsql.NullString
			if err := rows.Scan(&a.id, &at, &authority, &a.Data); err != nil {
				return err
			}
			a.At, a.Authority = time.UnixMicro(at).UTC(), authority.String
			page, id, size = append(page, a), a.id, size+len(a.Data)
			if size > pageBytes {
				return errFull
			}
			return nil
		})
		full := errors.Is(err, errFull)
		if err != nil && !full {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		if err := each(page); err != nil {
			return err
		}
		// A driver reads the rest of a page that it ends early, so look at many answers only if they are small.
		if limit = min(2*limit, pageRows); full {
			limit = firstPage
		}
	}
}

// Last returns the time of the newest claim, or the zero time if there is none.
func Last(ctx context.Context, d dialect.Driver) (time.Time, error) {
	var at entsql.NullInt64
	query, args := entsql.Dialect(d.Dialect()).Select(entsql.Max("at")).From(entsql.Table(table)).Query()
	err := database.Each(ctx, d, query, args, func(rows *entsql.Rows) error { return rows.Scan(&at) })
	if err != nil || !at.Valid {
		return time.Time{}, err
	}
	return time.UnixMicro(at.Int64).UTC(), nil
}

// Erase removes the data and the authority of answers, and returns the number of answers that still had data. The keys
// stay: a request that is sent again gets ErrErased. It would take effect again if its key were deleted.
func Erase(ctx context.Context, session dialect.Driver, answers []Answer) (n int, err error) {
	for i := range answers {
		query, args := entsql.Dialect(session.Dialect()).Update(table).Set("data", []byte(erased)).SetNull("authority").
			Where(entsql.And(entsql.EQ("id", answers[i].id), entsql.NEQ("data", []byte(erased)))).Query()
		changed, err := database.Affected(ctx, session, query, args...)
		if err != nil {
			return n, err
		}
		n += int(changed)
	}
	return n, nil
}

// isErased reports whether data is that of an erased answer.
func isErased(data []byte) bool { return bytes.Equal(data, []byte(erased)) }
