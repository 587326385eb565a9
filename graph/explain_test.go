package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// TestPlans reads from a large database what should cost as much as it returns, however much there is. It finds that in the
// served schema: pages in each order, of all entities and of the children of one parent and of many, and the rows of each
// condition that claims an index. Compiled reads send the statements; resolvers must send the same ones.
func TestPlans(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		l := newLibrary(t, e)
		for _, c := range l.connections() {
			l.orders(c)
			l.filters(c)
		}
	})
}

// noIndex explains each condition that claims no index. has is each condition on the rows of an edge.
func noIndex() map[string]string {
	return map[string]string{
		"TextFilter.contains":   "an index has the starts of texts",
		"UserWhere.hasIdentity": "the other of its values finds nearly all users, and so does not need one",
		"has":                   "no index has the rows without others",
	}
}

// fewRows explains the conditions that need no index and no price.
func fewRows() map[string]string {
	return map[string]string{
		"ApiKeyWhere.revoked":   "there are few keys",
		"ApiKeyWhere.expiresAt": "there are few keys",
	}
}

// TestConditions demands that the conditions without an index are those that have a price.
func TestConditions(t *testing.T) {
	t.Parallel()
	w, prices := newWorld(t, 1), graph.Conditions()
	met := map[string]bool{}
	for _, k := range w.kinds {
		for _, c := range w.conditionsOf(k) {
			met[c.exception] = true
			without := noIndex()[c.exception] != ""
			if priced := prices[c.name] > 0; priced != without {
				t.Errorf("%s: got the price %d, and %t that no index serves it: a condition has a price if no index serves it", c.name, prices[c.name], without)
			}
		}
	}
	for _, list := range []map[string]string{noIndex(), fewRows()} {
		for name := range list {
			if !met[name] {
				t.Errorf("%s is no condition of the schema", name)
			}
		}
	}
}

// library is a database with many rows of each entity.
type library struct {
	*twoWays
	*world

	size  int
	start time.Time // of the first row of each entity; each after that is a second later
}

const (
	prolific     = 50   // parents with many children; all others have one or two or none
	written      = 200  // how many
	simultaneous = 2000 // rows in the middle that were made at one moment, as an import does
	rare         = 500  // one row of so many has another value of an enum
)

func newLibrary(t *testing.T, e dbtest.Engine) *library {
	t.Helper()
	l := &library{twoWays: serveTwoWays(t, e), world: newWorld(t, 1), size: 20_000, start: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	if e == dbtest.PostgreSQL { // where the plan depends on it the most
		l.size = 100_000
	}
	random := rand.New(rand.NewPCG(1, 1))
	var tables []*schema.Table
	for _, k := range l.kinds {
		tables = append(tables, k.table)
		var columns []string
		for _, c := range k.table.Columns {
			columns = append(columns, c.Name)
		}
		kinds := ent.Kinds()
		known := slices.IndexFunc(kinds, func(known *query.Kind) bool { return known.Name == k.table.Name })
		l.fill(kinds[known].Table, columns, func(i int) (values []any) {
			for _, c := range k.table.Columns {
				values = append(values, l.cell(k, c, i, random))
			}
			return values
		})
	}
	for _, j := range l.joins {
		tables = append(tables, j.table)
		keys := j.table.ForeignKeys
		columns := []string{keys[0].Columns[0].Name, keys[1].Columns[0].Name}
		t := &statement.Table{Name: j.table.Name, Columns: []statement.Column{{Name: columns[0], Kind: statement.ID}, {Name: columns[1], Kind: statement.ID}}}
		l.fill(t, columns, func(i int) []any {
			return []any{l.id(j.kinds[0], i), l.id(j.kinds[1], i)}
		})
	}
	for _, table := range tables {
		analyze := "ANALYZE " + table.Name
		if l.db.Dialect() == dialect.MySQL {
			analyze = "ANALYZE TABLE " + table.Name
		}
		w := &watched{Session: l.db.Session(database.Write)}
		if err := errors.Join(w.each(t.Context(), analyze, []any{}, func(*sql.Rows) error { return nil }), w.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// id is the ID of the row of a number.
func (*library) id(k *kind, i int) typeid.ID {
	u := uuid.UUID{3: byte(i >> 16), 4: byte(i >> 8), 5: byte(i), 6: 0x70, 8: 0x80}
	return typeid.New(k.label, u)
}

// name is a text that no other row has, in no order.
func (*library) name(i int) string { return fmt.Sprintf("%08x", uint32(i)*2654435761) }

// at is when a row was made.
func (l *library) at(i int) time.Time {
	if middle := l.size / 2; middle < i && i < middle+simultaneous {
		i = middle
	}
	return l.start.Add(time.Duration(i) * time.Second)
}

// time is at as JSON.
func (l *library) time(i int) string { return l.at(i).Format(time.RFC3339) }

// cell is the value of a row in a column. Every other row has NULL where it may.
func (l *library) cell(k *kind, c *schema.Column, i int, random *rand.Rand) any {
	parent := l.parent(k, c.Name)
	names := l.enum(k, c.Name)
	switch step := l.size / prolific / written; {
	case c.Name == "id":
		return l.id(k, i)
	case c.Nullable && i%2 > 0:
		return nil
	case parent != nil && k.unique(c):
		return l.id(parent, i)
	case parent != nil && i%step == 0:
		return l.id(parent, i/step%prolific)
	case parent != nil:
		return l.id(parent, random.IntN(l.size))
	case c.Name == "updated_at":
		return l.at(l.size - 1 - i)
	case c.Type == field.TypeTime:
		return l.at(i)
	case c.Type == field.TypeInt:
		return 1
	case c.Type == field.TypeBool:
		return i%rare == 1
	case names != nil && i%rare == 1:
		return names[len(names)-1]
	case names != nil:
		return names[0]
	case c.Type == field.TypeString:
		return l.name(i)
	}
	l.Fatalf("%s.%s: library knows no values of its type: teach it", k.table.Name, c.Name)
	return nil
}

// parent is the entity to which a column refers, or nil.
func (w *world) parent(k *kind, column string) *kind {
	for _, key := range k.table.ForeignKeys {
		for _, other := range w.kinds {
			if key.Columns[0].Name == column && other.table == key.RefTable {
				return other
			}
		}
	}
	return nil
}

// fill puts rows into a table, in the cheapest way of the engine.
func (l *library) fill(table *statement.Table, columns []string, row func(i int) []any) {
	l.Helper()
	const together = 10_000
	s := l.db.Session(database.Write)
	defer s.Rollback()
	for from := 0; from < l.size; from += together {
		rows := make([][]any, together)
		for i := range rows {
			rows[i] = row(from + i)
		}
		w := &statement.Write{Table: table, Columns: columns, Rows: together, Value: func(i int, column string) any {
			return rows[i][slices.Index(columns, column)]
		}}
		write := s.Copy
		if !s.CanCopy() {
			write = func(ctx context.Context, w *statement.Write) error {
				return database.WriteRows(ctx, s, (*statement.Write).Insert, w)
			}
		}
		if err := write(l.Context(), w); err != nil {
			l.Fatal(err)
		}
	}
	if err := s.Commit(); err != nil {
		l.Fatal(err)
	}
}

// allowance is what reads may cost.
type allowance struct {
	rows  int  // that are read, where the engine counts them
	found bool // what a condition finds may be sorted, and must be searched in an index
}

// unlimited allows any number of rows, and all else.
const unlimited = 1 << 30

// watched is a session that finds out what each statement costs before it runs it, with the same arguments.
type watched struct {
	*database.Session
	allowance
	texts  []string
	read   int
	faults []string
}

// Query implements dialect.Driver.
func (w *watched) Query(ctx context.Context, query string, args, v any) error {
	explain := map[string]func(context.Context, string, any) error{
		dialect.Postgres: w.explainPostgreSQL, dialect.MySQL: w.explainMySQL, dialect.SQLite: w.explainSQLite,
	}[w.Dialect()]
	w.texts = append(w.texts, query)
	if err := explain(ctx, query, args); err != nil {
		return err
	}
	return w.Session.Query(ctx, query, args, v)
}

// each runs a statement and hands out its rows.
func (w *watched) each(ctx context.Context, query string, args any, row func(*sql.Rows) error) error {
	rows := new(sql.Rows)
	if err := w.Session.Query(ctx, query, args, rows); err != nil {
		return err
	}
	var err error
	for err == nil && rows.Next() {
		err = row(rows)
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// explainPostgreSQL counts the rows that the scans of a statement read, whether they are used then or not.
func (w *watched) explainPostgreSQL(ctx context.Context, query string, args any) error {
	type node struct {
		Type     string  `json:"Node Type"`
		Rows     float64 `json:"Actual Rows"`
		Filtered float64 `json:"Rows Removed by Filter"`
		Checked  float64 `json:"Rows Removed by Index Recheck"`
		Loops    float64 `json:"Actual Loops"`
		Plans    []json.RawMessage
	}
	var walk func(text json.RawMessage) error
	walk = func(text json.RawMessage) error {
		var n node
		if err := json.Unmarshal(text, &n); err != nil {
			return err
		}
		switch n.Type {
		case "Seq Scan":
			w.faults = append(w.faults, "reads the whole table")
		case "Index Scan", "Index Only Scan", "Bitmap Heap Scan":
			w.read += int((n.Rows + n.Filtered + n.Checked) * n.Loops)
		}
		for _, p := range n.Plans {
			if err := walk(p); err != nil {
				return err
			}
		}
		return nil
	}
	return w.each(ctx, "EXPLAIN (ANALYZE, FORMAT JSON) "+query, args, func(rows *sql.Rows) error {
		var text []byte
		var plans []struct{ Plan json.RawMessage }
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &plans); err != nil {
			return err
		}
		return walk(plans[0].Plan)
	})
}

// explainMySQL counts the rows that a statement reads from tables and from what it has put aside.
func (w *watched) explainMySQL(ctx context.Context, query string, args any) error {
	count := func() (n int, err error) {
		err = w.each(ctx, "SHOW SESSION STATUS LIKE 'Handler_read%'", []any{}, func(rows *sql.Rows) error {
			var name string
			var reads int
			err := rows.Scan(&name, &reads)
			n += reads
			return err
		})
		return n, err
	}
	before, err := count()
	if err != nil {
		return err
	}
	if err := w.each(ctx, query, args, func(*sql.Rows) error { return nil }); err != nil {
		return err
	}
	after, err := count()
	w.read += after - before
	return err
}

// explainSQLite finds what reads a whole table, or sorts. That of the pages of all parents, which have their order from
// an index each, is on top of the plan.
func (w *watched) explainSQLite(ctx context.Context, query string, args any) error {
	pages := strings.Contains(query, "json_each")
	return w.each(ctx, "EXPLAIN QUERY PLAN "+query, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return err
		}
		scans := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "VIRTUAL TABLE") && (w.found || !strings.Contains(detail, "INDEX"))
		sorts := strings.Contains(detail, "TEMP B-TREE") && !w.found && (!pages || parent != 0)
		if scans || sorts {
			w.faults = append(w.faults, detail)
		}
		return nil
	})
}

// read answers a query by its plan, and checks what its statements cost. Resolvers must send the same statements.
func (l *library) read(name, document string, variables map[string]any, allowed allowance) (data json.RawMessage) {
	l.Helper()
	w := &watched{Session: l.db.Session(database.Snapshot), allowance: allowed}
	defer w.Rollback()
	data, err := l.plan.RunPlan(rules.WithCaller(l.Context(), rules.Everyone()), w, document, variables)
	if err != nil {
		l.Fatalf("%s: %v", name, err)
	}
	if w.read > allowed.rows {
		l.Errorf("%s: reads %d rows, want at most %d", name, w.read, allowed.rows)
	}
	for _, fault := range w.faults {
		if allowed.rows < unlimited {
			l.Errorf("%s: %s", name, fault)
		}
	}
	l.statements.take()
	_, want := l.execute(l.resolvers, rules.Everyone(), document, variables)
	slices.Sort(w.texts)
	if !slices.Equal(w.texts, want) {
		l.Errorf("%s: sent by its plan\n%s\nwant\n%s", name, strings.Join(w.texts, "\n"), strings.Join(want, "\n"))
	}
	return data
}

// A paging is a field with pages: of all entities of a kind, or of the children of parents.
type paging struct {
	of     *kind
	field  string
	parent *kind // nil: all entities
	many   bool  // of many parents
}

func (c paging) String() string {
	switch {
	case c.parent == nil:
		return c.field
	case c.many:
		return c.field + " of many " + c.parent.Name
	default:
		return c.field + " of a " + c.parent.Name
	}
}

// connections are the listings of the schema. The table of an edge between many and many has no order of the rows: its pages
// read and sort all rows of their parents.
func (l *library) connections() (all []paging) {
	for _, k := range l.kinds {
		all = append(all, paging{of: k, field: l.page(k).Name})
		for _, e := range k.edges {
			if e.many && slices.ContainsFunc(e.to.table.ForeignKeys, func(key *schema.ForeignKey) bool { return key.RefTable == k.table }) {
				all = append(all, paging{of: e.to, field: e.name, parent: k}, paging{of: e.to, field: e.name, parent: k, many: true})
			}
		}
	}
	return all
}

// pageSize is how many rows the pages of these tests have. They are read with one more, to know whether there are others,
// and with the one of the cursor.
const pageSize = 10

// document reads a page.
func (l *library) document(c paging, size string) string {
	var scalars []string
	for _, f := range c.of.Fields {
		if !l.schema.Types[f.Type.Name()].IsCompositeType() {
			scalars = append(scalars, f.Name)
		}
	}
	page := "page: " + c.field + "(" + size + ", after: $after, before: $before, where: $where, orderBy: $by) { nodes { " +
		strings.Join(scalars, " ") + " } pageInfo { endCursor } }"
	head := "query ($after: String, $before: String, $where: " + c.of.Name + "Where, $by: [" + c.of.Name + "Order!]"
	if c.parent == nil {
		return head + ") { " + page + " }"
	}
	return head + ", $ids: [ID!]!) { nodes(ids: $ids) { ... on " + c.parent.Name + " { " + page + " } } }"
}

// page reads a page. It returns its number of rows and its last cursor; of many parents, those of the first.
func (l *library) readPage(name string, c paging, size string, variables map[string]any, allowed allowance) (rows int, cursor string) {
	l.Helper()
	variables = maps.Clone(variables)
	if c.parent != nil {
		ids := []any{}
		for i := range prolific {
			if ids = append(ids, l.id(c.parent, i).String()); !c.many {
				break
			}
		}
		variables["ids"] = ids
	}
	type page struct {
		Nodes    []any
		PageInfo struct{ EndCursor string }
	}
	var data struct {
		Page  page
		Nodes []struct{ Page page }
	}
	if err := json.Unmarshal(l.read(name, l.document(c, size), variables, allowed), &data); err != nil {
		l.Fatal(err)
	}
	if c.parent != nil {
		data.Page = data.Nodes[0].Page
	}
	return len(data.Page.Nodes), data.Page.PageInfo.EndCursor
}

// orders reads the first page of each order, the last, and those on both sides of a row that is deep in the list, and of one
// in the middle of the table, around which many have the same time. Whoever goes on from a cursor has one parent.
func (l *library) orders(c paging) {
	l.Helper()
	rows, deep := pageSize+2, 1000
	if c.parent != nil {
		rows, deep = rows+1, written/5 // the parent too; many rows are on both sides, because PostgreSQL goes by a sample
	}
	if c.many {
		if rows *= prolific; l.db.Dialect() == dialect.MySQL { // which puts them aside, reads them to sort them and reads them again
			rows *= 4
		}
	}
	first, last := fmt.Sprint("first: ", pageSize), fmt.Sprint("last: ", pageSize)
	some := fmt.Sprint("first: ", min(100, deep))
	orders := []any{nil}
	for _, f := range l.schema.Types[c.of.Name+"OrderField"].EnumValues {
		for _, direction := range l.schema.Types["OrderDirection"].EnumValues {
			orders = append(orders, []any{map[string]any{"field": f.Name, "direction": direction.Name}})
		}
	}
	for _, by := range orders {
		name := fmt.Sprint(c, " by ", by)
		read := func(where, size string, variables map[string]any) {
			variables["by"] = by
			if found, _ := l.readPage(name+", "+where, c, size, variables, allowance{rows: rows}); found != pageSize {
				l.Errorf("%s, %s: got %d rows on a page, want a full page", name, where, found)
			}
		}
		read("first", first, map[string]any{})
		read("last", last, map[string]any{})
		if c.many {
			continue
		}
		variables := map[string]any{"by": by}
		for at := 0; at < deep; at += min(100, deep) {
			_, variables["after"] = l.readPage(name, c, some, variables, allowance{rows: unlimited})
		}
		_, middle := l.readPage(name, c, some, map[string]any{
			"by": by, "where": map[string]any{"createdAt": map[string]any{"gte": l.time(l.size / 2)}},
		}, allowance{rows: unlimited})
		for of, cursor := range map[string]any{"a row": variables["after"], "others of its time": middle} {
			read("after "+of, first, map[string]any{"after": cursor})
			read("before "+of, last, map[string]any{"before": cursor})
		}
	}
}

// A condition is one condition of a filter.
type condition struct {
	name      string // in graph/fields.go
	exception string // in noIndex or fewRows, or empty
	path      []string
	operator  *ast.FieldDefinition // nil: the value is a Boolean or an enum
	values    []any                // of a Boolean or an enum
}

// conditionsOf are the conditions of the filter of a kind.
func (w *world) conditionsOf(k *kind) (all []condition) {
	where := w.schema.Types[k.Name+"Where"]
	exception := func(c condition, names ...string) condition {
		for _, name := range names {
			if noIndex()[name] != "" || fewRows()[name] != "" {
				c.exception = name
			}
		}
		return c
	}
	for _, f := range where.Fields {
		name, of := where.Name+"."+f.Name, w.schema.Types[f.Type.Name()]
		switch {
		case of == where: // and, or, not
		case of.Name == "Boolean":
			general := ""
			if slices.ContainsFunc(k.edges, func(e *edge) bool { return "has"+strings.ToUpper(e.name[:1])+e.name[1:] == f.Name }) {
				general = "has"
			}
			all = append(all, exception(condition{name: name, path: []string{f.Name}, values: []any{true, false}}, name, general))
		case of.Kind == ast.Enum:
			c := condition{name: name, path: []string{f.Name}}
			for _, v := range of.EnumValues {
				c.values = append(c.values, v.Name)
			}
			all = append(all, exception(c, name))
		default:
			for _, operator := range of.Fields {
				general := of.Name + "." + operator.Name
				all = append(all, exception(condition{name: general, path: []string{f.Name, operator.Name}, operator: operator}, name, general))
			}
		}
	}
	return all
}

// filters reads the rows of each condition that claims an index, and counts those of conditions that find few.
func (l *library) filters(c paging) {
	l.Helper()
	rows := 400
	if c.parent != nil {
		rows += written // all children are read, or all rows that the condition finds
	}
	if c.many {
		if rows *= prolific; l.db.Dialect() == dialect.MySQL { // as above
			rows *= 4
		}
	}
	for _, condition := range l.conditionsOf(c.of) {
		if condition.exception != "" {
			continue
		}
		values := condition.values
		if condition.operator != nil {
			values = []any{l.operand(c, condition)}
		}
		for _, value := range values {
			name := fmt.Sprintf("%s where %s is %v", c, strings.Join(condition.path, "."), value)
			where := value
			for _, key := range slices.Backward(condition.path) {
				where = map[string]any{key: where}
			}
			found, _ := l.readPage(name, c, "first: 20", map[string]any{"where": where}, allowance{rows, true})
			if c.parent == nil && found == 0 {
				l.Errorf("%s: found none", name)
			}
			if c.parent == nil && condition.operator != nil {
				count := "query ($where: " + c.of.Name + "Where) { " + c.field + "(where: $where) { totalCount } }"
				l.read("the number of "+name, count, map[string]any{"where": where}, allowance{rows, true})
			}
		}
	}
}

// operand is a value for the operator of a condition, which finds few rows.
func (l *library) operand(c paging, condition condition) any {
	column, of := snake(condition.path[0]), c.of
	if parent := l.parent(c.of, column); parent != nil {
		of = parent
	}
	switch operator := condition.operator; condition.name {
	case "TextFilter.startsWith":
		return l.name(4)[:4]
	case "TextFilter.eq":
		return l.name(4)
	case "TextFilter.in":
		return []any{l.name(4), l.name(6)}
	case "IDFilter.eq":
		return l.id(of, 17).String()
	case "IDFilter.in":
		ids := []any{}
		for i := range 50 {
			ids = append(ids, l.id(of, prolific+i*i).String())
		}
		return ids
	case "DateTimeFilter.gt", "DateTimeFilter.gte":
		return l.time(l.size - 50)
	case "DateTimeFilter.lt", "DateTimeFilter.lte":
		return l.time(50)
	default:
		l.Fatalf("%s: library knows no value for %s: teach it", condition.name, operator.Name)
		return nil
	}
}
