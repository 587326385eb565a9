package compiled

import (
	"context"
	"math"
	"slices"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/internal/budget"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A run answers one request by a plan.
type run struct {
	options   *Options
	ctx       context.Context
	driver    dialect.Driver
	answer    *budget.Answer
	variables map[string]any

	out     []byte
	charged int // bytes of out that the budget has

	pages []pageOf        // by the indices of the connections
	roots []rootArguments // by the indices of the roots
	found map[foundKey]*rows

	asking *asking // nil if the record of the operation does not ask for fields
}

// A foundKey is equal for equal loads by IDs, which share a statement.
type foundKey struct {
	source *source
	ids    string
}

// A pageOf is a page that a connection asks for. Connections with equal pages share rows, and with equal filters counts:
// those of the first one.
type pageOf struct {
	page          *query.Page
	rows, counts  *connection
	key, countKey string // if there are several connections; the keys of pages are never empty
}

// rows are the rows of one statement. They are siblings: each edge is loaded for all of them.
type rows struct {
	source *source
	ids    []typeid.ID
	refs   []typeid.ID // source.refs of each row
	cells  []byte      // the values as JSON
	spans  []span      // source.cells of each row
	// The positions of the rows, if the source needs them, and the end of each.
	positions []byte
	ends      []int

	byID   map[uuid.UUID]int // by the IDs, or by those of the parents for toOne
	ones   []*rows           // by the slots of the sources
	many   []*children       // by the slots of the connections
	counts []map[typeid.ID]int
}

// A span is a part of the cells. An answer is far below 4 GiB.
type span struct{ from, to uint32 }

func (s *rows) cell(row, cell int) []byte {
	at := s.spans[row*s.source.cells+cell]
	return s.cells[at.from:at.to]
}

func (s *rows) position(row int) []byte {
	from := 0
	if row > 0 {
		from = s.ends[row-1]
	}
	return s.positions[from:s.ends[row]]
}

// children are the pages of rows of some parents.
type children struct {
	*rows

	slots map[uuid.UUID]int // by the parents; nil if there is only one page
	order []int             // the rows of one slot after the other; nil: in their order
	start []int             // by slot, and the end
	more  []bool            // by slot: the statement found one row more than the page has
}

// arguments returns the arguments of a field.
func (r *run) arguments(f *ast.Field) (map[string]any, error) {
	args := make(map[string]any, len(f.Arguments))
	for _, def := range f.Definition.Arguments {
		a := f.Arguments.ForName(def.Name)
		value := def.DefaultValue
		if a != nil {
			if _, given := r.variables[a.Value.Raw]; a.Value.Kind != ast.Variable || given {
				value = a.Value
			}
		}
		if value == nil {
			continue
		}
		v, err := value.Value(r.variables)
		if err != nil {
			return nil, err
		}
		args[def.Name] = v
	}
	return args, nil
}

// check evaluates all arguments. So a request with a wrong argument sends no statement before the resolvers report it.
func (r *run) check(p *Plan) error {
	for _, kind := range p.kinds {
		if err := kind.Readable(r.ctx); err != nil {
			return err
		}
	}
	r.roots = make([]rootArguments, len(p.roots))
	for i, root := range p.roots {
		var err error
		if r.roots[i], err = root.check(r); err != nil {
			return err
		}
	}
	r.pages = make([]pageOf, len(p.connections))
	for _, c := range p.connections {
		if err := r.checkPage(c); err != nil {
			return err
		}
	}
	return nil
}

// checkPage finds the page that a connection asks for.
func (r *run) checkPage(c *connection) error {
	args, err := r.arguments(c.field)
	if err != nil {
		return err
	}
	page, err := c.kind.Page(r.ctx, c.name, args)
	if err != nil {
		return err
	}
	p := &r.pages[c.index]
	*p = pageOf{page: page, rows: c, counts: c}
	if c.parents == nil {
		return nil
	}
	if of := c.source.pages; len(of) > 1 {
		p.key = page.Key()
		p.rows = of[slices.IndexFunc(of, func(other *connection) bool { return r.pages[other.index].key == p.key })]
	}
	if of := c.parents.byEdge[c.edge.Name]; len(of) > 1 {
		p.countKey = page.CountKey()
		p.counts = of[slices.IndexFunc(of, func(other *connection) bool {
			q := &r.pages[other.index]
			return q.page != nil && q.countKey == p.countKey
		})]
	}
	return nil
}

// A column says what to keep of a value.
type column struct {
	kind      statement.Kind
	text      bool // clients see it
	id        bool
	cell, ref int
	append    appender
}

// columnsOf returns what to keep of the columns of a statement.
func (s *source) columnsOf(names []string) []column {
	list := make([]column, len(names))
	for i, name := range names {
		c, at := s.kind.Column(name)
		list[i] = column{
			kind: c.Kind, text: c.Kind == statement.Text && !c.Folded, id: name == s.kind.ID,
			cell: s.cell[at], ref: s.ref[at], append: s.appenders[at],
		}
	}
	return list
}

// BytesPerObject is the approximate memory of an object of the answer beside its data, in bytes.
const BytesPerObject = 512

// bytesPerRow is the approximate memory of a row without its values, in bytes.
const bytesPerRow = 128

// read reads the rows of a statement with the columns of a source, and maybe others. admit is called for each row, with the ID
// of its parent, and reports whether to keep it. look may look at the values of a row that is kept. It may be nil.
func (r *run) read(src *source, s *statement.Select, admit func(parent typeid.ID) bool, look func(values []cell) error) (*rows, error) {
	to := src.newRows(s)
	columns := src.standard
	if len(s.Columns) == len(columns) {
		s.Texts = &src.texts
	} else {
		columns = src.columnsOf(s.Columns)
	}
	values := make([]cell, len(columns))
	dest := make([]any, 0, len(columns)+1)
	var parent typeid.ID
	if s.Parents != nil {
		dest = append(dest, &parent)
	}
	for i := range values {
		dest = append(dest, &values[i])
	}
	var order []int
	if src.positions {
		order = orderOf(s)
	}
	err := src.kind.Read(r.ctx, r.driver, s, func(from *sql.Rows) error {
		if err := from.Scan(dest...); err != nil {
			return err
		}
		if !admit(parent) {
			return r.answer.Row(bytesPerRow, 0)
		}
		if look != nil {
			if err := look(values); err != nil {
				return err
			}
		}
		before := len(to.cells)
		texts, err := to.add(columns, values, order)
		if err != nil {
			return err
		}
		return r.answer.Row(bytesPerRow+int64(len(to.cells)-before), texts)
	})
	src.longest.Store(int64(len(to.cells)))
	return to, err
}

// The greatest number of rows, and of bytes of their cells, for which memory is made before they are read.
const (
	rowsAhead  = 128
	bytesAhead = 32 << 10
)

// newRows returns rows with memory for those of a statement.
func (s *source) newRows(of *statement.Select) *rows {
	n := max(len(of.IDs), of.Limit, 1)
	if of.Parents != nil {
		n *= len(of.Parents.IDs)
	}
	n = min(n, rowsAhead)
	return &rows{
		source: s,
		ids:    make([]typeid.ID, 0, n),
		refs:   make([]typeid.ID, 0, n*s.refs),
		spans:  make([]span, 0, n*s.cells),
		cells:  make([]byte, 0, min(s.longest.Load()*9/8+64, bytesAhead)),
		ones:   make([]*rows, s.ones),
		many:   make([]*children, s.connections),
		counts: make([]map[typeid.ID]int, s.connections),
	}
}

// orderOf returns the indices of the columns of an order in a statement.
func orderOf(s *statement.Select) []int {
	order := make([]int, len(s.Order))
	for i, o := range s.Order {
		for j, name := range s.Columns {
			if name == o.Column {
				order[i] = j
			}
		}
	}
	return order
}

// add adds a row. It returns the bytes of the texts that clients see.
func (s *rows) add(columns []column, values []cell, order []int) (texts int64, err error) {
	spans := len(s.spans)
	for range s.source.cells {
		s.spans = append(s.spans, span{})
	}
	refs := len(s.refs)
	for range s.source.refs {
		s.refs = append(s.refs, typeid.ID{})
	}
	for i := range columns {
		c, value := &columns[i], values[i].value
		if c.cell >= 0 {
			from := len(s.cells)
			if s.cells, err = c.append(s.cells, value); err != nil {
				return 0, err
			}
			if len(s.cells) > math.MaxUint32 {
				return 0, errWrong
			}
			s.spans[spans+c.cell] = span{uint32(from), uint32(len(s.cells))} //nolint:gosec // checked
			if c.text {
				texts += int64(len(s.cells) - from - len(`""`))
			}
		}
		if c.id || c.ref >= 0 {
			var id typeid.ID
			if err := id.Scan(value); err != nil {
				return 0, err
			}
			if c.ref >= 0 {
				s.refs[refs+c.ref] = id
			}
			if c.id {
				s.ids = append(s.ids, id.As(s.source.kind.Type))
			}
		}
	}
	if order == nil {
		return texts, nil
	}
	for _, i := range order {
		if s.positions, err = appendPosition(s.positions, columns[i].kind, values[i].value); err != nil {
			return 0, err
		}
	}
	s.ends = append(s.ends, len(s.positions))
	return texts, nil
}

// appendPosition appends a value of a cursor.
func appendPosition(b []byte, kind statement.Kind, value any) ([]byte, error) {
	switch kind {
	case statement.ID:
		var id typeid.ID
		err := id.Scan(value)
		return query.AppendPosition(b, id), err
	case statement.Text:
		text, err := textOf(value)
		return query.AppendPosition(b, text), err
	case statement.Time:
		if t, ok := value.(time.Time); ok {
			return query.AppendPosition(b, t), nil
		}
	case statement.Int, statement.Bool, statement.Float: // no order has a column of these
	}
	return nil, mistyped(value)
}

func always(typeid.ID) bool { return true }

// index makes the index of the rows by their IDs.
func (s *rows) index() {
	s.byID = make(map[uuid.UUID]int, len(s.ids))
	for i, id := range s.ids {
		s.byID[id.UUID()] = i
	}
}

// find returns the row with an ID, or -1.
func (s *rows) find(id typeid.ID) int {
	if row, ok := s.byID[id.UUID()]; ok {
		return row
	}
	return -1
}

// entities returns the rows with the IDs, for a field. Equal calls share one statement.
func (r *run) entities(p *place, src *source, ids []typeid.ID) (*rows, error) {
	ids = query.Distinct(ids)
	key := foundKey{src, joined(ids)}
	r.ask(p, load{found: key})
	if found := r.found[key]; found != nil {
		return found, nil
	}
	found, err := r.read(src, src.kind.ByIDs(src.columns, ids), always, nil)
	if err != nil {
		return nil, err
	}
	found.index()
	if r.found == nil {
		r.found = map[foundKey]*rows{}
	}
	r.found[key] = found
	return found, nil
}

// joined returns a text that is equal for equal lists of IDs of one type.
func joined(ids []typeid.ID) string {
	b := make([]byte, 0, 16*len(ids))
	for _, id := range ids {
		u := id.UUID()
		b = append(b, u[:]...)
	}
	return string(b)
}

// one returns the rows to which an edge leads from all rows, by their own IDs or by those of their parents.
func (r *run) one(o *toOne, from *rows) (*rows, error) {
	slot := o.source.slot
	if found := from.ones[slot]; found != nil {
		return found, nil
	}
	defer query.Recorded(r.ctx, from.source.kind.GraphQL, o.edge.Name, len(from.ids))()
	kind, columns := o.source.kind, o.source.columns
	var found *rows
	var err error
	if o.edge.Column != "" {
		ids := make([]typeid.ID, len(from.ids))
		for row := range ids {
			ids[row] = from.refs[row*from.source.refs+o.ref].As(kind.Type)
		}
		if found, err = r.read(o.source, kind.ByIDs(columns, query.Distinct(ids)), always, nil); err == nil {
			found.index()
		}
	} else {
		parents := o.edge.Parents
		parents.IDs = query.Distinct(from.ids)
		byParent := make(map[uuid.UUID]int, len(from.ids))
		n := 0
		found, err = r.read(o.source, kind.Children(columns, parents), func(parent typeid.ID) bool {
			byParent[parent.UUID()] = n
			n++
			return true
		}, nil)
		found.byID = byParent
	}
	from.ones[slot] = found
	return found, err
}

// all returns the page of a connection without parents.
func (r *run) all(c *connection) (*children, *query.Page, error) {
	page := r.pages[c.index].page
	found, err := r.readPages(c, page, nil)
	return found, page, err
}

// load returns the pages of a connection for all rows.
func (r *run) load(c *connection, from *rows) (*children, *query.Page, error) {
	of := &r.pages[c.index]
	slot := of.rows.slot
	if found := from.many[slot]; found != nil {
		return found, of.page, nil
	}
	defer query.Recorded(r.ctx, from.source.kind.GraphQL, c.edge.Name, len(from.ids))()
	found, err := r.readPages(c, of.page, query.Distinct(from.ids))
	from.many[slot] = found
	return found, of.page, err
}

// readPages reads a page of each parent, or one page without parents if parents is nil.
func (r *run) readPages(c *connection, page *query.Page, parents []typeid.ID) (*children, error) {
	s := page.Rows(c.source.columns)
	slots := 1
	to := &children{}
	if parents != nil {
		of := c.edge.Parents
		of.IDs, slots = parents, len(parents)
		s.Parents = &of
	}
	if slots > 1 {
		to.slots = make(map[uuid.UUID]int, slots)
		for i, id := range parents {
			to.slots[id.UUID()] = i
		}
	}
	to.start, to.more = make([]int, slots+1), make([]bool, slots)
	var slotOf []int // by row
	var err error
	to.rows, err = r.read(c.source, s, func(parent typeid.ID) bool {
		slot := to.slot(parent)
		if to.start[slot+1] == s.Limit-1 {
			to.more[slot] = true
			return false
		}
		to.start[slot+1]++
		if slots > 1 {
			slotOf = append(slotOf, slot)
		}
		return true
	}, nil)
	if slots == 1 || err != nil {
		return to, err
	}
	for i := range slots {
		to.start[i+1] += to.start[i]
	}
	next := append([]int(nil), to.start...)
	to.order = make([]int, len(slotOf))
	for row, slot := range slotOf {
		to.order[next[slot]] = row
		next[slot]++
	}
	return to, nil
}

// slot returns the slot of a parent.
func (c *children) slot(parent typeid.ID) int {
	if c.slots == nil {
		return 0
	}
	return c.slots[parent.UUID()]
}

// count returns the number of rows of a connection: of all, or of a parent.
func (r *run) count(c *connection, v *view) (int, error) {
	of := &r.pages[c.index]
	s := of.page.Count()
	if c.parents == nil {
		counts, err := r.counts(c.kind, s)
		return counts[typeid.ID{}], err
	}
	slot := of.counts.slot
	if v.parents.counts[slot] == nil {
		defer query.Recorded(r.ctx, v.parents.source.kind.GraphQL, c.edge.Name+query.CountEdge, len(v.parents.ids))()
		parents := c.edge.Parents
		parents.IDs = query.Distinct(v.parents.ids)
		s.Parents = &parents
		var err error
		if v.parents.counts[slot], err = r.counts(c.kind, s); err != nil {
			return 0, err
		}
	}
	return v.parents.counts[slot][v.parents.ids[v.parent].As("")], nil
}

// counts runs a statement that counts rows.
func (r *run) counts(kind *query.Kind, s *statement.Select) (map[typeid.ID]int, error) {
	counts := map[typeid.ID]int{}
	err := kind.Read(r.ctx, r.driver, s, func(from *sql.Rows) error {
		var parent typeid.ID
		var n int
		dest := []any{&n}
		if s.Parents != nil {
			dest = []any{&parent, &n}
		}
		err := from.Scan(dest...)
		counts[parent] = n
		return err
	})
	return counts, err
}
