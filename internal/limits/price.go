package limits

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Prices are the costs and page sizes that the schema does not show.
type Prices struct {
	// Page is the size of a page when the client gives none, and MaxPage the largest that it gets.
	Page, MaxPage int
	// MaxPages has the fields whose pages may be larger than MaxPage.
	MaxPages map[Field]int
	// List is how many objects a list has that nothing is known about.
	List int
	// Fields are the surcharges of fields. One is paid once for each time that the document has the field, and not for each
	// object: it is the price of a statement.
	Fields map[Field]int64
	// Conditions are the surcharges of fields of input objects that are not null, by their names alone: the values of
	// variables do not show of which type they are.
	Conditions map[string]int64
}

// A Field is a field of a type in the schema.
type Field struct{ Type, Name string }

// An object costs as much as ten values, so that many short names for the same value are not free.
const (
	priceOfValue  = 1
	priceOfObject = 10
)

// introspectionList is how many objects the lists of introspection have, but for the list of all types.
const introspectionList = 5

// An operation is the part of an operation that costs something, without its variables.
type operation struct {
	root     node
	defaults map[string]defaultValue // of the variables that have one
}

type defaultValue struct {
	value *ast.Value
	extra int64 // the price of what is in it
}

// A node is a field that returns objects, or all the fields that answer under one name in one place.
type node struct {
	count    []count  // how many objects for each one above; the largest counts, of fields of types that exclude each other
	page     []count  // how many objects the lists directly below have, when this is a connection or a batch
	inputs   []count  // how many inputs a mutation of many has
	values   int64    // fields below that return no objects
	extra    int64    // the price of what is paid once
	searches []string // variables, whose values may have more of it
	below    []node
}

// A count is how many objects a list has.
type count struct {
	of       countOf
	fixed    int64
	variable string
	most     int64 // of pageVariable
}

type countOf int

const (
	fixedCount    countOf = iota
	pageAbove             // as many as the connection above says
	pageVariable          // as the variable says, as the size of a page; without one, as is fixed
	valueVariable         // as many as the list in the variable has
)

// merge puts fragments in their places and fields of one name together, as execution does. It finds what the validator
// has to compare, and for the operations what they cost.
func (d *Document) merge(doc *ast.QueryDocument, m *measurer) error {
	c := d.checker
	walk := &merger{checker: c, measurer: m, fields: map[*ast.Field]node{}}
	d.operations = make(map[*ast.OperationDefinition]*operation, len(doc.Operations))
	var err error
	for _, o := range doc.Operations {
		tree := &operation{defaults: map[string]defaultValue{}}
		for _, v := range o.VariableDefinitions {
			if v.DefaultValue != nil {
				var n node
				walk.search(&n, v.DefaultValue)
				tree.defaults[v.Variable] = defaultValue{v.DefaultValue, n.extra}
			}
		}
		root := map[ast.Operation]*ast.Definition{
			ast.Query: c.schema.Query, ast.Mutation: c.schema.Mutation, ast.Subscription: c.schema.Subscription,
		}[o.Operation]
		names := walk.fill(&tree.root, scope{set: o.SelectionSet, parent: root})
		d.operations[o] = tree
		if o.Operation == ast.Mutation && err == nil {
			err = over("the mutation has %s fields", int64(names), c.limits.MaxMutationFields)
		}
	}
	for _, f := range doc.Fragments {
		var unused node
		walk.fill(&unused, scope{set: f.SelectionSet, parent: c.schema.Types[f.TypeCondition]})
	}
	d.Repeats, d.Steps = walk.repeats, m.Steps
	return firstOf(err, over("the document has %s pairs of fields that answer under one name in one place", d.Repeats, c.limits.MaxRepeats))
}

type merger struct {
	*measurer
	checker *Checker
	repeats int64
	fields  map[*ast.Field]node // those with arguments, each by itself
}

// scope is a selection set with the type on which it stands; nil for one that the schema does not have.
type scope struct {
	set    ast.SelectionSet
	parent *ast.Definition
	inline int64 // how many inline fragments are around it
}

// An occurrence is a field in the place to which fragments put it.
type occurrence struct {
	field  *ast.Field
	parent *ast.Definition
	weight int64 // of comparing it with another
	next   int   // the next one of the same name; 0 when there is none
}

// A place is the fields that execution finds for one object.
type place struct {
	fields []occurrence
	names  []name
	index  map[string]int // of names, when there are many
	spread map[string]bool
}

// name is the fields that answer under one name.
type name struct{ first, last, fields int }

// The validator compares each two fields of one name, and each two fragments of one place, which takes longer.
const weightOfFragments = 4

// fill fills a node with what is selected below it, and returns how many names that has.
func (m *merger) fill(n *node, sets ...scope) int {
	var p place
	for _, s := range sets {
		m.collect(&p, s)
	}
	m.repeats = plus(m.repeats, pairs(weightOfFragments*int64(len(p.spread)), int64(len(p.spread))))
	for _, name := range p.names {
		if name.fields > 1 {
			weight := int64(0)
			for i := name.first; ; i = p.fields[i].next {
				weight = plus(weight, p.fields[i].weight)
				if i == name.last {
					break
				}
			}
			m.repeats = plus(m.repeats, pairs(weight, int64(name.fields)))
		}
		m.price(n, &p, name)
	}
	return len(p.names)
}

// pairs is how many pairs a number of things make, when each thing has its weight.
func pairs(weight, things int64) int64 {
	if things < 2 {
		return 0
	}
	return (times(weight, things-1) + 1) / 2
}

// few is how many names are found faster without an index.
const few = 16

func (p *place) add(s occurrence) {
	alias, at := s.field.Alias, -1
	if p.index == nil {
		at = slices.IndexFunc(p.names, func(n name) bool { return p.fields[n.first].field.Alias == alias })
	} else if i, ok := p.index[alias]; ok {
		at = i
	}
	i := len(p.fields)
	p.fields = append(p.fields, s)
	if at >= 0 {
		p.fields[p.names[at].last].next = i
		p.names[at].last = i
		p.names[at].fields++
		return
	}
	p.names = append(p.names, name{first: i, last: i, fields: 1})
	if p.index != nil {
		p.index[alias] = len(p.names) - 1
	} else if len(p.names) > few {
		p.index = make(map[string]int, 2*few)
		for at, n := range p.names {
			p.index[p.fields[n.first].field.Alias] = at
		}
	}
}

func (m *merger) collect(p *place, s scope) {
	for _, selection := range s.set {
		m.Steps++
		switch sel := selection.(type) {
		case *ast.Field:
			p.add(occurrence{field: sel, parent: s.parent, weight: times(1+m.arguments[sel], 1+s.inline)})
		case *ast.InlineFragment:
			inner := scope{set: sel.SelectionSet, parent: s.parent, inline: s.inline + 1}
			if sel.TypeCondition != "" {
				inner.parent = m.checker.schema.Types[sel.TypeCondition]
			}
			m.collect(p, inner)
		case *ast.FragmentSpread:
			f := m.fragments[sel.Name]
			if f == nil || p.spread[sel.Name] { // a second time, a fragment has nothing new
				continue
			}
			if p.spread == nil {
				p.spread = map[string]bool{}
			}
			p.spread[sel.Name] = true
			m.collect(p, scope{set: f.SelectionSet, parent: m.checker.schema.Types[f.TypeCondition], inline: s.inline})
		}
	}
}

// price adds the fields of one name to the node above them.
func (m *merger) price(above *node, p *place, fields name) {
	var n node
	var below []scope
	first := p.fields[fields.first]
	for i := fields.first; ; i = p.fields[i].next {
		s := p.fields[i]
		definition := fieldOf(s.parent, s.field.Name)
		var returned *ast.Definition
		if definition != nil {
			returned = m.checker.schema.Types[definition.Type.Name()]
		}
		if len(s.field.SelectionSet) > 0 {
			below = append(below, scope{set: s.field.SelectionSet, parent: returned})
		}
		// With the same name and type, the arguments are the same, or the document is not valid.
		if i == fields.first || s.field.Name != first.field.Name || s.parent != first.parent {
			alone := m.alone(s.field, s.parent, definition, returned)
			n.count = append(n.count, alone.count...)
			n.page = append(n.page, alone.page...)
			n.inputs = append(n.inputs, alone.inputs...)
			n.extra = plus(n.extra, alone.extra)
			n.searches = append(n.searches, alone.searches...)
		}
		if i == fields.last {
			break
		}
	}
	if below == nil {
		above.values++
		above.extra = plus(above.extra, n.extra)
		above.searches = append(above.searches, n.searches...)
		return
	}
	m.fill(&n, below...)
	above.below = append(above.below, n)
}

// fieldOf is a field of a type by its name; nil when there is none.
func fieldOf(t *ast.Definition, name string) *ast.FieldDefinition {
	if t == nil {
		return nil
	}
	return t.Fields.ForName(name)
}

// alone returns the node of a field by itself. Its arguments are looked at once, wherever fragments put it.
func (m *merger) alone(f *ast.Field, parent *ast.Definition, definition *ast.FieldDefinition, returned *ast.Definition) node {
	if n, ok := m.fields[f]; ok {
		return n
	}
	n := m.look(f, parent, definition, returned)
	if len(f.Arguments) > 0 {
		m.fields[f] = n
	}
	return n
}

func (m *merger) look(f *ast.Field, parent *ast.Definition, definition *ast.FieldDefinition, returned *ast.Definition) node {
	p := &m.checker.prices
	var n node
	if parent != nil {
		n.extra = p.Fields[Field{parent.Name, f.Name}]
	}
	for _, a := range f.Arguments {
		m.search(&n, a.Value)
	}
	if definition == nil {
		n.count = []count{{fixed: 1}}
		return n
	}
	page := m.page(f, parent, definition)
	switch {
	case definition.Type.Elem == nil:
		n.count = []count{{fixed: 1}}
		switch {
		case page != nil && connection(returned):
			n.page = page
		case m.checker.batches[definition.Type.Name()]:
			n.page = m.listed(f, definition)
			n.inputs = n.page
		}
	case page != nil: // a list that is cut like a page
		n.count = page
	case connection(parent), m.checker.batches[parent.Name]:
		n.count = []count{{of: pageAbove}}
	case strings.HasPrefix(parent.Name, "__"):
		n.count = []count{{fixed: introspectionList}}
		if f.Name == "types" {
			n.count[0].fixed = int64(len(m.checker.schema.Types))
		}
	default:
		n.count = m.listed(f, definition)
	}
	return n
}

// connection reports whether a type has the shape of a page: a list beside a pageInfo or an endCursor.
func connection(t *ast.Definition) bool {
	return t != nil && (t.Fields.ForName("pageInfo") != nil || t.Fields.ForName("endCursor") != nil) &&
		slices.ContainsFunc(t.Fields, func(f *ast.FieldDefinition) bool { return f.Type.Elem != nil })
}

// page is the size that the arguments first and last ask for; nil when the field has neither.
func (m *merger) page(f *ast.Field, parent *ast.Definition, definition *ast.FieldDefinition) []count {
	p := &m.checker.prices
	var counts []count
	paged, usual := false, int64(0)
	most := int64(max(p.MaxPage, p.MaxPages[Field{parent.Name, f.Name}]))
	for _, name := range []string{"first", "last"} {
		a := definition.Arguments.ForName(name)
		if a == nil || a.Type.NamedType != "Int" {
			continue
		}
		paged = true
		unsaid := int64(p.Page)
		if a.DefaultValue != nil && a.DefaultValue.Kind == ast.IntValue {
			unsaid = pageSize(a.DefaultValue.Raw, most)
			usual = max(usual, unsaid)
		}
		given := f.Arguments.ForName(name)
		switch {
		case given == nil:
		case given.Value.Kind == ast.NullValue:
			counts = append(counts, count{fixed: int64(p.Page)})
		case given.Value.Kind == ast.Variable:
			counts = append(counts, count{of: pageVariable, fixed: unsaid, variable: given.Value.Raw, most: most})
		default:
			counts = append(counts, count{fixed: pageSize(given.Value.Raw, most)})
		}
	}
	if paged && counts == nil {
		if usual == 0 {
			usual = int64(p.Page)
		}
		counts = []count{{fixed: usual}}
	}
	return counts
}

// listed is the size of a list that is not a page: one object for each value of a list among the arguments, or what is
// said of any list.
func (m *merger) listed(f *ast.Field, definition *ast.FieldDefinition) []count {
	var counts []count
	for _, a := range f.Arguments {
		d := definition.Arguments.ForName(a.Name)
		switch {
		case d == nil || d.Type.Elem == nil:
		case a.Value.Kind == ast.Variable:
			counts = append(counts, count{of: valueVariable, variable: a.Value.Raw})
		case a.Value.Kind == ast.ListValue:
			counts = append(counts, count{fixed: int64(len(a.Value.Children))})
		default:
			counts = append(counts, count{fixed: 1})
		}
	}
	if counts == nil {
		counts = []count{{fixed: int64(m.checker.prices.List)}}
	}
	return counts
}

// search adds the price of what is in a value of the document, and notes the variables in it.
func (m *merger) search(n *node, v *ast.Value) {
	m.Steps++
	switch v.Kind {
	case ast.Variable:
		n.searches = append(n.searches, v.Raw)
	case ast.ListValue, ast.ObjectValue:
		for _, child := range v.Children {
			if price := m.checker.prices.Conditions[child.Name]; price > 0 && child.Value.Kind != ast.NullValue {
				n.extra = plus(n.extra, price)
			}
			m.search(n, child.Value)
		}
	default:
	}
}
