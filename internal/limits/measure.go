package limits

import (
	"cmp"

	"github.com/vektah/gqlparser/v2/ast"
)

// A Measure is how much of everything a document has.
type Measure struct {
	Fields, Aliases, Directives    int64 // as they are written
	Variables                      int64 // of the operation that declares most
	Depth                          int64 // selection sets inside one another
	Expanded                       int64 // all parts, fragments put in their places; see [Limits.MaxExpanded]
	Repeats                        int64 // pairs of fields that answer under one name in one place
	Values, ValueDepth, ListLength int64 // of the input in the document
	// Cycle is a fragment within itself, when there is one: the document is not valid, and has no cost.
	Cycle *ast.FragmentSpread
	// Steps is how many steps it took to find all this and the cost.
	Steps int64
}

// A Document is a document that has passed the limits that show without variables.
type Document struct {
	Measure

	checker    *Checker
	operations map[*ast.OperationDefinition]*operation
}

// Document checks a parsed document, which need not be valid, on what shows without its variables. It returns what it
// found even with an error, which is an *ExceededError.
func (c *Checker) Document(doc *ast.QueryDocument) (*Document, error) {
	m := &measurer{
		fragments: make(map[string]*ast.FragmentDefinition, len(doc.Fragments)),
		extents:   make(map[*ast.FragmentDefinition]*extent, len(doc.Fragments)),
		arguments: map[*ast.Field]int64{},
	}
	for _, f := range doc.Fragments {
		if m.fragments[f.Name] == nil { // as the validator does, which has more to say about a second one
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

// A measurer looks at each part of a document once.
type measurer struct {
	Measure

	fragments map[string]*ast.FragmentDefinition
	extents   map[*ast.FragmentDefinition]*extent // nil for one that is being measured
	arguments map[*ast.Field]int64                // the extent of their values, where there are any
}

// extent is what a part of a document comes to with fragments in their places.
type extent struct {
	size  int64 // of all parts
	depth int64 // of selection sets
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
	for _, f := range doc.Fragments { // the validator visits each by itself, too
		e := m.definition(f)
		m.Expanded = plus(m.Expanded, e.size)
		m.Depth = max(m.Depth, e.depth)
	}
}

// spread is the extent of the fragment that is spread, and nothing for one that is not there or within itself.
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

// definition is the extent of a fragment that is not being measured.
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

func (m *measurer) directives(list ast.DirectiveList) int64 {
	size := int64(len(list))
	m.Directives += size
	m.Steps += size
	for _, d := range list {
		size += m.values(d.Arguments)
	}
	return size
}

// values is the extent of the values of arguments.
func (m *measurer) values(list ast.ArgumentList) int64 {
	size := int64(0)
	for _, a := range list {
		size += m.value(a.Value, 1)
	}
	return size
}

// value is the extent of a value. It grows with the depth: the validator builds each value once for each one around it.
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
