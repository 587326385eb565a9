package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/rules"
	"roster/graph"
	"roster/internal/budget"
	"roster/internal/dbtest"
	requests "roster/internal/documents"
	"roster/internal/record"
	"roster/internal/typeid"
)

// twoWays is two executors on one database: one answers by compiled reads, the other by resolvers.
type twoWays struct {
	*tester
	plan, resolvers *graph.Executor

	mu   sync.Mutex
	ways []graph.Way
}

// serveTwoWays returns two executors on a database of their own.
func serveTwoWays(t *testing.T, e dbtest.Engine) *twoWays {
	t.Helper()
	s := &twoWays{}
	var options graph.Options
	s.tester = serve(t, e, settings{
		graph: func(o *graph.Options) {
			o.CompiledReads, o.Observer = true, s
			options = *o
		},
		executor: func(e *graph.Executor) { s.plan = e },
	})
	options.CompiledReads, options.Observer = false, nil
	var err error
	if s.resolvers, err = graph.NewExecutor(options); err != nil {
		t.Fatal(err)
	}
	return s
}

var _ graph.Observer = (*twoWays)(nil)

// Begin implements graph.Observer.
func (s *twoWays) Begin(ctx context.Context, _ *requests.Operation) context.Context { return ctx }

// End implements graph.Observer.
func (s *twoWays) End(_ context.Context, o *requests.Operation, e graph.Ended) {
	if o.Definition.Operation != ast.Query {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ways = append(s.ways, e.Way)
}

// execute returns the response of an executor as JSON, and the statements that it sent, in the order of their texts.
func (s *twoWays) execute(e *graph.Executor, c rules.Caller, document string, variables map[string]any) (response string, statements []string) {
	s.Helper()
	response, statements, _ = s.executeRecorded(e, c, document, variables)
	return response, statements
}

// executeRecorded is execute that also returns the record of the operation.
func (s *twoWays) executeRecorded(
	e *graph.Executor, c rules.Caller, document string, variables map[string]any,
) (response string, statements []string, r *record.Operation) {
	s.Helper()
	answer := answersOf(16 << 20).Open()
	defer answer.Close()
	ctx := budget.WithAnswer(rules.WithCaller(s.Context(), c), answer)
	r = record.New()
	r.Fields = true
	ctx = record.WithOperation(ctx, r)
	o, refused := e.Prepare(ctx, requests.Request{Text: document, Variables: variables})
	if refused == nil {
		refused, _ = e.Execute(ctx, o, requests.Terms{})
	}
	text, err := json.Marshal(refused)
	if err != nil {
		s.Fatal(err)
	}
	statements = reading(s.statements.take())
	slices.Sort(statements)
	return string(text), statements, r
}

// loadsOf returns the edges that an operation loaded, with the numbers of entities, in the order of the texts.
func loadsOf(r *record.Operation) (loads []string) {
	for _, b := range r.Batches() {
		loads = append(loads, fmt.Sprintf("%s for %d", b.Name, b.Size))
	}
	slices.Sort(loads)
	return loads
}

// recordedOf returns the statements of a record with their fields, in the order of their texts. One without fields is about the
// change feed.
func (s *twoWays) recordedOf(r *record.Operation) []string {
	s.Helper()
	listed, sent := r.Statements()
	if len(listed) != sent {
		s.Fatalf("got %d listed statements of %d, want all", len(listed), sent)
	}
	var texts []string
	for i := range listed {
		if len(reading([]string{listed[i].Text})) > 0 {
			texts = append(texts, fmt.Sprintf("%s %q", listed[i].Text, listed[i].Fields.Paths()))
		}
	}
	slices.Sort(texts)
	return texts
}

// compare demands that both ways answer a query with the same bytes by the same statements of the same fields, and that a query whose arguments
// are right was answered by its plan, which is there when the query comes again.
func (s *twoWays) compare(c rules.Caller, document string, send map[string]any, right bool) {
	s.Helper()
	text, err := json.Marshal(send)
	if err != nil {
		s.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var variables map[string]any
	if err := decoder.Decode(&variables); err != nil {
		s.Fatal(err)
	}
	s.ways = nil
	got, statements, record := s.executeRecorded(s.plan, c, document, variables)
	want, wanted, recordWanted := s.executeRecorded(s.resolvers, c, document, variables)
	recorded, recordedWanted := s.recordedOf(record), s.recordedOf(recordWanted)
	if len(recorded) != len(statements) || len(recordedWanted) != len(wanted) {
		s.Errorf("%s: recorded %d and %d statements, the drivers got %d and %d", document, len(recorded), len(recordedWanted), len(statements), len(wanted))
	}
	if !slices.Equal(recorded, recordedWanted) && slices.Equal(statements, wanted) {
		s.Errorf("%+v\n%s\n%s\ngot the fields by its plan\n%s\nwant\n%s", c, document, text, strings.Join(recorded, "\n"), strings.Join(recordedWanted, "\n"))
	}
	if loads, loadsWanted := loadsOf(record), loadsOf(recordWanted); !slices.Equal(loads, loadsWanted) && slices.Equal(statements, wanted) {
		s.Errorf("%+v\n%s\n%s\nloaded by its plan\n%s\nwant\n%s", c, document, text, strings.Join(loads, "\n"), strings.Join(loadsWanted, "\n"))
	}
	if got != want {
		s.Errorf("%+v\n%s\n%s\ngot by its plan\n%s\nwant\n%s", c, document, text, got, want)
	}
	if !slices.Equal(statements, wanted) {
		s.Errorf("%+v\n%s\n%s\nsent by its plan\n%s\nwant\n%s", c, document, text, strings.Join(statements, "\n"), strings.Join(wanted, "\n"))
	}
	if again, _ := s.execute(s.plan, c, document, variables); again != got {
		s.Errorf("%+v\n%s\n%s\ngot\n%s\nthen\n%s\nwant the same answer", c, document, text, got, again)
	}
	way := graph.ByPlan
	if c.Nobody() && !c.Reader { // a stranger gets no plan
		way = graph.ByResolvers
	}
	if right && !strings.Contains(want, `"errors":`) && !slices.Equal(s.ways, []graph.Way{way, way}) {
		s.Errorf("%+v\n%s\n%s\ngot the ways %q, want %q", c, document, text, s.ways, way)
	}
}

// TestTwoWays sends random queries on random data by random callers, some with wrong arguments, to compiled reads and to
// resolvers.
func TestTwoWays(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const perWorld = 50
		for sent := 0; sent < *documents && !t.Failed(); sent += perWorld {
			seed := *seed + uint64(sent)
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
				w := newWorld(t, seed)
				w.fillRandom(t, 40)
				s := serveTwoWays(t, e)
				w.insert(s.tester)
				random := rand.New(rand.NewPCG(seed, 1))
				callers := w.callers()
				for range perWorld {
					document, send, right := w.composeAny(random)
					if s.compare(pick(random, callers...), document, send, right); t.Failed() {
						return
					}
				}
			})
		}
	})
}

// callers returns callers of all roles, some of whom are users of the world.
func (w *world) callers() []rules.Caller {
	self := typeid.ID{}
	if users := w.kind("User"); users != nil {
		self = users.rows[0].id
	}
	everyone := rules.Everyone()
	return append(callersOf(self, w.ids.New("api_key")), everyone, everyone, everyone, everyone)
}

// composeAny returns a query with its variables. The query may ask for the caller. right says that none of its arguments is
// wrong.
func (w *world) composeAny(random *rand.Rand) (document string, send map[string]any, right bool) {
	a := newAuthor(w, random, newCursors())
	a.wrong = a.Chance(2)
	right = !a.wrong
	set := a.set(w.schema.Query, new(scope), 5000, 4)
	if a.Chance(6) {
		set = "{ viewer" + a.Directives() + " { subject roles __typename a: user" + a.Directives() + " " +
			a.set(w.schema.Types["User"], new(scope), 500, 3) + " } " + strings.TrimPrefix(set, "{")
	}
	return a.document(set), a.Sent, right
}

// spoil makes one of the arguments of a field wrong, sometimes, though it stays of its type.
func (a *author) spoil(f *ast.FieldDefinition, args map[string]any) {
	if !a.wrong || !a.Chance(4) {
		return
	}
	arg := pick(a.Random, f.Arguments...)
	id := pick(a.Random, "x", "", "post_00000000000000000000000000", "user_00000000000000000000000000", "user_0000000000000000000000000")
	switch arg.Name {
	case "first", "last":
		args[arg.Name] = pick(a.Random, 0, 101, -1, 100, 2147483647)
	case "after", "before":
		args[arg.Name] = pick(a.Random, "", "x", "AQAAAAA", "\u00e9\n")
	case "id":
		args["id"] = id
	case "ids":
		args["ids"] = slices.Repeat([]any{id}, pick(a.Random, 1, 2, 101))
	case "where":
		args["where"] = map[string]any{"id": map[string]any{pick(a.Random, "eq", "in"): pick[any](a.Random, id, nil)}}
	case "by":
		args["by"] = map[string]any{pick(a.Random, "id", "username", "email"): pick(a.Random, id, "\x00", "a b")}
	}
}

// TestWays names the way of each query. Both ways answer the same.
func TestWays(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serveTwoWays(t, e)
		ids := s.large(3, 2_000)
		s.data(`{ changes(first: 1) { caughtUp } }`) // which numbers them
		s.statements.take()
		everyone := rules.Everyone()
		member := rules.Caller{Issuer: "i", Subject: "ada", Name: "Ada", Roles: []rules.Role{rules.Member}, User: idOf(t, ids[0])}
		nameless := rules.Caller{Issuer: "i", Subject: "s", Name: "S"}
		for _, test := range []struct {
			caller   rules.Caller
			document string
			want     graph.Way
		}{
			{everyone, `{ users { totalCount nodes { id } } }`, graph.ByPlan},
			{everyone, `{ __typename }`, graph.ByPlan},
			{everyone, `{ viewer { subject } }`, graph.ByPlan},
			{member, `{ viewer { subject roles user { email } } posts { nodes { author { identity { subject } } } } }`, graph.ByPlan},
			{nameless, `{ viewer { subject } __typename }`, graph.ByPlan},
			{nameless, `{ viewer { user { posts { nodes { author { email } } } } } }`, graph.ByPlan},
			{rules.Caller{Reader: true}, `{ users { nodes { id identity { issuer } } } }`, graph.ByPlan},
			// What only resolvers know.
			{everyone, `{ stats { userCount } users { totalCount } }`, graph.ByResolvers},
			{everyone, `{ changesCursor }`, graph.ByResolvers},
			{everyone, `{ changes(first: 1) { changes { node { id } } } }`, graph.ByResolvers},
			{everyone, `{ __schema { queryType { name } } }`, graph.ByResolvers},
			{everyone, `{ users { nodes { id } } __type(name: "User") { name } }`, graph.ByResolvers},
			// A stranger.
			{rules.Caller{}, `{ viewer { subject } __typename }`, graph.ByResolvers},
			// A caller who may not select all fields.
			{member, `{ users { totalCount } apiKeys { totalCount } }`, graph.ByResolvers},
			{member, `{ users { totalCount } stats { userCount } }`, graph.ByResolvers},
			{nameless, `{ users { totalCount } }`, graph.ByResolvers},
			{rules.Caller{Reader: true}, `{ apiKeys { totalCount } }`, graph.ByResolvers},
			// Errors.
			{everyone, `{ users(first: 0) { totalCount } }`, graph.ByBoth},
			{everyone, `{ post(id: "` + ids[0] + `") { id } users { totalCount } }`, graph.ByBoth},
			{everyone, `{ node(id: "x") { id } }`, graph.ByBoth},
			{everyone, `{ user(by: {username: ""}) { id } }`, graph.ByBoth},
			{member, `{ users(where: {hasIdentity: true}) { totalCount } }`, graph.ByBoth},
		} {
			s.ways = nil
			got, statements := s.execute(s.plan, test.caller, test.document, nil)
			want, wanted := s.execute(s.resolvers, test.caller, test.document, nil)
			if !slices.Equal(s.ways, []graph.Way{test.want}) {
				t.Errorf("%s: got the ways %q, want %q", test.document, s.ways, test.want)
			}
			if got != want || len(statements) != len(wanted) {
				t.Errorf("%s: got %s by %d statements, want %s by %d", test.document, got, len(statements), want, len(wanted))
			}
		}
	})
}

// An answer that is too large is refused in the same way, and the memory of the plan is free again.
func TestTooLargeForPlan(t *testing.T) {
	t.Parallel()
	s := serveTwoWays(t, dbtest.SQLite)
	s.large(9, 2_000_000)
	s.ways = nil
	const document = `{ posts { nodes { body } } }` // 18 MB of 16
	got, _ := s.execute(s.plan, rules.Everyone(), document, nil)
	want, _ := s.execute(s.resolvers, rules.Everyone(), document, nil)
	if got != want || !strings.Contains(got, "COST_LIMIT") || !slices.Equal(s.ways, []graph.Way{graph.ByBoth}) {
		t.Errorf("got %.300s by %q, want %.300s by both ways", got, s.ways, want)
	}
}

// A plan that finds no memory waits for it, without a connection, and then starts again. Resolvers, which need more memory,
// are not asked.
func TestPlanWaitsForMemory(t *testing.T) {
	t.Parallel()
	s := serveTwoWays(t, dbtest.SQLite)
	s.large(3, 100_000)
	const memory = 64 << 20
	for _, free := range []bool{true, false} {
		answers := budget.New(budget.Options{Memory: memory, Wait: time.Millisecond})
		if free {
			answers = budget.New(budget.Options{Memory: memory, Wait: time.Minute})
		}
		release, ok := answers.Reserve(memory / 4) // all that small answers have
		if !ok {
			t.Fatal("got no memory for the test")
		}
		answer := answers.Open()
		ctx := budget.WithAnswer(rules.WithCaller(t.Context(), rules.Everyone()), answer)
		o, refused := s.plan.Prepare(ctx, requests.Request{Text: `{ posts { nodes { body } } }`})
		if refused != nil {
			t.Fatal(refused.Errors)
		}
		s.ways = nil
		s.statements.take()
		var response *graphql.Response
		done := make(chan struct{})
		go func() {
			defer close(done)
			response, _ = s.plan.Execute(ctx, o, requests.Terms{})
		}()
		if free {
			release()
		}
		<-done
		release()
		err := answer.Err()
		answer.Close()
		sent := len(reading(s.statements.take()))
		if !slices.Equal(s.ways, []graph.Way{graph.ByPlan}) {
			t.Errorf("free %t: got the ways %q, want %q", free, s.ways, graph.ByPlan)
		}
		if free && (len(response.Errors) > 0 || err != nil) {
			t.Errorf("got %v, %v, want an answer after the wait", response.Errors, err)
		}
		if !free && (sent != 1 || !errors.Is(err, budget.ErrBusy)) {
			t.Errorf("got %d statements and %v, want one and %v", sent, err, budget.ErrBusy)
		}
	}
}

func idOf(t *testing.T, text string) typeid.ID {
	t.Helper()
	id, err := typeid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A plan answers requests with other arguments.
func TestPlansWithOtherArguments(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(t, *seed)
		w.fillMany(t)
		s := serveTwoWays(t, e)
		w.insert(s.tester)
		users := w.kind("User").rows
		u := users[3].values
		for _, by := range []map[string]any{
			{"id": users[1].id.String()},
			{"username": u["username"]},
			{"email": u["email"]},
			{"username": users[2].values["username"]},
			{"identity": map[string]any{"issuer": u["identity_issuer"], "subject": u["identity_subject"]}},
			{"email": "nobody@example.com"},
			{"id": users[0].id.String()},
		} {
			s.compare(rules.Everyone(), `query ($by: UserBy!) { user(by: $by) { id username posts { totalCount nodes { title } } } }`, map[string]any{"by": by}, true)
		}
		var after string
		for _, variables := range []map[string]any{
			{},
			{"first": 3},
			{"last": 2},
			{"first": 100},
			{"orderBy": map[string]any{"field": "USERNAME", "direction": "DESC"}},
			{"orderBy": map[string]any{"field": "CREATED_AT"}},
			{"where": map[string]any{"hasPosts": true}},
			{"where": map[string]any{}, "first": 3},
			{"after": "AFTER", "first": 2},
			{"after": "AFTER", "last": 2},
			{"before": "AFTER"},
			{"posts": 1},
			{"posts": 4, "first": 1},
			{"posts": 4, "first": 50},
		} {
			for name, v := range variables {
				if v == "AFTER" {
					variables[name] = after
				}
			}
			const document = `query ($first: Int, $last: Int, $after: String, $before: String, $where: UserWhere, $orderBy: [UserOrder!], $posts: Int) {
				users(first: $first, last: $last, after: $after, before: $before, where: $where, orderBy: $orderBy) {
					pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
					edges { cursor node { username a: posts(first: $posts) { nodes { author { email } } pageInfo { endCursor } } b: posts(first: 4) { nodes { title } } } }
				}
			}`
			s.compare(rules.Everyone(), document, variables, true)
			s.compare(rules.Caller{Issuer: "i", Subject: "s", User: users[0].id}, document, variables, false) // it may read its own rows
			if after == "" {
				var page struct {
					Users struct{ PageInfo struct{ EndCursor string } }
				}
				s.must(&page, document)
				after = page.Users.PageInfo.EndCursor
				s.statements.take()
			}
		}
	})
}

// Requests use one plan at the same time.
func TestPlansAtTheSameTime(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(t, *seed)
		w.fillMany(t)
		s := serveTwoWays(t, e)
		w.insert(s.tester)
		const document = `query ($n: Int, $more: Boolean!) {
			users(first: $n) { totalCount edges { cursor node { username posts(first: $n) { nodes { title author { email } } } ... @include(if: $more) { email } } } }
		}`
		variables := func(i int) map[string]any { return map[string]any{"n": int64(1 + i%7), "more": i%2 == 0} }
		var want [14]string
		for i := range want {
			want[i], _ = s.execute(s.resolvers, rules.Everyone(), document, variables(i))
		}
		var requests sync.WaitGroup
		for client := range 4 {
			requests.Go(func() {
				for i := client; i < 80; i++ {
					if got, _ := s.execute(s.plan, rules.Everyone(), document, variables(i)); got != want[i%len(want)] {
						t.Errorf("%v: got %.300s, want %.300s", variables(i), got, want[i%len(want)])
					}
				}
			})
		}
		requests.Wait()
		if slices.ContainsFunc(s.ways, func(w graph.Way) bool { return w != graph.ByPlan }) {
			t.Errorf("got the ways %q, want only %q", s.ways, graph.ByPlan)
		}
	})
}
