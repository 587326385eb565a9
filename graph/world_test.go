package graph_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/migrate"
	"roster/ent/rules"
	"roster/graph"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// world is the data of a test as plain Go values: what reader answers queries from, and what insert puts into a
// database. It lists no entity: the types that implement Node come from the served schema, their columns and foreign
// keys from the tables of the migrations, and the two meet by the names that ent derives. So the tests that stand on it
// hold for an entity that is new.
type world struct {
	schema *ast.Schema
	kinds  []*kind // what a foreign key refers to stands before what has the key
	joins  []*join
	roots  []*root
	byID   map[string]*row
	random *rand.Rand
	ids    *typeid.Source
	whole  bool // no column is NULL
}

// kind is an entity.
type kind struct {
	*ast.Definition
	label string // its type in IDs
	table *schema.Table
	edges []*edge
	// objects are the fields whose value is an object: each field of it has a column, as identity_issuer of identity.
	objects map[string]*ast.Definition
	rows    []*row // in the order of their IDs
	taken   map[string]bool
}

// edge is a field of an entity that leads to other ones.
type edge struct {
	name string
	to   *kind
	many bool
	rows func(*row) []*row
}

// join is the table of a many-to-many edge.
type join struct {
	table *schema.Table
	kinds [2]*kind
	pairs [][2]*row
}

// row is one entity.
type row struct {
	*kind
	id     typeid.ID
	values map[string]any  // by column: string, int, bool, time.Time; nil for NULL
	parent map[string]*row // by the column of a foreign key
}

// root is a field of Query through which entities are read.
type root struct {
	*ast.FieldDefinition
	kind *kind // nil for any
	by   rootBy
}

// rootBy is what a root field wants to know.
type rootBy int

const (
	byPage  rootBy = iota // the arguments of a connection
	byID                  // id
	byValue               // by, with one value of several
	byNode                // id of anything
	byNodes               // ids of anything
)

// newWorld returns a world without rows.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, seed))
	w := &world{
		schema: gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()}),
		byID:   map[string]*row{},
		random: random,
		ids:    typeid.NewSource(tick(time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC), time.Millisecond), rand.NewChaCha8([32]byte{byte(seed)})),
	}
	for _, name := range slices.Sorted(maps.Keys(w.schema.Types)) {
		if def := w.schema.Types[name]; def.Kind == ast.Object && slices.Contains(def.Interfaces, "Node") {
			w.kinds = append(w.kinds, &kind{Definition: def, label: snake(name), taken: map[string]bool{}, objects: map[string]*ast.Definition{}})
		}
	}
	w.findRoots(t)
	tables := map[*schema.Table]*kind{}
	for _, k := range w.kinds {
		for _, table := range migrate.Tables {
			if root := w.page(k); root != nil && table.Name == snake(root.Name) {
				k.table, tables[table] = table, k
			}
		}
		if k.table == nil {
			t.Fatalf("%s is a Node, but Query has no field that pages through the table of all of them", k.Name)
		}
	}
	for _, table := range migrate.Tables {
		if keys := table.ForeignKeys; tables[table] == nil && len(keys) == 2 && len(table.Columns) == 2 {
			w.joins = append(w.joins, &join{table: table, kinds: [2]*kind{tables[keys[0].RefTable], tables[keys[1].RefTable]}})
		}
	}
	for _, k := range w.kinds {
		w.findEdges(t, k, tables)
	}
	w.sortKinds(t, tables)
	return w
}

// findRoots finds the fields of Query that lead to entities.
func (w *world) findRoots(t *testing.T) {
	t.Helper()
	for _, f := range w.schema.Query.Fields {
		r := &root{FieldDefinition: f, kind: w.kind(f.Type.Name())}
		switch {
		case strings.HasPrefix(f.Name, "__"), f.Type.Name() == "Viewer", // the entity of the caller
			f.Type.Name() == "ChangePage": // TestEveryEdgeOfChanges follows that one
			continue
		case w.connected(f) != nil:
			r.kind, r.by = w.connected(f), byPage
		case f.Type.Name() == "Node" && f.Type.Elem != nil && f.Arguments.ForName("ids") != nil:
			r.by = byNodes
		case f.Type.Name() == "Node" && f.Arguments.ForName("id") != nil:
			r.by = byNode
		case r.kind != nil && f.Arguments.ForName("id") != nil:
			r.by = byID
		case r.kind != nil && f.Arguments.ForName("by") != nil:
			r.by = byValue
		case w.leads(f.Type.Name(), map[string]bool{}):
			t.Fatalf("Query.%s leads to entities in a way that world does not know: teach it", f.Name)
		default:
			continue
		}
		w.roots = append(w.roots, r)
	}
}

// leads reports whether a type has entities below it.
func (w *world) leads(name string, seen map[string]bool) bool {
	def := w.schema.Types[name]
	if seen[name] || !def.IsCompositeType() {
		return false
	}
	seen[name] = true
	return name == "Node" || w.kind(name) != nil ||
		slices.ContainsFunc(def.Fields, func(f *ast.FieldDefinition) bool { return w.leads(f.Type.Name(), seen) })
}

// kind is the entity of a name; nil when it is none.
func (w *world) kind(name string) *kind {
	i := slices.IndexFunc(w.kinds, func(k *kind) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return w.kinds[i]
}

// connected is the entity to which a connection leads; nil when the field is none.
func (w *world) connected(f *ast.FieldDefinition) *kind {
	if def := w.schema.Types[f.Type.Name()]; strings.HasSuffix(def.Name, "Connection") {
		return w.kind(def.Fields.ForName("nodes").Type.Name())
	}
	return nil
}

// page is the root field that pages through all entities of a kind.
func (w *world) page(k *kind) *root {
	i := slices.IndexFunc(w.roots, func(r *root) bool { return r.by == byPage && r.kind == k })
	if i < 0 {
		return nil
	}
	return w.roots[i]
}

// findEdges finds the edges of an entity and what in the tables they stand for.
func (w *world) findEdges(t *testing.T, k *kind, tables map[*schema.Table]*kind) {
	t.Helper()
	for _, f := range k.Fields {
		to, many := w.kind(f.Type.Name()), false
		if to == nil {
			to, many = w.connected(f), true
		}
		if to == nil {
			if object := w.schema.Types[f.Type.Name()]; object.IsCompositeType() {
				for _, part := range object.Fields {
					if !slices.ContainsFunc(k.table.Columns, func(c *schema.Column) bool { return c.Name == snake(f.Name)+"_"+snake(part.Name) }) {
						t.Fatalf("%s.%s is neither a column nor columns nor an edge: teach world what it is", k.Name, f.Name)
					}
				}
				k.objects[f.Name] = object
			}
			continue
		}
		// All ways from one table to the other; what ent calls after the edge decides between several.
		var ways []func(*row) []*row
		add := func(name string, way func(*row) []*row) {
			if strings.HasSuffix(name, snake(f.Name)) || strings.HasPrefix(name, snake(f.Name)+"_") {
				ways = slices.Insert(ways, 0, way)
				return
			}
			ways = append(ways, way)
		}
		for _, key := range k.table.ForeignKeys {
			if tables[key.RefTable] == to && !many {
				column := key.Columns[0].Name
				add(column, func(r *row) []*row {
					if p := r.parent[column]; p != nil {
						return []*row{p}
					}
					return nil
				})
			}
		}
		for _, key := range to.table.ForeignKeys {
			if tables[key.RefTable] == k && (many || len(ways) == 0) {
				column := key.Columns[0].Name
				add(key.Symbol, func(r *row) []*row {
					return slices.DeleteFunc(slices.Clone(to.rows), func(child *row) bool { return child.parent[column] != r })
				})
			}
		}
		for _, j := range w.joins {
			for side := range 2 {
				if many && j.kinds[side] == k && j.kinds[1-side] == to {
					add(j.table.Name, func(r *row) (found []*row) {
						for _, pair := range j.pairs {
							if pair[side] == r {
								found = append(found, pair[1-side])
							}
						}
						return found
					})
				}
			}
		}
		if len(ways) == 0 {
			t.Fatalf("%s.%s: no foreign key leads from %s to %s", k.Name, f.Name, k.table.Name, to.table.Name)
		}
		k.edges = append(k.edges, &edge{name: f.Name, to: to, many: many, rows: ways[0]})
	}
}

// sortKinds puts what is referred to before what refers to it.
func (w *world) sortKinds(t *testing.T, tables map[*schema.Table]*kind) {
	t.Helper()
	var sorted []*kind
	for len(sorted) < len(w.kinds) {
		before := len(sorted)
		for _, k := range w.kinds {
			ready := !slices.ContainsFunc(k.table.ForeignKeys, func(key *schema.ForeignKey) bool {
				to := tables[key.RefTable]
				return to != k && !slices.Contains(sorted, to)
			})
			if ready && !slices.Contains(sorted, k) {
				sorted = append(sorted, k)
			}
		}
		if len(sorted) == before {
			t.Fatal("the foreign keys of the tables go round in a circle")
		}
	}
	w.kinds = sorted
}

// edge is the edge of a name; nil when there is none.
func (k *kind) edge(name string) *edge {
	i := slices.IndexFunc(k.edges, func(e *edge) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return k.edges[i]
}

// text is what a world knows of a text that has more to keep than a length.
type text struct {
	random func(*rand.Rand) string
	fold   func(string) string                       // of what it is compared with
	key    func(string) (key string, f *rules.Fault) // of what is written
}

// texts are the rules of texts, by entity and column. The others are made of letters that every folding leaves alone.
func texts(k *kind, column string) text {
	switch k.Name + "." + column {
	case "User.username":
		return text{randomUsername, rules.FoldUsername, rules.Username}
	case "User.email":
		return text{randomEmail, rules.FoldEmail, rules.Email}
	case "Post.title":
		return text{randomTitle, rules.FoldTitle, rules.Title}
	}
	return text{randomWord, rules.FoldTitle, rules.Title}
}

// randomEmail is an address with the same key in the version before. Another one costs mutations a statement more, which
// TestStatementsOfAddresses counts.
func randomEmail(r *rand.Rand) string {
	for {
		email := randomUsername(r) + "@" + pick(r, "example.com", "Example.COM", "bücher.example")
		if key, fault := rules.Email(email); fault == nil && key == rules.FormerEmailKey(email) {
			return email
		}
	}
}

func randomWord(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(4) {
		b.WriteString(pick(r, "a", "b", "c", "ab", "ba", "z", "10"))
	}
	return b.String()
}

func randomUsername(r *rand.Rand) string {
	for {
		var b strings.Builder
		for range 1 + r.IntN(5) {
			b.WriteString(pick(r, "a", "A", "b", "ab", "Ä", "a\u0308", "ß", "ss", "SS", "é", "E\u0301", "σ", "Σ", "ς", "ａ", "Ａ", "1", "_", "-", "%", "'", "!", "ж", "Ж", "名", "ı"))
		}
		if _, fault := rules.Username(b.String()); fault != nil {
			continue
		}
		if _, fault := rules.Email(b.String() + "@example.com"); fault == nil {
			return b.String()
		}
	}
}

func randomTitle(r *rand.Rand) string {
	for {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteString(pick(r, "a", "A", "b", "ab", "Ä", "a\u0308", "\u0308", "ß", "ẞ", "ss", "SS", "é", "E\u0301", "σ", "Σ", "ς", "ａ", "ﬁ", "fi", "İ", "i", "ı",
				"K", "k", "ſ", " ", "  ", "%", "_", "\\", "'", "\"", "`", "😀", "👩\u200d🚀", "\u200b", "\ufeff", "\uffff", "\U0010ffff", "名", "가", "\u1100\u1161", "10", "9"))
		}
		if _, fault := rules.Title(b.String()); fault == nil {
			return b.String()
		}
	}
}

// pick returns one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// add adds a row whose columns are random and whose parents the function chooses: a column to a row, nil for none.
func (w *world) add(t *testing.T, k *kind, parent func(column string, of *kind, required bool) *row) *row {
	t.Helper()
	r := &row{kind: k, id: w.ids.New(k.label), values: map[string]any{}, parent: map[string]*row{}}
	keys := map[string]*kind{}
	for _, key := range k.table.ForeignKeys {
		for _, other := range w.kinds {
			if other.table == key.RefTable {
				keys[key.Columns[0].Name] = other
			}
		}
	}
	for _, c := range k.table.Columns {
		switch {
		case keys[c.Name] != nil:
			r.parent[c.Name] = parent(c.Name, keys[c.Name], !c.Nullable)
		case c.Name == "id", folds(k, c) != "":
		default:
			w.set(t, r, c)
		}
	}
	k.rows = append(k.rows, r)
	w.byID[r.id.String()] = r
	return r
}

// set gives a column of a row a random value, and with it the folded column.
func (w *world) set(t *testing.T, r *row, c *schema.Column) {
	t.Helper()
	null := c.Nullable && !w.whole && w.random.IntN(4) == 0
	for name := range r.objects {
		part := snake(name) + "_"
		for column, v := range r.values {
			if strings.HasPrefix(c.Name, part) && strings.HasPrefix(column, part) { // all parts of an object, or none
				null = v == nil
			}
		}
	}
	if null {
		r.values[c.Name] = nil
		return
	}
	switch c.Type {
	case field.TypeString:
		if names := w.enum(r.kind, c.Name); names != nil {
			r.values[c.Name] = pick(w.random, names...)
			return
		}
		rule := texts(r.kind, c.Name)
		for {
			s := rule.random(w.random)
			folded := slices.IndexFunc(r.table.Columns, func(other *schema.Column) bool { return folds(r.kind, other) == c.Name })
			r.values[c.Name] = s
			if folded < 0 && !r.inUnique(c) {
				return
			}
			key, fault := rule.key(s)
			if fault != nil || key != rule.fold(s) {
				t.Fatalf("%q is kept as %q, but compared with %q: %v", s, key, rule.fold(s), fault)
			}
			taken := c.Name + "\x00" + key
			if (folded < 0 || r.unique(r.table.Columns[folded])) && r.taken[taken] {
				continue
			}
			r.taken[taken] = true
			if folded >= 0 {
				r.values[r.table.Columns[folded].Name] = key
			}
			return
		}
	case field.TypeTime:
		// Few instants, so that many rows share one; on both sides of a second, so that the digits end in zeros.
		start := time.Date(2025, 12, 31, 23, 59, 59, 999_998_000, time.UTC)
		r.values[c.Name] = start.Add(time.Duration(w.random.IntN(5)) * time.Microsecond)
	case field.TypeInt, field.TypeInt64:
		r.values[c.Name] = 1 + w.random.IntN(9)
	case field.TypeBool:
		r.values[c.Name] = w.random.IntN(2) == 0
	case field.TypeEnum:
		r.values[c.Name] = pick(w.random, c.Enums...)
	default:
		t.Fatalf("%s.%s: world knows no values of its type: teach it", r.table.Name, c.Name)
	}
}

// folds is the column that the column holds the folded form of; empty when it is none such.
func folds(k *kind, c *schema.Column) string {
	name, ok := strings.CutSuffix(c.Name, "_key")
	if !ok || !slices.ContainsFunc(k.table.Columns, func(c *schema.Column) bool { return c.Name == name }) {
		return ""
	}
	return name
}

// unique reports whether no two rows have the same value in the column.
func (k *kind) unique(c *schema.Column) bool {
	return c.Unique || slices.ContainsFunc(k.table.Indexes, func(i *schema.Index) bool {
		return i.Unique && len(i.Columns) == 1 && i.Columns[0].Name == c.Name
	})
}

// inUnique reports whether a unique index has the column, alone or with others.
func (k *kind) inUnique(c *schema.Column) bool {
	return slices.ContainsFunc(k.table.Indexes, func(i *schema.Index) bool { return i.Unique && slices.Contains(i.Columns, c) })
}

// enum returns the names of the enum whose values a column holds, or nil.
func (w *world) enum(k *kind, column string) (names []string) {
	for _, f := range k.Fields {
		if def := w.schema.Types[f.Type.Name()]; snake(f.Name) == column && def.Kind == ast.Enum {
			for _, v := range def.EnumValues {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

// fillFew gives every kind so many rows; the first is the parent of all.
func (w *world) fillFew(t *testing.T, n int) {
	t.Helper()
	w.whole = true
	for _, k := range w.kinds {
		for i := range n {
			w.add(t, k, func(column string, of *kind, required bool) *row {
				c := k.column(column)
				switch {
				case len(of.rows) == 0 && !required:
					return nil
				case k.unique(c):
					return of.rows[i]
				default:
					return of.rows[0]
				}
			})
		}
	}
	for _, j := range w.joins {
		for i := range n {
			j.pairs = append(j.pairs, [2]*row{j.kinds[0].rows[0], j.kinds[1].rows[i]})
			if i > 0 {
				j.pairs = append(j.pairs, [2]*row{j.kinds[0].rows[i], j.kinds[1].rows[0]})
			}
		}
	}
}

// fillSecond gives the second row of each kind children of its own, of which there are two after fillFew: it is what is
// left when the first one goes.
func (w *world) fillSecond(t *testing.T) {
	t.Helper()
	for _, k := range w.kinds {
		if slices.ContainsFunc(k.table.Columns, func(c *schema.Column) bool { return w.refers(k, c) && !k.unique(c) }) {
			w.add(t, k, func(column string, of *kind, _ bool) *row {
				if k.unique(k.column(column)) {
					return nil
				}
				return of.rows[1]
			})
		}
	}
	for _, j := range w.joins {
		j.pairs = append(j.pairs, [2]*row{j.kinds[0].rows[1], j.kinds[1].rows[1]})
	}
}

// full is how many rows a level has when it is full: as many as a page may have.
const full = 100

// fillMany gives every kind many rows: the first has a full page of children on every edge, and each of a full page of
// others has some.
func (w *world) fillMany(t *testing.T) {
	t.Helper()
	w.whole = true
	for _, k := range w.kinds {
		n := full
		if slices.ContainsFunc(k.table.Columns, func(c *schema.Column) bool { return w.refers(k, c) && !k.unique(c) }) {
			n = 4 * full
		}
		for i := range n {
			w.add(t, k, func(column string, of *kind, required bool) *row {
				switch c := k.column(column); {
				case len(of.rows) == 0 && !required:
					return nil
				case k.unique(c):
					return of.rows[i]
				case i%2 == 0 || of == k:
					return of.rows[0]
				default:
					return of.rows[1+i/2%(full-1)]
				}
			})
		}
	}
	for _, j := range w.joins {
		taken := map[[2]int]bool{}
		for i := range full {
			for _, p := range [][2]int{{0, i}, {i, 0}, {i, i}, {i, (i + 1) % full}, {i, (i + 7) % full}} {
				if !taken[p] {
					taken[p] = true
					j.pairs = append(j.pairs, [2]*row{j.kinds[0].rows[p[0]], j.kinds[1].rows[p[1]]})
				}
			}
		}
	}
}

// refers reports whether a column is a foreign key.
func (w *world) refers(k *kind, c *schema.Column) bool {
	return slices.ContainsFunc(k.table.ForeignKeys, func(key *schema.ForeignKey) bool { return key.Columns[0] == c })
}

// column is the column of a name, which the table has.
func (k *kind) column(name string) *schema.Column {
	return k.table.Columns[slices.IndexFunc(k.table.Columns, func(c *schema.Column) bool { return c.Name == name })]
}

// fillRandom gives every kind up to so many rows, and each a few children here and there.
func (w *world) fillRandom(t *testing.T, most int) {
	t.Helper()
	for _, k := range w.kinds {
		for range 1 + w.random.IntN(most) {
			taken := map[*row]bool{}
			w.add(t, k, func(column string, of *kind, required bool) *row {
				c := k.column(column)
				if !required && (w.random.IntN(4) == 0 || len(of.rows) == 0) {
					return nil
				}
				for {
					// Some have many children and some none.
					r := of.rows[min(w.random.IntN(len(of.rows)), w.random.IntN(len(of.rows)))]
					if !k.unique(c) || !taken[r] {
						taken[r] = true
						return r
					}
				}
			})
		}
	}
	for _, j := range w.joins {
		for _, a := range j.kinds[0].rows {
			for _, b := range j.kinds[1].rows {
				if w.random.IntN(4) == 0 {
					j.pairs = append(j.pairs, [2]*row{a, b})
				}
			}
		}
	}
}

// insert puts all rows into the database, without a word to the program under test.
func (w *world) insert(t *tester) {
	t.Helper()
	w.write(t, func(exec func(query string, args []any)) {
		for _, k := range w.kinds {
			for rows := range slices.Chunk(k.rows, 200) {
				exec(insertRows(t, rows))
			}
		}
		for _, j := range w.joins {
			for pairs := range slices.Chunk(j.pairs, 200) {
				insert := sql.Dialect(t.db.Dialect()).Insert(j.table.Name)
				insert.Columns(j.table.ForeignKeys[0].Columns[0].Name, j.table.ForeignKeys[1].Columns[0].Name)
				for _, p := range pairs {
					insert.Values(p[0].id, p[1].id)
				}
				exec(insert.Query())
			}
		}
	})
	t.recount()
	t.statements.take()
}

// recount corrects the counts of the database after rows that the program did not write, as roster stats --recount does.
func (s *tester) recount() {
	s.Helper()
	var tables []*statement.Table
	for _, k := range ent.Kinds() {
		tables = append(tables, k.Table)
	}
	counts, err := feed.Count(s.Context(), s.db, tables)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := counts.Store(s.Context(), s.db, true); err != nil {
		s.Fatal(err)
	}
}

// insertRows is the statement that inserts rows of one kind.
func insertRows(t *tester, rows []*row) (query string, args []any) {
	insert := sql.Dialect(t.db.Dialect()).Insert(rows[0].table.Name)
	for _, c := range rows[0].table.Columns {
		insert.Columns(c.Name)
	}
	for _, r := range rows {
		var values []any
		for _, c := range r.table.Columns {
			values = append(values, r.value(c.Name))
		}
		insert.Values(values...)
	}
	return insert.Query()
}

// value is what a row has in a column.
func (r *row) value(column string) any {
	if column == "id" {
		return r.id
	}
	if p := r.parent[column]; p != nil {
		return p.id
	}
	return r.values[column]
}

// remove takes all rows out of the database.
func (w *world) remove(t *tester) {
	t.Helper()
	w.write(t, func(exec func(query string, args []any)) {
		for _, j := range w.joins {
			exec(sql.Dialect(t.db.Dialect()).Delete(j.table.Name).Query())
		}
		for _, k := range slices.Backward(w.kinds) {
			exec(sql.Dialect(t.db.Dialect()).Delete(k.table.Name).Query())
		}
		exec(sql.Dialect(t.db.Dialect()).Delete("former_identities").Query())
	})
}

// write runs statements in one transaction. They do not count as the program's.
func (*world) write(t *tester, f func(exec func(query string, args []any))) {
	t.Helper()
	s := t.db.Session(database.Write)
	defer s.Rollback()
	f(func(query string, args []any) {
		if err := s.Exec(t.Context(), query, args, nil); err != nil {
			t.Fatalf("%s: %v", query[:min(len(query), 200)], err)
		}
	})
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	t.statements.take()
}

// snake is a name as ent writes it in a database.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

func (r *row) String() string { return fmt.Sprintf("%s %v", r.id, r.values) }
