package graph_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph/graphtest"
	"roster/internal/typeid"
)

// author writes random queries on a world: all that the schema has, with aliases, fragments, directives, variables,
// filters, orders and the cursors of answers before.
type author struct {
	*world
	*graphtest.Operation
	known     *cursors
	fragments []fragment
	wrong     bool // some arguments are wrong
}

type fragment struct {
	name, on, text string
	cost           int
}

// newAuthor returns an author who has written nothing.
func newAuthor(w *world, random *rand.Rand, known *cursors) *author {
	return &author{world: w, Operation: graphtest.NewOperation(random, w.schema), known: known}
}

// compose returns a document and its variables: those to send, and those that it then has.
func (w *world) compose(random *rand.Rand, known *cursors) (document string, send, variables map[string]any) {
	a := newAuthor(w, random, known)
	return a.document(a.set(w.schema.Query, new(scope), 20000, 5)), a.Sent, a.Variables
}

// document returns the document with a selection on Query, and with what the author has written beside it.
func (a *author) document(set string) string {
	var b strings.Builder
	b.WriteString("query Random")
	if len(a.Definitions) > 0 {
		b.WriteString("(" + strings.Join(a.Definitions, ", ") + ")")
	}
	b.WriteString(" " + set)
	for _, f := range a.fragments {
		fmt.Fprintf(&b, "\nfragment %s on %s %s", f.name, f.on, f.text)
	}
	return b.String()
}

// scope is what was selected on one object, to be selected again: the selections merge.
type scope struct{ fields []*mention }

type mention struct {
	head string // alias, name and arguments
	def  *ast.FieldDefinition
	args map[string]any
	size int
	text string // what was selected the first time
	scope
}

// set writes a selection of a type. budget bounds how many objects the answer has below each of its objects, depth how
// many edges lie one below the other.
func (a *author) set(def *ast.Definition, s *scope, budget, depth int) string {
	var parts []string
	for range 1 + a.Random.IntN(4) {
		parts = append(parts, a.selection(def, s, budget/2, depth))
	}
	return "{ " + strings.Join(parts, " ") + " }"
}

// selection writes a field or a fragment.
func (a *author) selection(def *ast.Definition, s *scope, budget, depth int) string {
	switch {
	case a.Chance(8):
		condition := ""
		if a.Chance(2) {
			condition = " on " + def.Name
			if a.kind(def.Name) != nil && a.Chance(3) {
				return "... on Node" + a.Directives() + " { id }"
			}
		}
		return "..." + condition + a.Directives() + " " + a.set(def, s, budget, depth)
	case a.Chance(10):
		return a.spread(def, budget, depth)
	case def.Name == "Node" && !a.Chance(4):
		k := pick(a.Random, a.kinds...)
		return "... on " + k.Name + a.Directives() + " " + a.set(k.Definition, new(scope), budget, depth)
	case len(s.fields) > 0 && a.Chance(6):
		m := pick(a.Random, s.fields...)
		if k := a.connected(m.def); k != nil && m.text != "" && a.Chance(2) {
			return a.vary(def, m, k)
		}
		return m.head + a.Directives() + " " + a.set(a.schema.Types[m.def.Type.Name()], &m.scope, budget/max(m.size, 1), depth-1)
	}
	return a.field(def, s, budget, depth)
}

// vary writes the same connection again, but for one of its arguments.
func (a *author) vary(def *ast.Definition, m *mention, k *kind) string {
	args := maps.Clone(m.args)
	switch cursors := a.known.list[place(def.Name+"."+m.def.Name, a.order(args["orderBy"]))]; {
	case len(cursors) > 0 && !a.Chance(4):
		args[pick(a.Random, "after", "before")] = pick(a.Random, cursors...)
	case a.Chance(2):
		args["where"] = a.where(k, 2)
	case args["orderBy"] != nil && args["after"] == nil && args["before"] == nil:
		args["orderBy"] = a.orderBy(k)
	case args["last"] == nil:
		args["first"] = 1 + a.Random.IntN(m.size+1)
	}
	return a.Name("a") + ": " + m.def.Name + a.written(m.def, args) + " " + m.text
}

// spread writes a fragment, or uses one that is there.
func (a *author) spread(def *ast.Definition, budget, depth int) string {
	for _, f := range a.fragments {
		if f.on == def.Name && f.cost <= budget && a.Chance(2) {
			return "..." + f.name + a.Directives()
		}
	}
	if budget = min(budget, 100); depth > 1 {
		depth--
	}
	text := a.set(def, new(scope), budget, depth)
	f := fragment{a.Name("F"), def.Name, text, budget}
	a.fragments = append(a.fragments, f)
	return "..." + f.name + a.Directives()
}

// field writes a field with its arguments and selection.
func (a *author) field(def *ast.Definition, s *scope, budget, depth int) string {
	var f *ast.FieldDefinition
	for {
		f = pick(a.Random, def.Fields...)
		to := a.schema.Types[f.Type.Name()]
		deeper := a.kind(f.Type.Name()) != nil || a.connected(f) != nil
		switch {
		case a.Chance(10), budget < 1 && to.IsCompositeType(), depth < 1 && deeper && a.kind(def.Name) != nil:
			return "__typename"
		case strings.HasPrefix(f.Name, "__"):
			continue
		case def == a.schema.Query && !slices.ContainsFunc(a.roots, func(r *root) bool { return r.FieldDefinition == f }):
			continue
		case deeper && def.Name != "Query" && a.kind(def.Name) == nil: // nodes and node, no edge
			return a.plain(f, s, budget, depth)
		}
		break
	}
	if len(f.Arguments) == 0 {
		return a.plain(f, s, budget, depth-1)
	}
	args, size := a.arguments(def, f, budget)
	a.spoil(f, args)
	head := f.Name + a.written(f, args)
	if len(args) > 0 || a.Chance(4) {
		head = a.Name("a") + ": " + head
	}
	m := &mention{head: head, def: f, args: args, size: size}
	s.fields = append(s.fields, m)
	m.text = a.set(a.schema.Types[f.Type.Name()], &m.scope, budget/max(size, 1), depth-1)
	return head + a.Directives() + " " + m.text
}

// plain writes a field without arguments.
func (a *author) plain(f *ast.FieldDefinition, s *scope, budget, depth int) string {
	head := f.Name
	if a.Chance(5) {
		head = a.Name("a") + ": " + head
	}
	to := a.schema.Types[f.Type.Name()]
	if !to.IsCompositeType() {
		return head + a.Directives()
	}
	m := &mention{head: head, def: f}
	if i := slices.IndexFunc(s.fields, func(m *mention) bool { return m.head == head }); i >= 0 {
		m = s.fields[i]
	} else {
		s.fields = append(s.fields, m)
	}
	return head + a.Directives() + " " + a.set(to, &m.scope, budget, depth)
}

// arguments chooses the arguments of a field, and says how many objects it then has at most.
func (a *author) arguments(def *ast.Definition, f *ast.FieldDefinition, budget int) (args map[string]any, size int) {
	args = map[string]any{}
	size = 1
	if k := a.connected(f); k != nil {
		size = a.paging(args, k, def.Name+"."+f.Name, budget)
	} else {
		root := a.roots[slices.IndexFunc(a.roots, func(r *root) bool { return r.FieldDefinition == f })]
		switch root.by {
		case byID:
			args["id"] = a.id(root.kind)
		case byNode:
			args["id"] = a.id(pick(a.Random, a.kinds...))
		case byNodes:
			var ids []any
			for range a.Random.IntN(8) {
				ids = append(ids, a.id(pick(a.Random, a.kinds...)))
			}
			args["ids"], size = ids, len(ids)
			if ids == nil {
				args["ids"] = []any{}
			}
		case byValue:
			by := pick(a.Random, a.schema.Types[f.Arguments.ForName("by").Type.Name()].Fields...)
			switch object := root.kind.objects[by.Name]; {
			case by.Name == "id":
				args["by"] = map[string]any{"id": a.id(root.kind)}
			case object != nil:
				parts, found := map[string]any{}, pick(a.Random, root.kind.rows...)
				for _, part := range object.Fields {
					parts[part.Name] = found.values[snake(by.Name)+"_"+snake(part.Name)]
					if parts[part.Name] == nil || a.Chance(8) {
						parts[part.Name] = texts(root.kind, snake(part.Name)).random(a.Random)
					}
				}
				args["by"] = map[string]any{by.Name: parts}
			default:
				// What is there, in another case; or what is not, but could be.
				v := texts(root.kind, snake(by.Name)).random(a.Random)
				if found := pick(a.Random, root.kind.rows...); a.Chance(2) {
					v = found.values[snake(by.Name)+"_key"].(string) //nolint:errcheck // a text
				}
				args["by"] = map[string]any{by.Name: v}
			}
		case byPage:
		}
	}
	return args, size
}

// written is arguments as they stand in a document.
func (a *author) written(f *ast.FieldDefinition, args map[string]any) string {
	var parts []string
	for _, arg := range f.Arguments {
		if v, ok := args[arg.Name]; ok {
			parts = append(parts, arg.Name+": "+a.Value(arg.Type, v))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	a.Random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "(" + strings.Join(parts, ", ") + ")"
}

// paging chooses the arguments of a connection.
func (a *author) paging(args map[string]any, k *kind, field string, budget int) (size int) {
	size = min(20, len(k.rows))
	switch most := min(100, max(budget/2, 1)); {
	case budget < 20, a.Chance(3):
		size = 1 + a.Random.IntN(most)
		args["first"] = size
	case a.Chance(2):
		size = 1 + a.Random.IntN(most)
		args["last"] = size
		if a.Chance(4) {
			args["first"] = nil
		}
	case a.Chance(4):
		args["first"] = nil
	}
	if a.Chance(2) {
		args["where"] = a.where(k, 3)
	}
	var by []any
	if a.Chance(2) {
		by = a.orderBy(k)
	}
	for range 3 { // look for an order that has cursors
		if len(a.known.list[place(field, a.order(by))]) > 0 || a.Chance(2) {
			break
		}
		by = a.orderBy(k)
	}
	if by != nil || a.Chance(10) {
		args["orderBy"] = by
		if by == nil && a.Chance(2) {
			args["orderBy"] = []any{}
		}
	}
	if list := a.known.list[place(field, a.order(by))]; len(list) > 0 {
		for _, name := range []string{"after", "before"} {
			if a.Chance(3) {
				args[name] = pick(a.Random, list...)
			}
		}
	}
	return min(size, len(k.rows))
}

// orderBy is a random order, as clients write it.
func (a *author) orderBy(k *kind) []any {
	var list []any
	for range 1 + a.Random.IntN(3) {
		by := map[string]any{"field": graphtest.Enum(pick(a.Random, a.schema.Types[k.Name+"OrderField"].EnumValues...).Name)}
		by["direction"] = graphtest.Enum(pick(a.Random, "ASC", "DESC"))
		if by["direction"] == graphtest.Enum("ASC") && a.Chance(3) {
			delete(by, "direction")
		}
		list = append(list, by)
	}
	return list
}

// id is the ID of a row; sometimes one of none.
func (a *author) id(k *kind) string {
	if a.Chance(8) {
		return typeid.New(k.label, a.ids.New(k.label).UUID()).String()
	}
	return pick(a.Random, k.rows...).id.String()
}

// where is a random filter.
func (a *author) where(k *kind, depth int) map[string]any {
	where := map[string]any{}
	def := a.schema.Types[k.Name+"Where"]
	for range a.Random.IntN(3) {
		f := pick(a.Random, def.Fields...)
		switch f.Type.Name() {
		case def.Name:
			if depth == 0 {
				continue
			}
			if f.Type.Elem == nil {
				where[f.Name] = a.where(k, depth-1)
				continue
			}
			list := []any{}
			for range a.Random.IntN(3) {
				list = append(list, a.where(k, depth-1))
			}
			where[f.Name] = list
		case "Boolean":
			where[f.Name] = a.Chance(2)
		default:
			if to := a.schema.Types[f.Type.Name()]; to.Kind == ast.Enum {
				where[f.Name] = graphtest.Enum(pick(a.Random, to.EnumValues...).Name)
			} else {
				where[f.Name] = a.operators(k, f)
			}
		}
		if a.Chance(12) {
			where[f.Name] = nil
		}
	}
	return where
}

// operators is a random condition on one value.
func (a *author) operators(k *kind, f *ast.FieldDefinition) map[string]any {
	operators := map[string]any{}
	value := func() any { return a.sample(k, f) }
	for range a.Random.IntN(3) {
		operator := pick(a.Random, a.schema.Types[f.Type.Name()].Fields...)
		switch {
		case a.Chance(12):
			operators[operator.Name] = nil
		case operator.Type.Elem != nil:
			list := []any{}
			for range a.Random.IntN(5) {
				list = append(list, value())
			}
			operators[operator.Name] = list
		case operator.Name == "startsWith":
			runes := []rune(value().(string)) //nolint:errcheck // a text
			operators[operator.Name] = string(runes[:a.Random.IntN(len(runes)+1)])
		case operator.Name == "contains":
			runes := []rune(value().(string)) //nolint:errcheck // a text
			if at := a.Random.IntN(len(runes) + 1); len(runes)-at >= 3 {
				operators[operator.Name] = string(runes[at:])
			} else {
				operators[operator.Name] = string(slices.Concat(runes, []rune("aaa"))[:3])
			}
		default:
			operators[operator.Name] = value()
		}
	}
	return operators
}

// sample is a value to compare with, near those that there are.
func (a *author) sample(k *kind, f *ast.FieldDefinition) any {
	r := pick(a.Random, k.rows...)
	column := snake(f.Name)
	value := r.value(column)
	if value == nil && f.Type.Name() == "DateTimeFilter" {
		value = r.values["created_at"]
	}
	switch v := value.(type) {
	case typeid.ID:
		if p := r.parent[column]; p != nil {
			return a.id(p.kind)
		}
		return a.id(k)
	case time.Time:
		v = v.Add(time.Duration(a.Random.IntN(3)-1) * time.Microsecond)
		return v.In(time.FixedZone("", (a.Random.IntN(47)-23)*1800)).Format(time.RFC3339Nano)
	case string:
		switch a.Random.IntN(4) {
		case 0:
			return texts(k, column).random(a.Random)
		case 1:
			return texts(k, column).fold(v)
		case 2:
			if texts(k, column).fold(strings.ToUpper(v)) == texts(k, column).fold(v) {
				return strings.ToUpper(v)
			}
		}
		return v
	default:
		panic(fmt.Sprintf("nobody filters by %T", v))
	}
}
