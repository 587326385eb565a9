package statement

import (
	"sync"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// Texts keeps the texts of statements of one table with the same columns and the same column of their parents. The
// arguments of such a statement are IDs, texts of Among and positions in the order of the IDs. Other statements have no text
// there. The zero Texts is empty, and can be used by several goroutines at once.
type Texts struct {
	mu     sync.RWMutex
	byForm map[form]string
}

// maxTexts is the greatest number of texts. A source of statements needs one or two.
const maxTexts = 8

// form is what the text of a statement depends on, beside its table and columns.
type form struct {
	dialect, among string
	values         int // of the list: none, one, or two for many
	limit          int
	ordered, desc  bool
	after, before  bool
}

// form returns the form of a statement. ok is false if the text depends on more.
func (s *Select) form(d string) (f form, ok bool) {
	f = form{dialect: d, limit: s.Limit, after: s.After != nil, before: s.Before != nil}
	switch {
	case s.Filter != nil || s.Count || s.Lock, len(s.Order) > 1, len(s.Order) == 1 && s.Order[0].Column != s.Table.ID:
		return f, false
	case s.Parents != nil:
		f.values = min(len(s.Parents.IDs), 2)
	case s.IDs != nil:
		f.values = min(len(s.IDs), 2)
	case s.Among != nil:
		f.among, f.values = s.Among.Column, min(len(s.Among.Texts), 2)
	default:
		f.values = -1
	}
	if len(s.Order) == 1 {
		f.ordered, f.desc = true, s.Order[0].Desc
	}
	return f, f.values != 0 && (f.values < 2 || d != dialect.MySQL) // its lists and unions have many lengths
}

// args returns the arguments of a statement with a form, in the order of the text: the list, then the positions.
func (s *Select) args(d string) (args []any, err error) {
	switch {
	case s.Parents != nil && s.Limit > 0 && d == dialect.SQLite: // a page has a list for a single parent too
		args, err = listed(d, func(b *sql.Builder) { listOf(s.Parents.IDs).json(b) })
	case s.Parents != nil:
		args, err = arguments(d, s.Parents.IDs)
	case s.IDs != nil:
		args, err = arguments(d, s.IDs)
	case s.Among != nil:
		args, err = arguments(d, s.Among.Texts)
	}
	return append(append(args, s.After...), s.Before...), err
}

// arguments returns the arguments of In.
func arguments[T typeid.ID | string](d string, values []T) ([]any, error) {
	if len(values) == 1 {
		return []any{values[0]}, nil
	}
	return listed(d, func(b *sql.Builder) { b.Join(In("", values)) })
}

// listed returns the arguments of what write writes.
func listed(d string, write func(*sql.Builder)) ([]any, error) {
	b := &sql.Builder{}
	b.SetDialect(d)
	write(b)
	_, args := b.Query()
	return args, b.Err()
}

func (t *Texts) get(f form) (string, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	text, ok := t.byForm[f]
	return text, ok
}

func (t *Texts) add(f form, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byForm == nil {
		t.byForm = map[form]string{}
	}
	if len(t.byForm) < maxTexts {
		t.byForm[f] = text
	}
}
