package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/query"
	"roster/internal/cursor"
)

// expensive is the least surcharge of a field or a condition that claims no index: see graph/fields.go.
const expensive = 1_000

// extremes is the number of rows that a condition on a time finds at most: those at one end.
const extremes = 50

// A walker makes requests of all that the served schema offers: it names neither entities nor fields.
type walker struct {
	ctx     context.Context //nolint:containedctx // of one walk
	address string
	users   int // and rows of each entity, but for a few entities
	schema  *ast.Schema
	list    []growthRequest
}

// requests returns the requests: the workloads that read, each filter, each order, counts, and the change feed.
func (w *walker) requests() ([]growthRequest, error) {
	w.schema = served()
	if err := w.workloads(); err != nil {
		return nil, err
	}
	for _, f := range w.schema.Query.Fields {
		kind := w.connected(f)
		if kind == nil {
			continue
		}
		if err := errors.Join(w.filters(f, kind), w.orders(f, kind)); err != nil {
			return nil, err
		}
	}
	return w.list, errors.Join(w.counts(), w.feed())
}

// connected returns the entity of a field that is a connection, or nil.
func (w *walker) connected(f *ast.FieldDefinition) *query.Kind {
	kinds := ent.Kinds()
	i := slices.IndexFunc(kinds, func(k *query.Kind) bool { return k.GraphQL+"Connection" == f.Type.Name() })
	if i < 0 {
		return nil
	}
	return kinds[i]
}

// rows is the number of rows of an entity.
func (w *walker) rows(kind *query.Kind) int {
	if n, ok := few()[kind.GraphQL]; ok {
		return min(n, w.users)
	}
	return w.users
}

// workloads adds the workloads that read.
func (w *walker) workloads() error {
	users := kindNamed("User")
	at := w.users/10*9 - 1 // the last of nine tenths
	after, err := w.cursor("users", users, at, nil)
	if err != nil {
		return err
	}
	for _, load := range newWorkloads(w.users, after, idAt(users, at)) {
		if load.writes > 0 {
			continue
		}
		if load.name == "W1" {
			load.key = func(i int) string { return nameAt(i * 7919 % w.users) }
		}
		w.list = append(w.list, growthRequest{
			chart: "workloads", name: load.name + " " + load.title, ask: asks(load, load.roster), check: load.check,
		})
	}
	return nil
}

func kindNamed(name string) *query.Kind {
	kinds := ent.Kinds()
	return kinds[slices.IndexFunc(kinds, func(k *query.Kind) bool { return k.GraphQL == name })]
}

// answer executes a document, and decodes its data. The cost is that of the operation.
func (w *walker) answer(document string, variables map[string]any, data any) (cost int64, err error) {
	text := encode(map[string]any{"query": document, "variables": variables, "extensions": map[string]any{"cost": true}})
	one := load{
		n: 1, connections: 1, limit: growthStatement, request: func(int) (request, string) { return request{path: "/graphql", body: text}, "" },
		check: func(_ string, _ int, body []byte) error {
			var answer struct {
				Data       json.RawMessage
				Errors     json.RawMessage
				Extensions struct{ Cost struct{ Cost int64 } }
			}
			err := json.Unmarshal(body, &answer)
			if err == nil && answer.Errors != nil {
				err = fmt.Errorf("%s: %s", document, answer.Errors)
			}
			if err == nil {
				err = json.Unmarshal(answer.Data, data)
			}
			cost = answer.Extensions.Cost.Cost
			return err
		},
	}
	_, err = one.drive(w.ctx, w.address)
	return cost, err
}

// add adds a request of a document.
func (w *walker) add(chart, name, document string, variables map[string]any, finds bool) error {
	cost, err := w.answer(document, variables, new(any))
	if err != nil {
		return err
	}
	without := ""
	if cost >= expensive {
		without = "priced"
	}
	r := graphQL(document, variables)
	w.list = append(w.list, growthRequest{
		chart: chart, name: name, without: without, finds: finds, ask: func(int) (request, string) { return r, "" },
	})
	return nil
}

// cursor returns the cursor of row i of an entity in an order.
func (w *walker) cursor(connection string, kind *query.Kind, i int, orderBy any) (string, error) {
	var data map[string]struct{ PageInfo struct{ EndCursor string } }
	_, err := w.answer("query($id: ID!, $by: ["+kind.GraphQL+"Order!]) { "+connection+"(where: {id: {eq: $id}}, orderBy: $by) { pageInfo { endCursor } } }",
		map[string]any{"id": idAt(kind, i).String(), "by": orderBy}, &data)
	return data[connection].PageInfo.EndCursor, err
}

// scalars returns the selection of all scalars of an entity.
func (w *walker) scalars(kind *query.Kind) string {
	var names []string
	for _, f := range w.schema.Types[kind.GraphQL].Fields {
		if !w.schema.Types[f.Type.Name()].IsCompositeType() && len(f.Arguments) == 0 {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, " ")
}

// filters adds each condition of the filter of a connection, with a value that few rows have.
func (w *walker) filters(f *ast.FieldDefinition, kind *query.Kind) error {
	where := w.schema.Types[f.Arguments.ForName("where").Type.Name()]
	document := "query($where: " + where.Name + "!) { " + f.Name + "(where: $where) { nodes { " + w.scalars(kind) + " } } }"
	add := func(name string, condition any, finds bool, path ...string) error {
		for _, key := range slices.Backward(path) {
			condition = map[string]any{key: condition}
		}
		return w.add(title("filters", f.Name), name, document, map[string]any{"where": condition}, finds)
	}
	for _, condition := range where.Fields {
		switch of := w.schema.Types[condition.Type.Name()]; {
		case of == where: // and, or, not
			continue
		case of.Kind == ast.Enum:
			for _, v := range of.EnumValues {
				if err := add(condition.Name+": "+v.Name, v.Name, false, condition.Name); err != nil {
					return err
				}
			}
		case of.Name == "Boolean":
			for _, v := range []bool{true, false} {
				if err := add(fmt.Sprint(condition.Name, ": ", v), v, false, condition.Name); err != nil {
					return err
				}
			}
		default:
			for _, operator := range of.Fields {
				value, err := w.operand(f, kind, condition, operator)
				if err != nil {
					return err
				}
				if err := add(condition.Name+"."+operator.Name, value, true, condition.Name, operator.Name); err != nil {
					return err
				}
			}
		}
	}
	return w.halves(f, kind, where)
}

// halves adds conditions on times that half of the rows match: in the order of the time, which claims an index, and in the order
// of creation, which claims none.
func (w *walker) halves(f *ast.FieldDefinition, kind *query.Kind, where *ast.Definition) error {
	document := "query($where: " + where.Name + "!, $by: [" + kind.GraphQL + "Order!]) { " + f.Name +
		"(where: $where, orderBy: $by) { nodes { " + w.scalars(kind) + " } } }"
	for _, condition := range where.Fields {
		order := w.schema.Types[kind.GraphQL+"OrderField"].EnumValues.ForName(upperSnake(condition.Name))
		if condition.Type.Name() != "DateTimeFilter" || order == nil {
			continue
		}
		middle := map[string]any{"where": map[string]any{"id": map[string]any{"eq": idAt(kind, w.rows(kind)/2).String()}}}
		values, err := w.values(f, kind, condition.Name, middle)
		if err != nil {
			return err
		}
		half := map[string]any{condition.Name: map[string]any{"gt": values[0]}}
		by := []any{map[string]any{"field": order.Name}}
		err = errors.Join(
			w.add(title("filters", f.Name), condition.Name+".gt half, by "+order.Name, document, map[string]any{"where": half, "by": by}, true),
			w.add(title("filters", f.Name), condition.Name+".gt half", document, map[string]any{"where": half}, true))
		if err != nil {
			return err
		}
		w.list[len(w.list)-1].without = "another order"
	}
	return nil
}

// operand returns a value for an operator, which few rows match.
func (w *walker) operand(f *ast.FieldDefinition, kind *query.Kind, condition, operator *ast.FieldDefinition) (any, error) {
	if condition.Type.Name() == "DateTimeFilter" {
		// Times that can be null are those of the first rows.
		if w.schema.Types[kind.GraphQL+"OrderField"].EnumValues.ForName(upperSnake(condition.Name)) == nil {
			return time.Unix(fillStart, 0).UTC().Add(rowsWithValue / 2 * time.Second).Format(time.RFC3339), nil
		}
		by := map[string]any{"field": upperSnake(condition.Name), "direction": "ASC"}
		if strings.HasPrefix(operator.Name, "g") {
			by["direction"] = "DESC"
		}
		values, err := w.values(f, kind, condition.Name, map[string]any{"first": extremes, "by": []any{by}})
		if err != nil {
			return nil, err
		}
		return values[len(values)-1], nil
	}
	ids := make([]string, 10) // of rows in the middle
	for i := range ids {
		ids[i] = idAt(kind, w.rows(kind)/2+7*i).String()
	}
	values, err := w.values(f, kind, condition.Name, map[string]any{"first": len(ids), "where": map[string]any{"id": map[string]any{"in": ids}}})
	if err != nil {
		return nil, err
	}
	text, _ := values[0].(string)
	switch {
	case operator.Type.Elem != nil:
		return values, nil
	case operator.Name == "startsWith":
		return text[:8], nil // all but one or more characters: the names have nine
	case operator.Name == "contains":
		return text[2:8], nil
	default:
		return text, nil
	}
}

// values returns the values of a field on a page. The field authorId is the ID of the author.
func (w *walker) values(f *ast.FieldDefinition, kind *query.Kind, name string, args map[string]any) ([]any, error) {
	selection := name
	if w.schema.Types[kind.GraphQL].Fields.ForName(name) == nil {
		selection = strings.TrimSuffix(name, "Id") + " { id }"
	}
	var data map[string]struct{ Nodes []map[string]any }
	_, err := w.answer("query($first: Int, $where: "+kind.GraphQL+"Where, $by: ["+kind.GraphQL+"Order!]) { "+f.Name+
		"(first: $first, where: $where, orderBy: $by) { nodes { "+selection+" } } }", args, &data)
	if err != nil {
		return nil, err
	}
	var values []any
	for _, n := range data[f.Name].Nodes {
		value := n[strings.Fields(selection)[0]]
		if object, ok := value.(map[string]any); ok {
			value = object["id"]
		}
		values = append(values, value)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s: no rows", f.Name)
	}
	return values, nil
}

// upperSnake returns the name of a field as a value of an enum.
func upperSnake(name string) string {
	var b strings.Builder
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return strings.ToUpper(b.String())
}

// orders adds the first page of each order of a connection, and a page in the middle.
func (w *walker) orders(f *ast.FieldDefinition, kind *query.Kind) error {
	for _, field := range w.schema.Types[kind.GraphQL+"OrderField"].EnumValues {
		for _, direction := range w.schema.Types["OrderDirection"].EnumValues {
			by := []any{map[string]any{"field": field.Name, "direction": direction.Name}}
			after, err := w.cursor(f.Name, kind, w.rows(kind)/2, by)
			if err != nil {
				return err
			}
			document := "query($by: [" + kind.GraphQL + "Order!], $after: String) { " + f.Name + "(orderBy: $by, after: $after) { nodes { " + w.scalars(kind) + " } } }"
			name := field.Name + " " + direction.Name
			err = errors.Join(
				w.add(title("orders", f.Name), name, document, map[string]any{"by": by}, true),
				w.add(title("orders", f.Name), name+", middle", document, map[string]any{"by": by, "after": after}, true))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// counts adds the count of each connection, and each count of the statistics.
func (w *walker) counts() error {
	for _, f := range w.schema.Query.Fields {
		if w.connected(f) != nil {
			if err := w.add("counts", f.Name+" { totalCount }", "{ "+f.Name+" { totalCount } }", nil, false); err != nil {
				return err
			}
		}
	}
	from := time.Unix(fillStart, 0).UTC()
	variables := map[string]any{"from": from.Format(time.RFC3339), "to": from.Add(smallest * time.Second).Format(time.RFC3339)}
	for _, f := range w.schema.Types["Stats"].Fields {
		document, variables, name := "{ stats { "+f.Name+" } }", variables, f.Name
		if f.Arguments.ForName("from") != nil {
			name += " of 1,000 users"
			document = "query($from: DateTime!, $to: DateTime!) { stats { " + f.Name + "(from: $from, to: $to) { users } } }"
		} else {
			variables = nil
		}
		if err := w.add("counts", "stats { "+name+" }", document, variables, false); err != nil {
			return err
		}
	}
	return nil
}

// feed adds pages of the change feed: at its end, before its end, and in the middle.
func (w *walker) feed() error {
	var data struct{ ChangesCursor string }
	if _, err := w.answer("{ changesCursor }", nil, &data); err != nil {
		return err
	}
	at := func(number int) (string, error) {
		scope := cursor.NewScope("changes")
		b, ok := scope.Decode(data.ChangesCursor)
		if !ok || len(b) < 8 || binary.BigEndian.Uint64(b[len(b)-8:]) != uint64(w.users) { //nolint:gosec // G115: never negative
			return "", errors.New("the cursor of the changes does not end with the number of the last change")
		}
		binary.BigEndian.PutUint64(b[len(b)-8:], uint64(number)) //nolint:gosec // G115: never negative
		return scope.Encode(b), nil
	}
	for _, page := range []struct {
		name   string
		number int
	}{{"nothing new", w.users}, {"the last 100", w.users - 100}, {"100 in the middle", w.users / 2}} {
		after, err := at(page.number)
		if err != nil {
			return err
		}
		if err := w.add("changes", page.name, "query($after: String) { changes(after: $after) { changes { cursor kind nodeId version } caughtUp } }",
			map[string]any{"after": after}, false); err != nil {
			return err
		}
	}
	return nil
}
