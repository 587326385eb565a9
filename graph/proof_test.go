package graph_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	validator "github.com/vektah/gqlparser/v2/validator/rules"

	"roster/internal/database"
	"roster/internal/dbtest"
)

var (
	documents = flag.Int("documents", 150, "how many random documents TestRandomDocuments sends to each engine")
	seed      = flag.Uint64("seed", 1, "where the random tests start")
)

// bound is how many statements a query may cost. They are bounded by the document and never grow with rows: one for each root field, each edge and each
// totalCount, and one for each type in a list of nodes.
func (w *world) bound(document *ast.QueryDocument, set ast.SelectionSet) (n int) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			below := w.bound(document, s.SelectionSet)
			switch parent := s.ObjectDefinition.Name; {
			case parent == "Query" && s.Name == "nodes", parent == "Change" && s.Name == "node":
				below += len(w.kinds)
			case parent == "Query" && s.Name == "changes":
				below += 2
			case parent == "Query" && s.Name != "__typename":
				below++
			case s.Name == "totalCount":
				below++
			case w.kind(parent) != nil && w.kind(parent).edge(s.Name) != nil:
				below++
			}
			n += below
		case *ast.InlineFragment:
			n += w.bound(document, s.SelectionSet)
		case *ast.FragmentSpread:
			n += w.bound(document, document.Fragments.ForName(s.Name).SelectionSet)
		}
	}
	return n
}

// pair is one engine with two databases: in one every level of a query has one row, in the other a full page of them.
type pair struct {
	one, many   *tester
	few, plenty *world
}

func newPair(t *testing.T, e dbtest.Engine) *pair {
	t.Helper()
	p := &pair{serve(t, e, settings{}), serve(t, e, settings{}), newWorld(t, 1), newWorld(t, 1)}
	p.few.fillFew(t, 1)
	p.plenty.fillMany(t)
	p.reset()
	return p
}

// reset makes both databases as they were at first.
func (p *pair) reset() {
	p.few.remove(p.one)
	p.few.insert(p.one)
	p.plenty.remove(p.many)
	p.plenty.insert(p.many)
}

// TestEveryEdge walks from every root field of the served schema over every edge of every entity to every edge of that
// one. However many rows there are, the number of statements is the same, and every level has its rows.
func TestEveryEdge(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPair(t, e)
		for _, r := range p.plenty.roots {
			kinds := p.plenty.kinds
			if r.by == byNodes {
				p.both(full/len(kinds), func(w *world) string { return w.mixed(r) })
			}
			if r.kind != nil {
				kinds = []*kind{r.kind}
			}
			for _, k := range kinds {
				p.query(r, k, k.tree(2))
				for _, first := range k.edges {
					for _, second := range first.to.edges {
						p.query(r, k, k.selection(first.selection(first.to.selection(second.selection(second.to.selection())))))
					}
				}
			}
		}
	})
}

// query sends a query from a root field for entities of a kind to both databases.
func (p *pair) query(r *root, k *kind, selection string) {
	p.one.Helper()
	p.both(full, func(w *world) string { return w.document(r, k.Name, selection) })
}

// both sends a query that each world writes to its database. A full level has so many rows.
func (p *pair) both(page int, write func(*world) string) {
	p.one.Helper()
	ask := func(s *tester, w *world) (document string, statements []string, levels map[string]int) {
		document = write(w)
		want, err := w.read(document, nil, newCursors())
		if err != nil {
			s.Fatalf("%s: %v", document, err)
		}
		a := s.do(document)
		statements = s.statements.take()
		if len(a.Errors) > 0 {
			s.Fatalf("%s\nfailed: %+v", document, a.Errors)
		}
		if err := newCursors().same(w, a.Data, want); err != nil {
			s.Errorf("%s\n%v", document, err)
		}
		return document, statements, countLevels(s, a.Data)
	}
	document, statements, levels := ask(p.one, p.few)
	_, statementsOfMany, levelsOfMany := ask(p.many, p.plenty)
	p.compare(document, statements, statementsOfMany)
	p.full(document, levels, levelsOfMany, page)
	if bound := p.few.boundOf(p.one, document); len(statements) > bound {
		p.one.Errorf("%s\ncost %d statements, but tells %d:\n%s", document, len(statements), bound, strings.Join(statements, "\n"))
	}
}

// mixed is a query for entities of all kinds at once, one after the other, and their edges.
func (w *world) mixed(r *root) string {
	var ids, fragments []string
	for i := range full / len(w.kinds) {
		for _, k := range w.kinds {
			if i < len(k.rows) {
				ids = append(ids, quote(k.rows[i].id.String()))
			}
		}
	}
	for _, k := range w.kinds {
		fragments = append(fragments, "... on "+k.Name+" "+k.tree(1))
	}
	return "{ " + r.Name + "(ids: [" + strings.Join(ids, ", ") + "]) { " + strings.Join(fragments, " ") + " } }"
}

// compare demands as many statements for many rows as for one.
func (p *pair) compare(document string, one, many []string) {
	p.one.Helper()
	if len(one) == 0 || len(one) != len(many) {
		p.one.Errorf("%s\ncosts %d statements where there is one row at each level and %d where there are %d. For one:\n%s\nFor many:\n%s",
			document, len(one), len(many), full, strings.Join(one, "\n"), strings.Join(many[:min(len(many), 20)], "\n"))
	}
}

// full demands that there was a row at each level, or a full page of so many where a list leads there.
func (p *pair) full(document string, one, many map[string]int, page int) {
	p.one.Helper()
	for level, n := range many {
		if one[level] < 1 || n < one[level] || n < page && strings.Contains(level, "[]") {
			p.one.Errorf("%s\nfound %d objects and %d at %s, want 1 or more and %d", document, one[level], n, level, page)
		}
	}
}

// countLevels counts the objects at each level of an answer, where the paths of lists end in [].
func countLevels(t *tester, data []byte) map[string]int {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	levels := map[string]int{}
	var count func(path string, v any)
	count = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			levels[path]++
			for name, v := range v {
				count(path+"."+name, v)
			}
		case []any:
			if len(v) > 0 {
				if _, scalar := v[0].(string); scalar {
					return
				}
			}
			levels[path+"[]"] += 0
			for _, v := range v {
				count(path+"[]", v)
			}
		}
	}
	count("", v)
	return levels
}

// document is a query for entities of a kind.
func (w *world) document(r *root, kind, selection string) string {
	k := w.kind(kind)
	var argument string
	switch r.by {
	case byPage:
		return "{ " + r.Name + "(first: 100) " + connection(selection, selection) + " }"
	case byID, byNode:
		argument = "id: " + quote(k.rows[0].id.String())
	case byValue:
		argument = "by: { id: " + quote(k.rows[0].id.String()) + " }"
	case byNodes:
		var ids []string
		for _, r := range k.rows[:min(full, len(k.rows))] {
			ids = append(ids, quote(r.id.String()))
		}
		argument = "ids: [" + strings.Join(ids, ", ") + "]"
	}
	if r.kind == nil {
		selection = "{ ... on " + k.Name + " " + selection + " }"
	}
	return "{ " + r.Name + "(" + argument + ") " + selection + " }"
}

// selection is all fields of the entity but its edges, and more.
func (k *kind) selection(more ...string) string {
	fields := []string{"__typename"}
	for _, f := range k.Fields {
		if k.edge(f.Name) == nil {
			fields = append(fields, f.Name)
		}
		if object := k.objects[f.Name]; object != nil {
			fields = append(fields, "{")
			for _, part := range object.Fields {
				fields = append(fields, part.Name)
			}
			fields = append(fields, "}")
		}
	}
	return "{ " + strings.Join(append(fields, more...), " ") + " }"
}

// tree is the entity with all edges, and those of what they lead to.
func (k *kind) tree(depth int) string {
	var edges []string
	for _, e := range k.edges {
		if depth > 0 {
			edges = append(edges, e.selection(e.to.tree(depth-1)))
		}
	}
	return k.selection(edges...)
}

// selection is the edge with what is selected of the entities behind it.
func (e *edge) selection(of string) string {
	if e.many {
		// All of both would double with every level.
		return e.name + "(first: 100) " + connection(of, "{ __typename id }")
	}
	return e.name + " " + of
}

// connection is all that a connection has, and what is selected of its nodes and of those of its edges.
func connection(nodes, edges string) string {
	return "{ totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes " + nodes + " edges { cursor node " + edges + " } }"
}

func quote(s string) string { return strconv.Quote(s) }

// TestEveryEdgeOfMutations asks every mutation whose payload has entities for all edges of them, and all edges of those.
// What it answers is what a query then answers.
func TestEveryEdgeOfMutations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPair(t, e)
		for _, m := range p.plenty.schema.Mutation.Fields {
			if !p.plenty.leads(m.Type.Name(), map[string]bool{}) {
				continue
			}
			left := full
			if strings.HasPrefix(m.Name, "delete") || strings.HasPrefix(m.Name, "remove") { // what is left is one row or more
				p.few = newWorld(t, 1)
				p.few.fillFew(t, 2)
				p.few.fillSecond(t)
				p.reset()
				left--
			}
			document, statements, levels := p.few.mutate(p.one, m, 1)
			_, statementsOfMany, levelsOfMany := p.plenty.mutate(p.many, m, full)
			p.compare(document, statements, statementsOfMany)
			if strings.HasPrefix(m.Name, "create") { // what is new has no more than its input brings along
				maps.DeleteFunc(levelsOfMany, func(level string, n int) bool { return n+levels[level] == 0 })
			}
			p.full(document, levels, levelsOfMany, left)
			p.reset()
		}
	})
}

// mutate runs a mutation whose inputs are lists of n.
func (w *world) mutate(s *tester, m *ast.FieldDefinition, n int) (document string, statements []string, levels map[string]int) {
	s.Helper()
	var subject *kind // what the mutation is about, by its name
	for _, k := range w.kinds {
		if strings.Contains(m.Name, k.Name) && (subject == nil || len(k.Name) > len(subject.Name)) {
			subject = k
		}
	}
	if subject == nil {
		s.Fatalf("%s: the name has none of an entity: teach mutate what it is about", m.Name)
	}
	var parameters, arguments []string
	var variables []any
	for _, a := range m.Arguments {
		if v := w.input(s, m, a.Name, a.Type, a.DefaultValue, subject, 0, n); v != nil {
			parameters = append(parameters, "$"+a.Name+": "+a.Type.String())
			arguments = append(arguments, a.Name+": $"+a.Name)
			variables = append(variables, a.Name, v)
		}
	}
	payload := w.schema.Types[m.Type.Name()]
	document = "mutation (" + strings.Join(parameters, ", ") + ") { " + m.Name + "(" + strings.Join(arguments, ", ") + ") " + w.payload(payload) + " }"
	a := s.do(document, variables...)
	statements = s.statements.take()
	if len(a.Errors) > 0 {
		s.Fatalf("%s\n%v\nfailed: %+v\nTeach input what it wants.", document, variables, a.Errors)
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(a.Data, &data); err != nil {
		s.Fatal(err)
	}
	w.checkPayload(s, payload, data[m.Name])
	return document, statements, countLevels(s, a.Data)
}

// payload selects all that a mutation answers.
func (w *world) payload(def *ast.Definition) string {
	if k := w.kind(def.Name); k != nil {
		return k.tree(2)
	}
	if !def.IsCompositeType() {
		return ""
	}
	var fields []string
	for _, f := range def.Fields {
		fields = append(fields, f.Name+" "+w.payload(w.schema.Types[f.Type.Name()]))
	}
	return "{ " + strings.Join(fields, " ") + " }"
}

// checkPayload compares the entities that a mutation answered with what a query answers.
func (w *world) checkPayload(s *tester, def *ast.Definition, text json.RawMessage) {
	s.Helper()
	if !def.IsCompositeType() || string(text) == "null" {
		return
	}
	if text[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			s.Fatal(err)
		}
		for _, element := range list {
			w.checkPayload(s, def, element)
		}
		return
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		s.Fatal(err)
	}
	k := w.kind(def.Name)
	if k == nil {
		for _, f := range def.Fields {
			w.checkPayload(s, w.schema.Types[f.Type.Name()], object[f.Name])
		}
		return
	}
	var found struct{ Node json.RawMessage }
	s.must(&found, "{ node(id: "+string(object["id"])+") { ... on "+k.Name+" "+k.tree(2)+" } }")
	s.statements.take()
	if !bytes.Equal(found.Node, text) {
		s.Errorf("a mutation answered\n%s\nand a query then\n%s", text, found.Node)
	}
}

// input is a value for an argument, or a field of one, of a mutation about a subject; nil leaves it out. Lists have n values;
// what is not in one is the value at an index.
func (w *world) input(t *tester, m *ast.FieldDefinition, name string, typ *ast.Type, byDefault *ast.Value, subject *kind, at, n int) any {
	t.Helper()
	def := w.schema.Types[typ.Name()]
	about := func(name string) *kind { // what an input is about: the end of an edge, or another entity
		if e := subject.edge(name); e != nil {
			return e.to
		}
		return w.kind(strings.ToUpper(name[:1]) + name[1:])
	}
	var one func(i int) any
	switch {
	case def.Kind == ast.InputObject:
		of := subject
		if about(name) != nil {
			of = about(name)
		}
		below := n
		if typ.Elem != nil { // the lists of all together are as long as this one
			below = 1
		}
		one = func(i int) any {
			object := map[string]any{}
			for _, f := range def.Fields {
				if v := w.input(t, m, f.Name, f.Type, f.DefaultValue, of, i, below); v != nil {
					object[f.Name] = v
				}
			}
			return object
		}
	case def.Name == "ID":
		of := subject
		if edge := strings.TrimSuffix(strings.TrimSuffix(name, "s"), "Id"); edge != "id" {
			if of = about(edge); of == nil {
				of = about(edge + "s")
			}
		}
		if of == nil {
			t.Fatalf("%s: teach input whose ID %s is", m.Name, name)
		}
		one = func(i int) any { return of.rows[i].id.String() }
	case def.Name == "String":
		one = func(i int) any {
			// What is to be there or new is found by the first field of its input: that of one that is there.
			if known := snake(name); strings.HasPrefix(m.Name, "upsert") && snake(w.schema.Types[m.Arguments[0].Type.Name()].Fields[0].Name) == known {
				return subject.rows[i].values[known]
			}
			for {
				s := texts(subject, snake(name)).random(w.random)
				if key := snake(name) + "\x00" + texts(subject, snake(name)).fold(s); !subject.taken[key] {
					subject.taken[key] = true
					return s
				}
			}
		}
	case !typ.NonNull || byDefault != nil:
		return nil
	case def.Kind == ast.Enum && typ.Elem != nil:
		return []any{def.EnumValues[0].Name}
	default:
		t.Fatalf("%s: teach input what %s wants", m.Name, name)
	}
	if typ.Elem == nil {
		return one(at)
	}
	list := make([]any, n)
	for i := range list {
		list[i] = one(i)
	}
	return list
}

// TestLongFilters reads pages of the children of many parents through the longest list that a filter may have, which is
// too long to be sent once for each parent.
func TestLongFilters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(t, *seed)
		w.fillMany(t)
		s := serve(t, e, settings{})
		w.insert(s)
		a := newAuthor(w, w.random, newCursors())
		for _, k := range w.kinds {
			for _, e := range k.edges {
				if !e.many {
					continue
				}
				var ids []any
				for i := range 1000 {
					ids = append(ids, e.to.rows[i*i%len(e.to.rows)].id.String())
				}
				for range 5 {
					size := fmt.Sprint(pick(w.random, "first", "last"), ": ", 1+w.random.IntN(4))
					document := "query ($where: " + e.to.Name + "Where, $by: [" + e.to.Name + "Order!]) { " + w.page(k).Name + "(first: 100) { nodes { " +
						e.name + "(where: $where, orderBy: $by, " + size + ") { nodes { id } pageInfo { hasNextPage hasPreviousPage } } } } }"
					variables := map[string]any{"where": map[string]any{"id": map[string]any{"in": ids}}, "by": a.orderBy(e.to)}
					s.answers(w, document, variables, variables, newCursors())
				}
			}
		}
	})
}

// boundOf is the bound of a document.
func (w *world) boundOf(t *tester, document string) int {
	t.Helper()
	parsed, errs := gqlparser.LoadQueryWithRules(w.schema, document, validator.NewDefaultRules())
	if len(errs) > 0 {
		t.Fatalf("%v in\n%s", errs, document)
	}
	return w.bound(parsed, parsed.Operations[0].SelectionSet)
}

// TestRandomDocuments sends random queries on random data to each engine. Their answers are those of a reader who goes
// through the data row by row. The document bounds the statements, which do not grow with rows. Each database is closed
// and dropped before the next one is made: however many documents there are, the servers have room. On every other
// database, no statement is prepared.
func TestRandomDocuments(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const perWorld = 50
		for sent := 0; sent < *documents && !t.Failed(); sent += perWorld {
			seed := *seed + uint64(sent)
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
				w := newWorld(t, seed)
				w.fillRandom(t, 40)
				s := serve(t, e, settings{database: func(o *database.Options) {
					if sent/perWorld%2 == 1 {
						o.StatementCache = 0
					}
				}})
				w.insert(s)
				random := rand.New(rand.NewPCG(seed, 0))
				known := newCursors()
				for range perWorld {
					if s.random(w, random, known); t.Failed() {
						return
					}
				}
			})
		}
	})
}

// TestSuiteUnprepared sends the requests of TestSuite to a MariaDB that prepares no statement. The answers are the same
// bytes, although values travel as text.
func TestSuiteUnprepared(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got the files %q, %v, want some", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			s := serve(t, dbtest.MySQL, settings{database: func(o *database.Options) { o.StatementCache = 0 }})
			run(s, readScenario(t, file), false)
		})
	}
}

// random sends one random query.
func (s *tester) random(w *world, random *rand.Rand, known *cursors) {
	s.Helper()
	document, send, variables := w.compose(random, known)
	s.answers(w, document, send, variables, known)
}

// answers sends a query and compares what comes back with what a reader finds. Some of the variables may have the
// values that the document gives them, and are not sent.
func (s *tester) answers(w *world, document string, send, variables map[string]any, known *cursors) {
	s.Helper()
	text, err := json.Marshal(send)
	if err != nil {
		s.Fatal(err)
	}
	want, err := w.read(document, variables, known)
	if err != nil {
		s.Fatal(err)
	}
	var pairs []any
	for name, v := range send {
		pairs = append(pairs, name, v)
	}
	a := s.do(document, pairs...)
	statements := s.statements.take()
	if len(a.Errors) > 0 {
		s.Errorf("%s\n%s\ngot the errors %+v, want none", document, text, a.Errors)
		return
	}
	if err := known.same(w, a.Data, want); err != nil {
		s.Errorf("%s\n%s\n%v", document, text, err)
	}
	if bound := w.boundOf(s, document); len(statements) > bound {
		s.Errorf("%s\n%s\ngot %d statements, want at most %d:\n%s", document, text, len(statements), bound, strings.Join(statements, "\n"))
	}
}
