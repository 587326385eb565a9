package limits

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Prices are costs and page sizes that the schema does not contain.
type Prices struct {
	// Page is the default size of a page, and MaxPage its maximum size, in objects.
	Page, MaxPage int
	// MaxPages has the maximum sizes of fields that have larger pages.
	MaxPages map[Field]int
	// List is the assumed number of objects of a list without a known size.
	List int
	// Fields are the surcharges of fields. A surcharge is the price of a statement, so the document pays it once for
	// each use of the field, and not for each object.
	Fields map[Field]int64
	// Conditions are the surcharges of fields of input objects, by their names. A null costs nothing. The type of the
	// object is not part of the key, because the values of variables do not contain their types.
	Conditions map[string]int64
}

// A Field is a field of a type in the schema.
type Field struct{ Type, Name string }

// The price of an object is that of ten values. So many aliases of one value cost something.
const (
	priceOfValue  = 1
	priceOfObject = 10
)

// introspectionList is the assumed number of objects of a list of introspection. The list of all types has its real
// number.
const introspectionList = 5

// operation has the prices of an operation, without its variables.
type operation struct {
	root     node
	defaults map[string]defaultValue // of variables
}

type defaultValue struct {
	value *ast.Value
	extra int64 // the surcharges in the value
}

// A node is a field that returns objects, together with all fields that have its response name in the same place.
type node struct {
	count    []count  // the numbers of objects for each object above, of types that exclude each other; the largest counts
	page     []count  // the number of objects of the lists directly below, if this is a connection or a batch
	inputs   []count  // the number of inputs of a mutation of many
	values   int64    // the number of fields below that return no objects
	extra    int64    // the surcharges
	searches []string // the variables whose values may have surcharges
	below    []node
}

func (n *node) add(m *node) {
	n.count = append(n.count, m.count...)
	n.page = append(n.page, m.page...)
	n.inputs = append(n.inputs, m.inputs...)
	n.extra = plus(n.extra, m.extra)
	n.searches = append(n.searches, m.searches...)
}

// A count is the number of objects of a list.
type count struct {
	of       countOf
	fixed    int64
	variable string
	most     int64 // the maximum, for pageVariable
}

type countOf int

const (
	fixedCount    countOf = iota // fixed
	pageAbove                    // the size of the page of the connection above
	pageVariable                 // the page size in the variable; without a value, fixed
	valueVariable                // the number of values of the list in the variable
)

// merge puts fragments in their places, and merges fields of one response name, as execution does. It counts the pairs
// of fields that the validator compares, and prices the operations.
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
	fields  map[*ast.Field]node // the nodes of fields with arguments, without what is below them
}

// scope is a selection set and its type. The type is nil if the schema does not have it.
type scope struct {
	set    ast.SelectionSet
	parent *ast.Definition
	inline int64 // number of inline fragments around it
}

// An occurrence is a field in a place where a fragment puts it.
type occurrence struct {
	field  *ast.Field
	parent *ast.Definition
	weight int64 // the work of comparing it with another field
}

// A place has the fields that execution finds for one object, grouped by response name.
type place struct {
	groups [][]occurrence
	index  map[string]int // of groups, by response name
	spread map[string]bool
}

func (p *place) add(o occurrence) {
	i, known := p.index[o.field.Alias]
	if !known {
		i = len(p.groups)
		p.index[o.field.Alias] = i
		p.groups = append(p.groups, nil)
	}
	p.groups[i] = append(p.groups[i], o)
}

// weightOfFragments is the work of comparing two fragments of one place, as a multiple of comparing two fields.
const weightOfFragments = 4

// fill adds what is selected below a node, and returns the number of response names.
func (m *merger) fill(n *node, sets ...scope) int {
	p := place{index: map[string]int{}}
	for _, s := range sets {
		m.collect(&p, s)
	}
	m.repeats = plus(m.repeats, pairs(weightOfFragments*int64(len(p.spread)), int64(len(p.spread))))
	for _, group := range p.groups {
		weight := int64(0)
		for _, o := range group {
			weight = plus(weight, o.weight)
		}
		m.repeats = plus(m.repeats, pairs(weight, int64(len(group))))
		m.price(n, group)
	}
	return len(p.groups)
}

// pairs returns the number of pairs of things, weighted. weight is the sum of the weights of all things.
func pairs(weight, things int64) int64 {
	if things < 2 {
		return 0
	}
	return (times(weight, things-1) + 1) / 2
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
			if f == nil || p.spread[sel.Name] { // the same fragment again adds nothing
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

// price adds the fields of one response name to the node above them.
func (m *merger) price(above *node, fields []occurrence) {
	var n node
	var below []scope
	first := fields[0]
	for i, o := range fields {
		definition := fieldOf(o.parent, o.field.Name)
		var returned *ast.Definition
		if definition != nil {
			returned = m.checker.schema.Types[definition.Type.Name()]
		}
		if len(o.field.SelectionSet) > 0 {
			below = append(below, scope{set: o.field.SelectionSet, parent: returned})
		}
		// Fields of one name and type have the same arguments in a valid document.
		if i == 0 || o.field.Name != first.field.Name || o.parent != first.parent {
			alone := m.alone(o.field, o.parent, definition, returned)
			n.add(&alone)
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

// fieldOf returns a field of a type by its name, or nil.
func fieldOf(t *ast.Definition, name string) *ast.FieldDefinition {
	if t == nil {
		return nil
	}
	return t.Fields.ForName(name)
}

// alone returns the node of a field, without what is below it. It looks at the arguments of a field only once, even if
// fragments put the field in many places.
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
	case page != nil: // a list with first or last
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

// connection reports whether a type is a page: it has a list, and pageInfo or endCursor.
func connection(t *ast.Definition) bool {
	return t != nil && (t.Fields.ForName("pageInfo") != nil || t.Fields.ForName("endCursor") != nil) &&
		slices.ContainsFunc(t.Fields, func(f *ast.FieldDefinition) bool { return f.Type.Elem != nil })
}

// page returns the page size by the arguments first and last, or nil if the field has neither.
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

// listed returns the size of a list that is not a page. It is the number of values of an argument that is a list, or
// else Prices.List.
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

// search adds the surcharges in a value of the document, and the variables in it.
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
