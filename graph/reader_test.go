package graph_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	validator "github.com/vektah/gqlparser/v2/validator/rules"

	"roster/internal/typeid"
)

// reader answers a query from a world in the slow and obvious way: field by field as the GraphQL specification says,
// and row by row as the contract does. It shares nothing with the program but the rules of single texts.
type reader struct {
	*world
	document  *ast.QueryDocument
	variables map[string]any
	known     *cursors
	out       bytes.Buffer
}

// read returns the data that a query gets, with cursors written as mark does.
func (w *world) read(document string, variables map[string]any, known *cursors) (string, error) {
	parsed, errs := gqlparser.LoadQueryWithRules(w.schema, document, validator.NewDefaultRules())
	if len(errs) > 0 {
		return "", errs
	}
	r := &reader{world: w, document: parsed, variables: variables, known: known}
	r.object(w.schema.Query, []ast.SelectionSet{parsed.Operations[0].SelectionSet}, r.root)
	return r.out.String(), nil
}

// field is all fields of one selection that have the same key in the answer.
type selected struct {
	*ast.Field
	sets []ast.SelectionSet
}

// collect merges the selections on an object, in the order of their first mention.
func (r *reader) collect(def *ast.Definition, sets []ast.SelectionSet) []*selected {
	var list []*selected
	visited := map[string]bool{}
	var add func(set ast.SelectionSet)
	add = func(set ast.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				if !r.included(s.Directives) {
					continue
				}
				i := slices.IndexFunc(list, func(f *selected) bool { return f.Alias == s.Alias })
				if i < 0 {
					i = len(list)
					list = append(list, &selected{Field: s})
				}
				list[i].sets = append(list[i].sets, s.SelectionSet)
			case *ast.InlineFragment:
				if r.included(s.Directives) && applies(s.TypeCondition, def) {
					add(s.SelectionSet)
				}
			case *ast.FragmentSpread:
				if r.included(s.Directives) && !visited[s.Name] {
					visited[s.Name] = true
					if f := r.document.Fragments.ForName(s.Name); applies(f.TypeCondition, def) {
						add(f.SelectionSet)
					}
				}
			}
		}
	}
	for _, set := range sets {
		add(set)
	}
	return list
}

// included applies @skip and @include.
func (r *reader) included(directives ast.DirectiveList) bool {
	for _, d := range directives {
		if d.ArgumentMap(r.variables)["if"] == (d.Name == "skip") {
			return false
		}
	}
	return true
}

func applies(condition string, def *ast.Definition) bool {
	return condition == "" || condition == def.Name || slices.Contains(def.Interfaces, condition)
}

// object writes an object; resolve writes the value of each field.
func (r *reader) object(def *ast.Definition, sets []ast.SelectionSet, resolve func(f *selected)) {
	r.out.WriteByte('{')
	for i, f := range r.collect(def, sets) {
		if i > 0 {
			r.out.WriteByte(',')
		}
		r.json(f.Alias)
		r.out.WriteByte(':')
		if f.Name == "__typename" {
			r.json(def.Name)
			continue
		}
		resolve(f)
	}
	r.out.WriteByte('}')
}

// list writes a list.
func list[T any](r *reader, values []T, write func(T)) {
	r.out.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			r.out.WriteByte(',')
		}
		write(v)
	}
	r.out.WriteByte(']')
}

// json writes a scalar.
func (r *reader) json(v any) {
	if t, ok := v.(time.Time); ok {
		v = t.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	r.out.Write(b)
}

// root writes a field of Query.
func (r *reader) root(f *selected) {
	args := f.ArgumentMap(r.variables)
	root := r.roots[slices.IndexFunc(r.roots, func(root *root) bool { return root.Name == f.Name })]
	switch root.by {
	case byPage:
		r.connection(f, root.kind, root.kind.rows, "Query."+f.Name)
	case byID, byNode:
		r.entity(r.byID[fmt.Sprint(args["id"])], f.sets)
	case byValue:
		for name, v := range args["by"].(map[string]any) { //nolint:errcheck // the document is valid
			i := slices.IndexFunc(root.kind.rows, func(row *row) bool {
				if name == "id" {
					return row.id.String() == v
				}
				if parts, is := v.(map[string]any); is {
					return !slices.ContainsFunc(slices.Collect(maps.Keys(parts)), func(part string) bool { return row.values[snake(name)+"_"+snake(part)] != parts[part] })
				}
				return row.values[snake(name)+"_key"] == texts(row.kind, snake(name)).fold(v.(string)) //nolint:errcheck // as above
			})
			if i < 0 {
				r.entity(nil, f.sets)
			} else {
				r.entity(root.kind.rows[i], f.sets)
			}
		}
	case byNodes:
		list(r, values(args["ids"]), func(id any) { r.entity(r.byID[fmt.Sprint(id)], f.sets) })
	}
}

// entity writes a row; null when there is none.
func (r *reader) entity(n *row, sets []ast.SelectionSet) {
	if n == nil {
		r.json(nil)
		return
	}
	r.object(n.Definition, sets, func(f *selected) {
		e := n.edge(f.Name)
		switch {
		case f.Name == "id":
			r.json(n.id.String())
		case e == nil:
			r.value(n, f)
		case e.many:
			r.connection(f, e.to, e.rows(n), n.Name+"."+f.Name)
		case len(e.rows(n)) == 0:
			r.json(nil)
		default:
			r.entity(e.rows(n)[0], f.sets)
		}
	})
}

// value writes a field that is no edge.
func (r *reader) value(n *row, f *selected) {
	object := n.objects[f.Name]
	switch value, _ := n.values[snake(f.Name)].(string); {
	case object == nil && f.Definition.Type.Elem != nil:
		r.json(strings.Split(value, ","))
	case object == nil:
		r.json(n.values[snake(f.Name)])
	case n.values[snake(f.Name)+"_"+snake(object.Fields[0].Name)] == nil:
		r.json(nil)
	default:
		r.object(object, f.sets, func(part *selected) { r.json(n.values[snake(f.Name)+"_"+snake(part.Name)]) })
	}
}

// present reports whether a row has a value in a column, or in one of the columns of an object.
func (n *row) present(name string) bool {
	for column, v := range n.values {
		if v != nil && (column == name || strings.HasPrefix(column, name+"_")) {
			return true
		}
	}
	return false
}

// connection writes the page of the rows that the arguments of a field ask for.
func (r *reader) connection(f *selected, of *kind, rows []*row, field string) {
	args := f.ArgumentMap(r.variables)
	var matching []*row
	for _, row := range rows {
		if r.matches(row, args["where"]) {
			matching = append(matching, row)
		}
	}
	order := r.order(args["orderBy"])
	slices.SortFunc(matching, order.compare)
	total := len(matching)
	after, before := r.known.row(field, order, args["after"]), r.known.row(field, order, args["before"])
	page := slices.DeleteFunc(matching, func(row *row) bool {
		return after != nil && order.compare(row, after) <= 0 || before != nil && order.compare(row, before) >= 0
	})
	next, previous := before != nil, after != nil
	if last := args["last"]; last != nil {
		n := len(page) - integer(last)
		previous = n > 0
		page = page[max(n, 0):]
	} else {
		n := 20
		if first := args["first"]; first != nil {
			n = integer(first)
		}
		next = len(page) > n
		page = page[:min(n, len(page))]
	}
	cursor := func(row *row) { r.json(mark(field, order, row)) }
	r.object(r.schema.Types[f.Definition.Type.Name()], f.sets, func(f *selected) {
		switch f.Name {
		case "totalCount":
			r.json(total)
		case "nodes":
			list(r, page, func(n *row) { r.entity(n, f.sets) })
		case "edges":
			list(r, page, func(n *row) {
				r.object(r.schema.Types[of.Name+"Edge"], f.sets, func(f *selected) {
					if f.Name == "cursor" {
						cursor(n)
					} else {
						r.entity(n, f.sets)
					}
				})
			})
		case "pageInfo":
			r.object(r.schema.Types["PageInfo"], f.sets, func(f *selected) {
				switch {
				case f.Name == "hasNextPage":
					r.json(next)
				case f.Name == "hasPreviousPage":
					r.json(previous)
				case len(page) == 0:
					r.json(nil)
				case f.Name == "startCursor":
					cursor(page[0])
				case f.Name == "endCursor":
					cursor(page[len(page)-1])
				}
			})
		}
	})
}

// order is what a connection is sorted by; the ID comes after that, in the last direction.
type order []sorting

type sorting struct {
	column string
	desc   bool
}

func (*world) order(orderBy any) (o order) {
	for _, v := range values(orderBy) {
		by := v.(map[string]any) //nolint:errcheck // the document is valid
		next := sorting{strings.ToLower(fmt.Sprint(by["field"])), fmt.Sprint(by["direction"]) == "DESC"}
		// What is equal stays so when it is sorted again.
		if !slices.ContainsFunc(o, func(before sorting) bool { return before.column == next.column }) {
			o = append(o, next)
		}
	}
	return o
}

func (o order) compare(a, b *row) int {
	for _, s := range o {
		var c int
		switch v := a.values[s.column].(type) {
		case time.Time:
			c = v.Compare(b.values[s.column].(time.Time)) //nolint:errcheck // the same column
		default:
			c = cmp.Compare(fmt.Sprint(a.values[s.column+"_key"]), fmt.Sprint(b.values[s.column+"_key"]))
		}
		if s.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	if len(o) > 0 && o[len(o)-1].desc {
		return b.id.Compare(a.id)
	}
	return a.id.Compare(b.id)
}

func (o order) String() string { return fmt.Sprint([]sorting(o)) }

// matches reports whether a row fulfils a filter.
func (r *reader) matches(n *row, where any) bool {
	filter, _ := where.(map[string]any)
	for name, v := range filter {
		if v == nil {
			continue
		}
		var ok bool
		edge, has := strings.CutPrefix(name, "has")
		switch {
		case name == "and":
			ok = !slices.ContainsFunc(values(v), func(v any) bool { return !r.matches(n, v) })
		case name == "or":
			ok = slices.ContainsFunc(values(v), func(v any) bool { return r.matches(n, v) })
		case name == "not":
			ok = !r.matches(n, v)
		case has && n.edge(strings.ToLower(edge[:1])+edge[1:]) != nil:
			e := n.edge(strings.ToLower(edge[:1]) + edge[1:])
			ok = (len(e.rows(n)) > 0) == v
		case has:
			ok = n.present(snake(strings.ToLower(edge[:1])+edge[1:])) == v
		default:
			switch v := v.(type) {
			case bool: // revoked asks for revokedAt
				ok = n.present(snake(name)+"_at") == v
			case map[string]any:
				ok = r.passes(n, name, v)
			default: // the name of an enum
				ok = n.values[snake(name)] == fmt.Sprint(v)
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// passes reports whether a row fulfils the operators on one of its values.
func (r *reader) passes(n *row, name string, operators map[string]any) bool {
	value := n.value(snake(name))
	if id, ok := value.(typeid.ID); ok {
		value = id.String()
	}
	_, folded := n.values[snake(name)+"_key"]
	compare := func(v any) int { // of the row's value with another one
		switch value := value.(type) {
		case time.Time:
			t, err := time.Parse(time.RFC3339Nano, v.(string)) //nolint:errcheck // as above
			if err != nil {
				panic(err)
			}
			return value.Compare(t)
		case string:
			if folded {
				return cmp.Compare(n.values[snake(name)+"_key"].(string), r.fold(n, name, v)) //nolint:errcheck // as above
			}
			return cmp.Compare(value, v.(string)) //nolint:errcheck // as above
		default:
			panic(fmt.Sprintf("no reader compares a %T", value))
		}
	}
	for operator, v := range operators {
		if v == nil {
			continue
		}
		if value == nil {
			return false
		}
		var ok bool
		switch operator {
		case "eq":
			ok = compare(v) == 0
		case "in":
			ok = slices.ContainsFunc(values(v), func(v any) bool { return compare(v) == 0 })
		case "gt":
			ok = compare(v) > 0
		case "gte":
			ok = compare(v) >= 0
		case "lt":
			ok = compare(v) < 0
		case "lte":
			ok = compare(v) <= 0
		case "startsWith":
			ok = strings.HasPrefix(n.values[snake(name)+"_key"].(string), r.fold(n, name, v)) //nolint:errcheck // as above
		case "contains":
			ok = strings.Contains(n.values[snake(name)+"_key"].(string), r.fold(n, name, v)) //nolint:errcheck // as above
		default:
			panic("no reader knows the operator " + operator)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (*reader) fold(n *row, name string, v any) string {
	return texts(n.kind, snake(name)).fold(v.(string)) //nolint:errcheck // as above
}

// values is a list as it stands in a document, where one value is a list of it.
func values(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func integer(v any) int {
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil {
		panic(err)
	}
	return n
}

// cursors are those that answers had, by the field and the order that they belong to.
type cursors struct {
	rows  map[string]*row   // by place and cursor
	texts map[string]string // by place and row
	list  map[string][]string
}

func newCursors() *cursors {
	return &cursors{map[string]*row{}, map[string]string{}, map[string][]string{}}
}

// place is where cursors are good.
func place(field string, o order) string { return field + " " + o.String() }

// mark stands for the cursor of a row in what a reader writes: what it looks like is the program's business.
func mark(field string, o order, n *row) string {
	return "\x00cursor\x00" + place(field, o) + "\x00" + n.id.String()
}

// row is the row of a cursor; nil for no cursor.
func (c *cursors) row(field string, o order, cursor any) *row {
	if cursor == nil {
		return nil
	}
	found := c.rows[place(field, o)+"\x00"+fmt.Sprint(cursor)]
	if found == nil {
		panic(fmt.Sprintf("the cursor %v was in no answer of %s", cursor, place(field, o)))
	}
	return found
}

// learn takes down the cursor that stands for a mark: always the same one, and the same for no other row.
func (c *cursors) learn(w *world, mark, cursor string) error {
	parts := strings.Split(mark, "\x00")
	place, id := parts[2], parts[3]
	n := w.byID[id]
	if before, ok := c.texts[place+"\x00"+id]; ok && before != cursor {
		return fmt.Errorf("the cursor of %s in %s is %s, and was %s before", id, place, cursor, before)
	}
	if before := c.rows[place+"\x00"+cursor]; before != nil && before != n {
		return fmt.Errorf("the cursor of %s in %s is %s, which was that of %s before", id, place, cursor, before.id)
	}
	if c.texts[place+"\x00"+id] == "" {
		c.list[place] = append(c.list[place], cursor)
	}
	c.texts[place+"\x00"+id], c.rows[place+"\x00"+cursor] = cursor, n
	return nil
}

// same compares an answer with what a reader wrote, token by token: names, values and their order.
func (c *cursors) same(w *world, got []byte, want string) error {
	a, b := json.NewDecoder(bytes.NewReader(got)), json.NewDecoder(strings.NewReader(want))
	a.UseNumber()
	b.UseNumber()
	fail := func(format string, args ...any) error {
		excerpt := func(text []byte, at int64) []byte {
			return bytes.ToValidUTF8(text[max(at-300, 0):min(at+100, int64(len(text)))], nil)
		}
		return fmt.Errorf(format+"; the answer there is\n%s\nand that of a reader\n%s",
			append(args, excerpt(got, a.InputOffset()), excerpt([]byte(want), b.InputOffset()))...)
	}
	for {
		x, errX := a.Token()
		y, errY := b.Token()
		marked, _ := y.(string)
		switch {
		case errX == io.EOF && errY == io.EOF:
			return nil
		case errX != nil || errY != nil:
			return fail("%v, %v", errX, errY)
		case strings.HasPrefix(marked, "\x00cursor\x00"):
			cursor, ok := x.(string)
			if !ok {
				return fail("%s, want the cursor %q", token(x), marked)
			}
			if err := c.learn(w, marked, cursor); err != nil {
				return err
			}
		case x != y:
			return fail("%s, want %s", token(x), token(y))
		}
	}
}

// token is a token of JSON as it is written.
func token(t json.Token) string {
	if s, ok := t.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(t)
}
