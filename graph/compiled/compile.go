package compiled

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/internal/statement"
)

// A Plan answers one operation for one set of values of the variables of @skip and @include. It never changes, and can be
// used by several goroutines at once.
type Plan struct {
	// Fields are the names of the fields of Query.
	Fields []string
	// Size is the approximate memory of the plan, in bytes.
	Size int64

	fields selection[rootValue]
	// What is checked before the first statement: the connections and the fields of Query, and the kinds that are read, but for
	// those below an object about the caller, which may be null.
	connections []*connection
	roots       []rootArgs
	kinds       []*query.Kind

	longest atomic.Int64 // the size of an answer before, in bytes
}

// A selection is an object of the answer: text between values, all in one order.
type selection[V any] struct {
	steps []step[V]
	tail  string // the text after the last value
}

type step[V any] struct {
	text  string // the text before the value
	value V
}

// An object is a selection on the rows of a source.
type object struct {
	source *source
	fields selection[value]
}

// A value is a value of a row.
type value interface {
	write(r *run, rows *rows, row int) error
}

// A rootValue is a value of Query, or of an object about the caller.
type rootValue interface {
	writeRoot(r *run) error
}

// rootArgs are the arguments of a rootValue.
type rootArgs interface {
	check(r *run) (rootArguments, error)
}

// A source stands for the statements that read the same columns of the same kind by the same edge of the same source.
// Fields share statements if they have the same source and, for a connection, equal arguments.
type source struct {
	kind    *query.Kind
	columns query.Columns
	// What is kept of a row, by the index of the column in the table: a cell of the answer, or a reference. -1: not kept.
	appenders   []appender
	cell, ref   []int
	cells, refs int
	positions   bool // the positions of rows, for cursors

	// The edges of the rows: sources of single rows, which have slots, and connections, by the name of the edge.
	children    map[childKey]*source
	ones, slot  int
	connections int
	byEdge      map[string][]*connection
	// pages are the connections whose rows are of this source.
	pages []*connection
	// standard says what to keep of the statements with no other columns, and texts has their texts.
	standard []column
	texts    statement.Texts
	longest  atomic.Int64 // the size of the cells of a statement before, in bytes
}

type childKey struct {
	edge    string
	columns query.Columns
}

// A connection is a field with a page of rows.
type connection struct {
	field  *ast.Field
	place  *place
	name   string // the scope of the cursors
	kind   *query.Kind
	source *source
	fields selection[pageValue]
	index  int // among all connections of the plan
	// edge leads from the rows of parents. Without parents, the rows are all of the kind.
	edge    query.KindEdge
	parents *source
	slot    int // among the connections of parents
}

// Values of a page.
type (
	pageValue interface {
		writePage(r *run, v *view) error
	}
	nodesList  struct{ *object }
	edgesList  struct{ fields selection[edgeValue] }
	pageInfo   struct{ fields selection[infoValue] }
	totalCount struct {
		*connection

		place *place
	}
)

// An edgeValue is a node, or nil for the cursor.
type edgeValue = *object

type infoValue int

const (
	hasNextPage infoValue = iota
	hasPreviousPage
	startCursor
	endCursor
)

// Values of a row.
type (
	// cellValue is a cell of the row.
	cellValue int
	// toOne leads to one row.
	toOne struct {
		*object

		place   *place
		edge    query.KindEdge
		ref     int // of the row, if the edge has a column
		nonNull bool
	}
	// parts is an object of columns.
	parts struct {
		visible func(*run, *rows, int) bool
		cells   []int
		fields  selection[int]
	}
)

// Values of Query.
type (
	byID struct {
		*object

		field *ast.Field
		place *place
		index int // among the roots of the plan
	}
	search struct {
		*object

		field  *ast.Field
		place  *place
		lookup Lookup
		index  int
	}
	// nodes are entities of any kind, with an object for each kind that has one.
	nodes struct {
		field   *ast.Field
		place   *place
		objects map[*query.Kind]*object
		many    bool
		index   int
	}
	// caller is an object about the caller. Its values have the names of fields, or are searches.
	caller struct {
		name   string
		fields selection[any]
	}
)

// Bounds and costs of plans.
const (
	maxFields     = 20_000
	bytesPerField = 200 // a field is counted again where its columns are collected
	bytesPerPlan  = 1 << 10
)

// Compile returns the plan of a query. The variables need only those of @skip and @include. The error wraps ErrUnknown.
func (o *Options) Compile(doc *ast.QueryDocument, operation *ast.OperationDefinition, variables map[string]any) (*Plan, error) {
	c := &compiler{
		Options: o, plan: new(Plan), sources: map[childKey]*source{},
		operation: &graphql.OperationContext{Doc: doc, Operation: operation, Variables: variables},
	}
	if operation.Operation != ast.Query {
		return nil, ErrUnknown
	}
	fields, err := selected(c, operation.SelectionSet, o.Schema.Query, c.root)
	if err != nil {
		return nil, err
	}
	for _, s := range c.all {
		s.standard = s.columnsOf(s.columns.Names(s.kind.Table))
	}
	c.plan.fields = fields
	c.plan.Size = bytesPerPlan + bytesPerField*int64(c.fields) + int64(c.text)
	return c.plan, nil
}

type compiler struct {
	*Options
	operation *graphql.OperationContext
	plan      *Plan
	sources   map[childKey]*source // of entities that are read by their IDs, by the name of their kind
	all       []*source
	place     *place // of the field that is compiled
	fields    int
	text      int // bytes of the texts of the selections
}

func unknown(def *ast.Definition, f *ast.Field) error {
	return fmt.Errorf("%w: %s.%s", ErrUnknown, def.Name, f.Name)
}

// collect returns the fields that are selected on an object of a type.
func (c *compiler) collect(set ast.SelectionSet, def *ast.Definition) ([]graphql.CollectedField, error) {
	fields := graphql.CollectFields(c.operation, set, append([]string{def.Name}, def.Interfaces...))
	if c.fields += len(fields); c.fields > maxFields {
		return nil, fmt.Errorf("%w: more than %d", ErrUnknown, maxFields)
	}
	return fields, nil
}

// selected compiles a selection on an object of a type. compile returns the value of a field.
func selected[V any](c *compiler, set ast.SelectionSet, def *ast.Definition, compile func(*ast.Definition, graphql.CollectedField) (V, error)) (s selection[V], err error) {
	fields, err := c.collect(set, def)
	if err != nil {
		return s, err
	}
	text := []byte("{")
	cut := func() string {
		defer func() { c.text, text = c.text+len(text), text[:0] }()
		return string(text)
	}
	for i, f := range fields {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(appendText(text, f.Alias), ':')
		if f.Name == "__typename" {
			text = appendText(text, def.Name)
			continue
		}
		before := cut()
		c.place = &place{c.place, f.Alias}
		value, err := compile(def, f)
		c.place = c.place.parent
		if err != nil {
			return s, err
		}
		s.steps = append(s.steps, step[V]{before, value})
	}
	text = append(text, '}')
	s.tail = cut()
	return s, nil
}

// kind returns the kind of the entities of a type, or nil.
func (c *compiler) kind(name string) *query.Kind {
	i := slices.IndexFunc(c.Kinds, func(k *query.Kind) bool { return k.GraphQL == name })
	if i < 0 {
		return nil
	}
	return c.Kinds[i]
}

// connected returns the kind of the nodes of a connection, or nil if the field is none or has other arguments than pages.
func (c *compiler) connected(f *ast.FieldDefinition) *query.Kind {
	name, ok := strings.CutSuffix(f.Type.Name(), "Connection")
	if !ok || f.Type.Elem != nil || slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool {
		return !slices.Contains([]string{"first", "after", "last", "before", "where", "orderBy"}, a.Name)
	}) {
		return nil
	}
	return c.kind(name)
}

// root compiles a field of Query.
func (c *compiler) root(def *ast.Definition, f graphql.CollectedField) (rootValue, error) {
	c.plan.Fields = append(c.plan.Fields, f.Name)
	kind := c.kind(f.Definition.Type.Name())
	switch name, of := def.Name+"."+f.Name, f.Definition; {
	case c.Callers[name] != nil:
		kinds := c.plan.kinds
		fields, err := selected(c, f.Selections, c.Schema.Types[of.Type.Name()], c.ofCaller)
		c.plan.kinds = kinds
		return &caller{name: name, fields: fields}, err
	case kind != nil && c.Lookups[name] != nil:
		return c.search(name, kind, f)
	case kind != nil && of.Type.Elem == nil && len(of.Arguments) == 1 && of.Arguments[0].Name == "id" && f.Name == lowerFirst(kind.GraphQL):
		o, err := c.byID(kind, f.Selections)
		b := &byID{o, f.Field, c.place, len(c.plan.roots)}
		c.plan.roots = append(c.plan.roots, b)
		return b, err
	case of.Type.Name() == "Node" && (f.Name == "node" || f.Name == "nodes"):
		return c.nodes(f)
	}
	if kind := c.connected(f.Definition); kind != nil && f.Name == camel(kind.Name) {
		return c.connection(f, upperFirst(f.Name), kind, func(columns query.Columns) *source { return c.newSource(kind, columns) })
	}
	return nil, unknown(def, f.Field)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// camel returns the name of a table as a field: apiKeys, not api_keys.
func camel(table string) string {
	parts := strings.Split(table, "_")
	for i := range parts[1:] {
		parts[i+1] = upperFirst(parts[i+1])
	}
	return strings.Join(parts, "")
}

// search compiles a field that finds one entity by a Lookup.
func (c *compiler) search(name string, kind *query.Kind, f graphql.CollectedField) (*search, error) {
	o, err := c.byID(kind, f.Selections)
	s := &search{o, f.Field, c.place, c.Lookups[name], len(c.plan.roots)}
	c.plan.roots = append(c.plan.roots, s)
	return s, err
}

// ofCaller compiles a field of an object about the caller.
func (c *compiler) ofCaller(def *ast.Definition, f graphql.CollectedField) (any, error) {
	kind, name := c.kind(f.Definition.Type.Name()), def.Name+"."+f.Name
	switch {
	case kind != nil && c.Lookups[name] != nil:
		return c.search(name, kind, f)
	case kind == nil && !c.Schema.Types[f.Definition.Type.Name()].IsCompositeType():
		return f.Name, nil
	}
	return nil, unknown(def, f.Field)
}

// nodes compiles the fields that find entities of any kind.
func (c *compiler) nodes(f graphql.CollectedField) (rootValue, error) {
	n := &nodes{field: f.Field, place: c.place, objects: map[*query.Kind]*object{}, many: f.Name == "nodes", index: len(c.plan.roots)}
	c.plan.roots = append(c.plan.roots, n)
	for _, kind := range c.Kinds {
		var err error
		if n.objects[kind], err = c.byID(kind, f.Selections); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (c *compiler) newSource(kind *query.Kind, columns query.Columns) *source {
	n := len(kind.Columns)
	s := &source{
		kind: kind, columns: columns, appenders: make([]appender, n), cell: make([]int, n), ref: make([]int, n),
		children: map[childKey]*source{}, slot: -1, byEdge: map[string][]*connection{},
	}
	for i := range n {
		s.cell[i], s.ref[i] = -1, -1
	}
	c.all = append(c.all, s)
	return s
}

// find returns the source for a key, and makes it if it is missing.
func (c *compiler) find(sources map[childKey]*source, key childKey, kind *query.Kind) *source {
	s := sources[key]
	if s == nil {
		s = c.newSource(kind, key.columns)
		sources[key] = s
	}
	return s
}

// byID compiles a selection on entities that are found by their IDs.
func (c *compiler) byID(kind *query.Kind, set ast.SelectionSet) (*object, error) {
	columns, err := c.columns(kind, set)
	if err != nil {
		return nil, err
	}
	return c.object(c.find(c.sources, childKey{kind.Type, columns}, kind), set)
}

// columns returns the columns of a kind that a selection needs.
func (c *compiler) columns(kind *query.Kind, set ast.SelectionSet) (columns query.Columns, err error) {
	def := c.Schema.Types[kind.GraphQL]
	fields, err := c.collect(set, def)
	for _, f := range fields {
		names, known := kind.Fields[f.Name]
		switch {
		case known:
			columns |= query.ColumnsOf(kind.Table, names...)
		case f.Name != "__typename":
			return 0, unknown(def, f.Field)
		}
	}
	return columns, err
}

// object compiles a selection on the rows of a source.
func (c *compiler) object(s *source, set ast.SelectionSet) (*object, error) {
	fields, err := selected(c, set, c.Schema.Types[s.kind.GraphQL], func(def *ast.Definition, f graphql.CollectedField) (value, error) {
		return c.field(s, def, f)
	})
	return &object{s, fields}, err
}

// field compiles a field of an entity.
func (c *compiler) field(s *source, def *ast.Definition, f graphql.CollectedField) (value, error) {
	name := def.Name + "." + f.Name
	if i := slices.IndexFunc(s.kind.Edges, func(e query.KindEdge) bool { return e.Field == f.Name }); i >= 0 {
		return c.edge(s, def, f, s.kind.Edges[i])
	}
	columns := s.kind.Fields[f.Name]
	if visible := c.Objects[name]; visible != nil {
		return c.parts(s, f, columns, func(r *run, rows *rows, row int) bool { return visible(r.ctx, rows.ids[row]) })
	}
	if len(columns) != 1 || len(f.Definition.Arguments) > 0 || c.Resolved(name) && c.Lists[name] == nil {
		return nil, unknown(def, f.Field)
	}
	column, i := s.kind.Column(columns[0])
	a := c.scalar(s.kind.Table, f.Definition, column)
	if a == nil {
		return nil, unknown(def, f.Field)
	}
	return cellValue(s.keep(i, a)), nil
}

// keep returns the index of the cell of a column.
func (s *source) keep(column int, a appender) int {
	if s.cell[column] < 0 {
		s.cell[column], s.appenders[column] = s.cells, a
		s.cells++
	}
	return s.cell[column]
}

// parts compiles an object of columns.
func (c *compiler) parts(s *source, f graphql.CollectedField, columns []string, visible func(*run, *rows, int) bool) (value, error) {
	p := &parts{visible: visible}
	for _, name := range columns {
		column, i := s.kind.Column(name)
		if column.Kind != statement.Text || !column.Nullable {
			return nil, unknown(f.ObjectDefinition, f.Field)
		}
		p.cells = append(p.cells, s.keep(i, orNull(appendTextOf)))
	}
	var err error
	p.fields, err = selected(c, f.Selections, c.Schema.Types[f.Definition.Type.Name()], func(def *ast.Definition, part graphql.CollectedField) (int, error) {
		i := slices.IndexFunc(columns, func(column string) bool {
			return strings.EqualFold(strings.ReplaceAll(column, "_", ""), f.Name+part.Name)
		})
		if i < 0 || part.Definition.Type.Name() != "String" || part.Definition.Type.Elem != nil {
			return 0, unknown(def, part.Field)
		}
		return p.cells[i], nil
	})
	return p, err
}

// edge compiles an edge.
func (c *compiler) edge(s *source, def *ast.Definition, f graphql.CollectedField, edge query.KindEdge) (value, error) {
	child := func(kind *query.Kind, columns query.Columns) *source {
		return c.find(s.children, childKey{edge.Name, columns}, kind)
	}
	if edge.Many {
		kind := c.connected(f.Definition)
		if kind == nil {
			return nil, unknown(def, f.Field)
		}
		con, err := c.connection(f, def.Name+"."+edge.Name, kind, func(columns query.Columns) *source { return child(kind, columns) })
		if err != nil {
			return nil, err
		}
		con.edge, con.parents, con.slot = edge, s, s.connections
		s.connections++
		s.byEdge[edge.Name] = append(s.byEdge[edge.Name], con)
		return con, nil
	}
	kind := c.kind(f.Definition.Type.Name())
	if kind == nil || f.Definition.Type.Elem != nil || len(f.Definition.Arguments) > 0 {
		return nil, unknown(def, f.Field)
	}
	columns, err := c.columns(kind, f.Selections)
	if err != nil {
		return nil, err
	}
	c.plan.kinds = append(c.plan.kinds, kind)
	of := child(kind, columns)
	if of.slot < 0 {
		of.slot = s.ones
		s.ones++
	}
	one := &toOne{place: c.place, edge: edge, nonNull: f.Definition.Type.NonNull}
	if edge.Column != "" {
		_, i := s.kind.Column(edge.Column)
		if s.ref[i] < 0 {
			s.ref[i] = s.refs
			s.refs++
		}
		one.ref = s.ref[i]
	}
	one.object, err = c.object(of, f.Selections)
	return one, err
}

// connection compiles a connection. find returns the source of its rows.
func (c *compiler) connection(f graphql.CollectedField, name string, kind *query.Kind, find func(query.Columns) *source) (*connection, error) {
	con := &connection{field: f.Field, place: c.place, name: name, kind: kind, index: len(c.plan.connections)}
	c.plan.connections = append(c.plan.connections, con)
	c.plan.kinds = append(c.plan.kinds, kind)
	def := c.Schema.Types[f.Definition.Type.Name()]
	columns, err := c.pageColumns(kind, f.Selections, def)
	if err != nil {
		return nil, err
	}
	con.source = find(columns)
	con.source.pages = append(con.source.pages, con)
	con.fields, err = selected(c, f.Selections, def, func(def *ast.Definition, f graphql.CollectedField) (pageValue, error) {
		switch f.Name {
		case "nodes":
			o, err := c.object(con.source, f.Selections)
			return nodesList{o}, err
		case "edges":
			fields, err := selected(c, f.Selections, c.Schema.Types[f.Definition.Type.Name()], func(def *ast.Definition, f graphql.CollectedField) (edgeValue, error) {
				switch f.Name {
				case "cursor":
					con.source.positions = true
					return nil, nil
				case "node":
					return c.object(con.source, f.Selections)
				}
				return nil, unknown(def, f.Field)
			})
			return edgesList{fields}, err
		case "pageInfo":
			fields, err := selected(c, f.Selections, c.Schema.Types[f.Definition.Type.Name()], con.info)
			return pageInfo{fields}, err
		case "totalCount":
			return totalCount{con, c.place}, nil
		}
		return nil, unknown(def, f.Field)
	})
	return con, err
}

// info compiles a field of PageInfo.
func (con *connection) info(def *ast.Definition, f graphql.CollectedField) (infoValue, error) {
	switch f.Name {
	case "hasNextPage":
		return hasNextPage, nil
	case "hasPreviousPage":
		return hasPreviousPage, nil
	case "startCursor":
		con.source.positions = true
		return startCursor, nil
	case "endCursor":
		con.source.positions = true
		return endCursor, nil
	}
	return 0, unknown(def, f.Field)
}

// pageColumns returns the columns that the nodes of a connection need.
func (c *compiler) pageColumns(kind *query.Kind, set ast.SelectionSet, def *ast.Definition) (columns query.Columns, err error) {
	fields, err := c.collect(set, def)
	if err != nil {
		return 0, err
	}
	add := func(f graphql.CollectedField) {
		more, failed := c.columns(kind, f.Selections)
		columns |= more
		if err == nil {
			err = failed
		}
	}
	for _, f := range fields {
		switch f.Name {
		case "nodes":
			add(f)
		case "edges":
			of, failed := c.collect(f.Selections, c.Schema.Types[f.Definition.Type.Name()])
			if failed != nil {
				return 0, failed
			}
			for _, e := range of {
				if e.Name == "node" {
					add(e)
				}
			}
		}
	}
	return columns, err
}
