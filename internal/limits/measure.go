package limits

import (
	"cmp"

	"github.com/vektah/gqlparser/v2/ast"
)

// A Measure has the sizes of a document.
type Measure struct {
	Fields, Aliases, Directives    int64 // as they are written
	Variables                      int64 // the maximum of all operations
	Depth                          int64 // of nested selection sets
	Expanded                       int64 // all parts, with fragments in their places; see [Limits.MaxExpanded]
	Repeats                        int64 // pairs of fields with one response name in one place
	Values, ValueDepth, ListLength int64 // of the input in the document
	// Cycle is a fragment that spreads itself, or nil. Such a document is not valid, and has no cost.
	Cycle *ast.FragmentSpread
	// Steps is the number of steps of the measurement and of the pricing.
	Steps int64
}

// A Document has passed the limits that do not depend on its variables.
type Document struct {
	Measure

	checker    *Checker
	operations map[*ast.OperationDefinition]*operation
}

// Document measures a parsed document, which need not be valid, and checks the limits that do not depend on its
// variables. The error is an *ExceededError. Then the document is returned too.
func (c *Checker) Document(doc *ast.QueryDocument) (*Document, error) {
	m := &measurer{
		fragments: make(map[string]*ast.FragmentDefinition, len(doc.Fragments)),
		extents:   make(map[*ast.FragmentDefinition]*extent, len(doc.Fragments)),
		arguments: map[*ast.Field]int64{},
	}
	for _, f := range doc.Fragments {
		if m.fragments[f.Name] == nil { // the validator uses the first one too, and reports the second one
			m.fragments[f.Name] = f
		}
	}
	m.document(doc)
	d := &Document{Measure: m.Measure, checker: c}
	l := &c.limits
	err := firstOf(
		over("the document selects %s levels deep", m.Depth, l.MaxDepth),
		over("the document has %s fields", m.Fields, l.MaxFields),
		over("the document has %s aliases", m.Aliases, l.MaxAliases),
		over("the document has %s directives", m.Directives, l.MaxDirectives),
		over("an operation declares %s variables", m.Variables, l.MaxVariables),
		over("the input in the document is %s levels deep", m.ValueDepth, l.MaxInputDepth),
		over("a list in the document has %s values", m.ListLength, l.MaxInputList),
		over("the input in the document has %s values", m.Values, l.MaxInputValues),
		over("the document has %s parts when its fragments are in their places", m.Expanded, l.MaxExpanded),
	)
	if err != nil || m.Cycle != nil {
		return d, err
	}
	err = d.merge(doc, m)
	return d, err
}

// A measurer measures each part of a document once.
type measurer struct {
	Measure

	fragments map[string]*ast.FragmentDefinition
	extents   map[*ast.FragmentDefinition]*extent // nil while the fragment is being measured
	arguments map[*ast.Field]int64                // the sizes of the values of arguments, of fields that have any
}

// extent is the size of a part of a document, with fragments in their places.
type extent struct {
	size  int64 // number of parts
	depth int64 // of nested selection sets
}

func (e *extent) add(size, depth int64) {
	e.size = plus(e.size, size)
	e.depth = max(e.depth, depth)
}

func (m *measurer) document(doc *ast.QueryDocument) {
	for _, o := range doc.Operations {
		size := m.directives(o.Directives)
		m.Variables = max(m.Variables, int64(len(o.VariableDefinitions)))
		for _, v := range o.VariableDefinitions {
			size += 1 + m.directives(v.Directives)
			m.Steps++
			if v.DefaultValue != nil {
				size += m.value(v.DefaultValue, 1)
			}
		}
		set := m.set(o.SelectionSet)
		m.Expanded = plus(m.Expanded, plus(size, set.size))
		m.Depth = max(m.Depth, set.depth)
	}
	for _, f := range doc.Fragments { // the validator visits each fragment on its own too
		e := m.definition(f)
		m.Expanded = plus(m.Expanded, e.size)
		m.Depth = max(m.Depth, e.depth)
	}
}

// spread returns the extent of a fragment. It is empty if the fragment does not exist or spreads itself.
func (m *measurer) spread(s *ast.FragmentSpread) extent {
	definition := m.fragments[s.Name]
	if definition == nil {
		return extent{}
	}
	if e, known := m.extents[definition]; known && e == nil {
		m.Cycle = cmp.Or(m.Cycle, s)
		return extent{}
	}
	return m.definition(definition)
}

// definition returns the extent of a fragment that is not being measured.
func (m *measurer) definition(f *ast.FragmentDefinition) extent {
	if e := m.extents[f]; e != nil {
		return *e
	}
	m.extents[f] = nil
	e := m.set(f.SelectionSet)
	e.size = plus(e.size, m.directives(f.Directives))
	m.extents[f] = &e
	return e
}

// set returns the extent of a selection set.
func (m *measurer) set(set ast.SelectionSet) extent {
	e := extent{depth: 1}
	for _, selection := range set {
		m.Steps++
		switch s := selection.(type) {
		case *ast.Field:
			m.Fields++
			if s.Alias != s.Name {
				m.Aliases++
			}
			values := m.values(s.Arguments)
			if values > 0 {
				m.arguments[s] = values
			}
			size, below := 1+values+m.directives(s.Directives), extent{}
			if len(s.SelectionSet) > 0 {
				below = m.set(s.SelectionSet)
			}
			e.add(plus(size, below.size), 1+below.depth)
		case *ast.InlineFragment:
			size, below := 1+m.directives(s.Directives), m.set(s.SelectionSet)
			e.add(plus(size, below.size), 1+below.depth)
		case *ast.FragmentSpread:
			size, below := 1+m.directives(s.Directives), m.spread(s)
			e.add(plus(size, below.size), below.depth)
		}
	}
	return e
}

// directives returns the size of directives.
func (m *measurer) directives(list ast.DirectiveList) int64 {
	size := int64(len(list))
	m.Directives += size
	m.Steps += size
	for _, d := range list {
		size += m.values(d.Arguments)
	}
	return size
}

// values returns the size of the values of arguments.
func (m *measurer) values(list ast.ArgumentList) int64 {
	size := int64(0)
	for _, a := range list {
		size += m.value(a.Value, 1)
	}
	return size
}

// value returns the size of a value. A nested value counts once for each level, because the validator builds it once
// for each level.
func (m *measurer) value(v *ast.Value, depth int64) int64 {
	m.Steps++
	m.Values++
	size := depth
	switch v.Kind {
	case ast.ListValue:
		m.ListLength = max(m.ListLength, int64(len(v.Children)))
	case ast.ObjectValue:
	default:
		return size
	}
	m.ValueDepth = max(m.ValueDepth, depth)
	for _, child := range v.Children {
		size += m.value(child.Value, depth+1)
	}
	return size
}
