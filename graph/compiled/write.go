package compiled

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"

	"entgo.io/ent/dialect"

	"roster/ent/query"
	"roster/internal/budget"
	"roster/internal/typeid"
)

// Run answers a request: it returns the data. The caller is in ctx, and so is the budget of the answer, if there is one.
// With an error there is no data, and the statements of the driver's transaction may have failed.
func (o *Options) Run(ctx context.Context, p *Plan, driver dialect.Driver, variables map[string]any) (data []byte, err error) {
	defer func() {
		if value := recover(); value != nil {
			data, err = nil, &PanicError{value, debug.Stack()}
		}
	}()
	r := &run{
		options: o, ctx: ctx, driver: driver, answer: budget.FromContext(ctx), variables: variables, asking: newAsking(ctx),
	}
	if err := r.check(p); err != nil {
		return nil, err
	}
	r.out = make([]byte, 0, min(p.longest.Load()*9/8+64, maxAhead))
	if err := writeRoot(r, p.fields); err != nil {
		return nil, err
	}
	if err := r.charge(); err != nil {
		return nil, err
	}
	p.longest.Store(int64(len(r.out)))
	return r.out, nil
}

// maxAhead is the greatest size of the memory for an answer before it is written, in bytes.
const maxAhead = 128 << 10

// A PanicError is a recovered panic with its stack.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("compiled: panic: %v", e.Value) }

func writeRoot(r *run, fields selection[rootValue]) error {
	for _, s := range fields.steps {
		r.out = append(r.out, s.text...)
		if err := s.value.writeRoot(r); err != nil {
			return err
		}
	}
	r.out = append(r.out, fields.tail...)
	return nil
}

// chargeEvery is the number of bytes that are charged at a time.
const chargeEvery = 4 << 10

// charge charges the bytes that were written since to the budget.
func (r *run) charge() error {
	n := len(r.out) - r.charged
	r.charged = len(r.out)
	return r.answer.Write(int64(n))
}

// written charges what was written, if that is much.
func (r *run) written() error {
	if len(r.out)-r.charged < chargeEvery {
		return nil
	}
	return r.charge()
}

// write writes an object of a row.
func (o *object) write(r *run, rows *rows, row int) error {
	for i := range o.fields.steps {
		s := &o.fields.steps[i]
		r.out = append(r.out, s.text...)
		if err := s.value.write(r, rows, row); err != nil {
			return err
		}
	}
	r.out = append(r.out, o.fields.tail...)
	return r.written()
}

func (r *run) null(nonNull bool) error {
	if nonNull {
		return errWrong
	}
	r.out = append(r.out, "null"...)
	return nil
}

func (c cellValue) write(r *run, rows *rows, row int) error {
	r.out = append(r.out, rows.cell(row, int(c))...)
	return r.written() // a large text may be selected under many names
}

func (p *parts) write(r *run, rows *rows, row int) error {
	for _, cell := range p.cells {
		if text := rows.cell(row, cell); text[0] == 'n' { // a text has a quote there
			return r.null(false)
		}
	}
	if !p.visible(r, rows, row) {
		return r.null(false)
	}
	for _, s := range p.fields.steps {
		r.out = append(append(r.out, s.text...), rows.cell(row, s.value)...)
	}
	r.out = append(r.out, p.fields.tail...)
	return nil
}

func (o *toOne) write(r *run, rows *rows, row int) error {
	r.ask(o.place, load{rows: rows, one: true, slot: o.source.slot})
	found, err := r.one(o, rows)
	if err != nil {
		return err
	}
	id := rows.ids[row]
	if o.edge.Column != "" {
		id = rows.refs[row*rows.source.refs+o.ref]
	}
	at := found.find(id)
	if at < 0 {
		return r.null(o.nonNull)
	}
	return o.object.write(r, found, at)
}

// A view is a page of a connection.
type view struct {
	connection *connection
	page       *query.Page
	children   *children
	slot       int
	// The row to which the page belongs, if it has one.
	parents *rows
	parent  int
}

func (c *connection) writeRoot(r *run) error {
	r.ask(c.place, load{place: c.place})
	found, page, err := r.all(c)
	if err != nil {
		return err
	}
	return c.writeView(r, &view{connection: c, page: page, children: found})
}

func (c *connection) write(r *run, rows *rows, row int) error {
	r.ask(c.place, load{rows: rows, slot: r.pages[c.index].rows.slot})
	found, page, err := r.load(c, rows)
	if err != nil {
		return err
	}
	return c.writeView(r, &view{connection: c, page: page, children: found, slot: found.slot(rows.ids[row]), parents: rows, parent: row})
}

func (c *connection) writeView(r *run, v *view) error {
	for _, s := range c.fields.steps {
		r.out = append(r.out, s.text...)
		if err := s.value.writePage(r, v); err != nil {
			return err
		}
	}
	r.out = append(r.out, c.fields.tail...)
	return r.written()
}

// len returns the number of nodes of the page.
func (v *view) len() int { return v.children.start[v.slot+1] - v.children.start[v.slot] }

// row returns the row of the node with an index.
func (v *view) row(i int) int {
	if v.page.Backward() {
		i = v.len() - 1 - i
	}
	i += v.children.start[v.slot]
	if v.children.order != nil {
		return v.children.order[i]
	}
	return i
}

func (n nodesList) writePage(r *run, v *view) error {
	r.out = append(r.out, '[')
	for i := range v.len() {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		if err := n.write(r, v.children.rows, v.row(i)); err != nil {
			return err
		}
	}
	r.out = append(r.out, ']')
	return nil
}

func (e edgesList) writePage(r *run, v *view) error {
	r.out = append(r.out, '[')
	for i := range v.len() {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		row := v.row(i)
		for _, s := range e.fields.steps {
			r.out = append(r.out, s.text...)
			if s.value == nil {
				r.cursor(v, row)
				continue
			}
			if err := s.value.write(r, v.children.rows, row); err != nil {
				return err
			}
		}
		r.out = append(r.out, e.fields.tail...)
		if err := r.written(); err != nil {
			return err
		}
	}
	r.out = append(r.out, ']')
	return nil
}

// cursor writes the cursor of a row.
func (r *run) cursor(v *view, row int) {
	r.out = append(v.page.AppendCursor(append(r.out, '"'), v.children.position(row)), '"')
}

func (p pageInfo) writePage(r *run, v *view) error {
	n := v.len()
	if v.children.more[v.slot] {
		n++
	}
	_, next, previous := v.page.Cut(n)
	for _, s := range p.fields.steps {
		r.out = append(r.out, s.text...)
		switch {
		case s.value == hasNextPage:
			r.bool(next)
		case s.value == hasPreviousPage:
			r.bool(previous)
		case v.len() == 0:
			r.out = append(r.out, "null"...)
		case s.value == startCursor:
			r.cursor(v, v.row(0))
		case s.value == endCursor:
			r.cursor(v, v.row(v.len()-1))
		}
	}
	r.out = append(r.out, p.fields.tail...)
	return nil
}

func (r *run) bool(b bool) {
	if b {
		r.out = append(r.out, "true"...)
	} else {
		r.out = append(r.out, "false"...)
	}
}

func (t totalCount) writePage(r *run, v *view) error {
	l := load{place: t.place}
	if t.parents != nil {
		l = load{rows: v.parents, count: true, slot: r.pages[t.index].counts.slot}
	}
	r.ask(t.place, l)
	n, err := r.count(t.connection, v)
	r.out = strconv.AppendInt(r.out, int64(n), 10)
	return err
}

// rootArguments are the checked arguments of a rootArgs: IDs or a search.
type rootArguments struct {
	ids    []typeid.ID
	search Search
}

func (b *byID) check(r *run) (of rootArguments, err error) {
	args, err := r.arguments(b.field)
	if err != nil {
		return of, err
	}
	of.ids = []typeid.ID{idOfArgument(args["id"])}
	if of.ids[0].Type() != b.source.kind.Type {
		return of, errWrong
	}
	return of, nil
}

func (b *byID) writeRoot(r *run) error {
	return r.entity(b.place, b.object, r.roots[b.index].ids[0], b.field.Definition.Type.NonNull)
}

// idOfArgument returns an ID from an argument. It is zero if it is malformed.
func idOfArgument(value any) (id typeid.ID) {
	_ = id.UnmarshalGQL(value) // it has no error
	return id
}

// entity writes the entity with an ID.
func (r *run) entity(p *place, o *object, id typeid.ID, nonNull bool) error {
	found, err := r.entities(p, o.source, []typeid.ID{id})
	if err != nil {
		return err
	}
	row := found.find(id)
	if row < 0 {
		return r.null(nonNull)
	}
	return o.write(r, found, row)
}

func (s *search) check(r *run) (of rootArguments, err error) {
	args, err := r.arguments(s.field)
	if err != nil {
		return of, err
	}
	of.search, err = s.lookup(r.ctx, args)
	return of, err
}

func (s *search) writeRoot(r *run) error {
	nonNull, what := s.field.Definition.Type.NonNull, &r.roots[s.index].search
	switch {
	case what.ID != typeid.ID{}:
		return r.entity(s.place, s.object, what.ID, nonNull)
	case what.Column == "":
		return r.null(nonNull)
	}
	r.ask(s.place, load{place: s.place})
	row, found, err := r.search(s.source, what)
	switch {
	case err != nil:
		return err
	case row < 0:
		return r.null(nonNull)
	}
	return s.write(r, found, row)
}

// search reads the rows with a text and returns the one that is searched for, or -1.
func (r *run) search(src *source, what *Search) (int, *rows, error) {
	s := src.kind.AnyBy(src.columns|what.Columns, what.Column, what.Texts)
	if what.Choose == nil {
		found, err := r.read(src, s, always, nil)
		if err != nil || len(found.ids) == 0 {
			return -1, nil, err
		}
		return 0, found, nil
	}
	var texts []map[string]string // by row and column
	found, err := r.read(src, s, always, func(values []cell) error {
		row := map[string]string{}
		for i, name := range s.Columns {
			if !what.Columns.Has(src.kind.Table, name) || name == src.kind.ID {
				continue
			}
			var err error
			if row[name], err = textOf(values[i].value); err != nil {
				return err
			}
		}
		texts = append(texts, row)
		return nil
	})
	if err != nil {
		return -1, nil, err
	}
	return what.Choose(len(texts), func(row int, column string) string { return texts[row][column] }), found, nil
}

func (n *nodes) check(r *run) (of rootArguments, err error) {
	args, err := r.arguments(n.field)
	if err != nil {
		return of, err
	}
	list := []any{args["id"]}
	if n.many {
		var ok bool
		if list, ok = args["ids"].([]any); !ok {
			list = []any{args["ids"]} // a single value stands for a list with this value
		}
	}
	if len(list) > query.MaxSize {
		return of, errWrong
	}
	of.ids = make([]typeid.ID, len(list))
	for i, value := range list {
		of.ids[i] = idOfArgument(value)
		if !slices.ContainsFunc(r.options.Kinds, func(k *query.Kind) bool { return k.Type == of.ids[i].Type() }) {
			return of, errWrong
		}
	}
	return of, nil
}

func (n *nodes) writeRoot(r *run) error {
	ids := r.roots[n.index].ids
	found, err := r.nodes(n, ids)
	if err != nil {
		return err
	}
	if n.many {
		r.out = append(r.out, '[')
	}
	for i, id := range ids {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		rows, row := found[id.Type()], -1
		if rows != nil {
			row = rows.find(id)
		}
		if row < 0 {
			r.out = append(r.out, "null"...)
			continue
		}
		if err := n.objects[rows.source.kind].write(r, rows, row); err != nil {
			return err
		}
	}
	if n.many {
		r.out = append(r.out, ']')
	}
	return nil
}

// nodes returns the rows with the IDs, by the types of the IDs. It runs one statement for each type. A caller who may read
// no rows of a type finds none.
func (r *run) nodes(n *nodes, ids []typeid.ID) (map[string]*rows, error) {
	found := map[string]*rows{}
	for _, kind := range r.options.Kinds {
		of := slices.DeleteFunc(slices.Clone(ids), func(id typeid.ID) bool { return id.Type() != kind.Type })
		if len(of) == 0 || kind.Hidden(r.ctx) {
			continue
		}
		var err error
		if found[kind.Type], err = r.entities(n.place, n.objects[kind].source, of); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (c *caller) writeRoot(r *run) error {
	values := r.options.Callers[c.name](r.ctx)
	if values == nil {
		return r.null(false)
	}
	for _, s := range c.fields.steps {
		r.out = append(r.out, s.text...)
		if lookup, ok := s.value.(*search); ok {
			if err := lookup.writeRoot(r); err != nil {
				return err
			}
			continue
		}
		switch v := values[s.value.(string)].(type) {
		case string:
			r.out = appendText(r.out, v)
		case []string:
			r.out = appendTexts(r.out, v)
		default:
			return errWrong
		}
	}
	r.out = append(r.out, c.fields.tail...)
	return nil
}
