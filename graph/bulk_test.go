package graph_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// many is the documents of the mutations of many.
func many() map[string]string {
	const fields = "{ id username email version }"
	return map[string]string{
		"createUsers": "mutation ($inputs: [CreateUserInput!]!) { createUsers(inputs: $inputs) { users " + fields + " } }",
		"updateUsers": "mutation ($inputs: [UpdateUserInput!]!) { updateUsers(inputs: $inputs) { users " + fields + " } }",
		"deleteUsers": "mutation ($inputs: [DeleteUserInput!]!) { deleteUsers(inputs: $inputs) { deletedIds } }",
		"upsertUsers": "mutation ($inputs: [UpsertUserInput!]!, $key: UserKey! = USERNAME) { upsertUsers(inputs: $inputs, key: $key) { users " + fields + " created updated unchanged } }",
		"createPosts": "mutation ($inputs: [CreatePostInput!]!) { createPosts(inputs: $inputs) { posts { id title body version author { id } } } }",
	}
}

// newUsers are inputs of users whose names begin with a text, with posts.
func newUsers(n int, name string, posts int) []object {
	list := make([]object, n)
	for i := range list {
		list[i] = object{"username": fmt.Sprintf("%s%d", name, i), "email": fmt.Sprintf("%s%d@example.com", name, i), "posts": titles(posts)}
	}
	return list
}

// madeUsers is what a mutation of many users answers.
type madeUsers struct {
	Users []struct{ ID, Username, Email string }
}

func (m madeUsers) each(input func(i int, id string) object) []object {
	list := make([]object, len(m.Users))
	for i, u := range m.Users {
		list[i] = input(i, u.ID)
	}
	return list
}

// TestStatementsOfMany runs each mutation of many with 1, 10 and 1000 inputs: the number of statements is the same.
func TestStatementsOfMany(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		documents := many()
		counts := map[string][]int{}
		for _, n := range []int{1, 10, 1000} {
			name := fmt.Sprintf("n%d.", n)
			run := func(what, document string, variables ...any) madeUsers {
				t.Helper()
				s.statements.take()
				var data map[string]madeUsers
				s.must(&data, document, variables...)
				counts[what] = append(counts[what], onAnyEngine(s.statements.take()))
				for _, made := range data {
					return made
				}
				return madeUsers{}
			}
			run("create", documents["createUsers"], "inputs", newUsers(n, "bare."+name, 0))
			made := run("create with posts", documents["createUsers"], "inputs", newUsers(n, name, 2))
			if len(made.Users) != n || made.Users[n-1].Username != fmt.Sprintf("%s%d", name, n-1) {
				t.Fatalf("%d users: got %+v, want them in the order of the inputs", n, made)
			}
			run("update", documents["updateUsers"], "inputs", made.each(func(i int, id string) object { return object{"id": id, "username": fmt.Sprintf("x.%s%d", name, i)} }))
			run("move", documents["updateUsers"], "inputs", append(made.each(func(i int, id string) object {
				return object{"id": id, "email": fmt.Sprintf("%s%d@example.com", name, (i+1)%n)}
			}), object{"id": "", "username": "y"})[:n])
			run("change nothing", documents["updateUsers"], "inputs", made.each(func(_ int, id string) object { return object{"id": id} }))
			run("upsert new", documents["upsertUsers"], "inputs", upserts(n, "u."+name, "u."+name))
			run("upsert", documents["upsertUsers"], "inputs", upserts(n, "u."+name, "v."+name))
			run("upsert by address", documents["upsertUsers"], "key", "EMAIL", "inputs", upserts(n, "w."+name, "v."+name))
			run("create posts", documents["createPosts"], "inputs", made.each(func(_ int, id string) object { return object{"authorId": id, "title": "T"} }))
			run("delete", documents["deleteUsers"], "inputs", made.each(func(_ int, id string) object { return object{"id": id, "dependents": "CASCADE"} }))
			all := newUsers(n, "bare."+name, 0)
			all[n-1]["username"] = "other." + name // its address is taken, and what all the others have
			s.statements.take()
			codes := s.do(documents["createUsers"], "inputs", all).codes()
			if want := strings.TrimSpace(strings.Repeat("TAKEN ", min(2*n-1, 10))); codes != want {
				t.Errorf("%d users that are there: %s", n, codes)
			}
			counts["taken"] = append(counts["taken"], len(s.statements.take()))
		}
		authors := 0
		if e == dbtest.MySQL { // which has to lock the authors before
			authors = 1
		}
		for what, want := range map[string]int{
			"create": 2, "create with posts": 3, "update": 3, "move": 3, "change nothing": 1, "upsert new": 3, "upsert": 4, "upsert by address": 4,
			"create posts": 3 + authors, "delete": 6, "taken": 3,
		} {
			if got, want := fmt.Sprint(counts[what]), fmt.Sprint([]int{want, want, want}); got != want && (what != "move" || got != "[1 4 4]") {
				t.Errorf("%s: %s statements, want %s", what, got, want)
			}
		}
	})
}

// upserts are inputs of upsertUsers.
func upserts(n int, username, address string) []object {
	list := make([]object, n)
	for i := range list {
		list[i] = object{"username": fmt.Sprintf("%s%d", username, i), "email": fmt.Sprintf("%s%d@example.com", address, i)}
	}
	return list
}

// TestTooMany sends no inputs and more than there may be to each mutation of many, and more posts than go with users.
func TestTooMany(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		valid := map[string]object{
			"createUsers": {"username": "u", "email": "u@example.com"}, "upsertUsers": {"username": "u", "email": "u@example.com"},
			"updateUsers": {"id": "user_01kg9p6je5tqmrz92xxm1cr6rb"}, "deleteUsers": {"id": "user_01kg9p6je5tqmrz92xxm1cr6rb"},
			"createPosts": {"authorId": "user_01kg9p6je5tqmrz92xxm1cr6rb", "title": "T"},
		}
		for name, document := range many() {
			for _, n := range []int{0, 1001} {
				a := s.fails("INVALID", document, "inputs", slices.Repeat([]object{valid[name]}, n))
				if got := fmt.Sprint(a.Errors[0].Extensions.Field); got != "[inputs]" {
					t.Errorf("%s of %d: got a fault at %s, want [inputs]", name, n, got)
				}
			}
		}
		if got := s.statements.take(); slices.ContainsFunc(got, func(query string) bool { return strings.Contains(query, "users") }) {
			t.Errorf("got the statements %v, want none of users", got)
		}
		a := s.fails("INVALID", many()["createUsers"], "inputs", []object{{"username": "u", "email": "u@example.com"}, {"username": "v", "email": "v@example.com", "posts": titles(1001)}})
		if got := fmt.Sprint(a.Errors[0].Extensions.Field); got != "[inputs 1 posts]" {
			t.Errorf("path of the fault: got %s, want [inputs 1 posts]", got)
		}
	})
}

// TestManyAreAsOneByOne does random operations at once in one database, and one input after the other in another: the
// answers, the faults of the first input at fault, the users and the changes are the same.
func TestManyAreAsOneByOne(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		at, after := serve(t, e, settings{}), serve(t, e, settings{})
		p := &twins{random: rand.New(rand.NewPCG(*seed, 7)), at: at, after: after}
		refused := 0
		for range 60 {
			if !p.step(t) {
				refused++
			}
			if t.Failed() {
				t.Fatalf("that was with -seed=%d", *seed)
			}
		}
		if refused < 5 || refused > 55 {
			t.Errorf("refused operations: got %d of 60, want 5 to 55", refused)
		}
	})
}

// twins is two databases that are to be the same. IDs are not: what has the same name is the same.
type twins struct {
	random    *rand.Rand
	at, after *tester // all at once, and one after the other
	last      int
}

// pool is a few names, so that they are often taken, and in another case.
func (p *twins) name() string {
	if p.random.IntN(3) > 0 {
		p.last++
		return fmt.Sprintf("new%d", p.last)
	}
	name := fmt.Sprintf("name%d", p.random.IntN(30))
	if p.random.IntN(2) == 0 {
		name = strings.ToUpper(name)
	}
	return pick(p.random, name, name, name, name, name, name, "", "a b")
}

func (p *twins) address() string {
	name := p.name()
	if name == "" || strings.Contains(name, " ") {
		return name
	}
	return name + "@example.com"
}

// step does one operation in both databases, and reports whether it was done.
func (p *twins) step(t *testing.T) bool {
	t.Helper()
	there := p.users(p.at)
	others := p.users(p.after)
	n := 1 + p.random.IntN(6)
	ids := p.random.Perm(len(there))
	kind := pick(p.random, "create", "create", "update", "update", "delete", "upsert", "posts")
	if len(there) < n {
		kind = "create"
	}
	inputs, singles := make([]object, n), make([]object, n)
	for i := range inputs {
		input := object{}
		single := object{}
		both := func(name string, value any) { input[name], single[name] = value, value }
		switch kind {
		case "create":
			both("username", p.name())
			both("email", p.address())
			if p.random.IntN(3) == 0 {
				both("posts", titles(p.random.IntN(3)))
			}
		case "upsert":
			both("username", pick(p.random, p.name(), there[ids[i]].Username))
			both("email", p.address())
		case "posts":
			input["authorId"], single["authorId"] = there[ids[i]].ID, others[ids[i]].ID
			both("title", pick(p.random, "Title", "Another", "One more", " "))
		default:
			input["id"], single["id"] = there[ids[i]].ID, others[ids[i]].ID
			if p.random.IntN(10) == 0 {
				both("id", "user_01kg9p6je5tqmrz92xxm1cr6rb")
			}
			if p.random.IntN(4) == 0 {
				both("expectedVersion", there[ids[i]].Version+p.random.IntN(4)/3)
			}
			if kind == "update" {
				if p.random.IntN(2) == 0 {
					both("username", pick(p.random, p.name(), there[ids[i]].Username))
				}
				if p.random.IntN(2) == 0 {
					both("email", p.address())
				}
			} else if p.random.IntN(3) > 0 {
				both("dependents", "CASCADE")
			}
		}
		inputs[i], singles[i] = input, single
	}
	p.separate(kind, there, inputs, singles)
	return p.compare(t, kind, inputs, singles)
}

// separate gives those inputs other values that mean something else one by one: a value that another one gives up, which is
// free at once, and in their order perhaps not yet; and the same key again.
func (p *twins) separate(kind string, there []twin, inputs, singles []object) {
	same := func(a, b any) bool { return strings.EqualFold(fmt.Sprint(a), fmt.Sprint(b)) }
	again := map[string]bool{}
	for i, input := range inputs {
		if key := strings.ToLower(fmt.Sprint(input["username"])); kind == "upsert" && again[key] {
			p.last++
			input["username"] = fmt.Sprintf("new%d", p.last)
			singles[i]["username"] = input["username"]
		} else {
			again[key] = true
		}
	}
	about := func(u twin, input object) bool {
		return kind == "update" && input["id"] == u.ID || kind == "upsert" && same(input["username"], u.Username)
	}
	for i, input := range inputs {
		for _, u := range there {
			if about(u, input) || !slices.ContainsFunc(inputs, func(other object) bool { return about(u, other) }) {
				continue
			}
			p.last++
			if same(input["username"], u.Username) {
				input["username"] = fmt.Sprintf("new%d", p.last)
				singles[i]["username"] = input["username"]
			}
			if same(input["email"], u.Email) {
				input["email"] = fmt.Sprintf("new%d@example.com", p.last)
				singles[i]["email"] = input["email"]
			}
		}
	}
}

// compare sends the operation to both.
func (p *twins) compare(t *testing.T, kind string, inputs, singles []object) bool {
	t.Helper()
	name := map[string]string{"create": "createUsers", "update": "updateUsers", "delete": "deleteUsers", "upsert": "upsertUsers", "posts": "createPosts"}[kind]
	a := p.at.do(many()[name], "inputs", inputs)
	// One operation of many fields, each of one input, ends at the first that fails.
	var parameters, fields []string
	var variables []any
	for i, input := range singles {
		field := strings.TrimSuffix(name, "s")
		of, argument, value := strings.ToUpper(field[:1])+field[1:]+"Input", "input", any(input)
		if kind == "upsert" {
			field, of, argument, value = name, "[UpsertUserInput!]", "inputs", []object{input}
		}
		parameters = append(parameters, fmt.Sprintf("$i%d: %s!", i, of))
		fields = append(fields, fmt.Sprintf("f%d: %s(%s: $i%d) { __typename }", i, field, argument, i))
		variables = append(variables, fmt.Sprintf("i%d", i), value)
	}
	b := p.after.do("mutation ("+strings.Join(parameters, ", ")+") { "+strings.Join(fields, " ")+" }", variables...)
	text := fmt.Sprint(inputs)
	if len(a.Errors) == 0 != (len(b.Errors) == 0) {
		t.Errorf("%s of %s: got %+v at once, want as one by one: %+v", kind, text, a.Errors, b.Errors)
		return false
	}
	if len(b.Errors) > 0 {
		var index int
		if _, err := fmt.Sscanf(fmt.Sprint(b.Errors[0].Path[0]), "f%d", &index); err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, e := range b.Errors {
			path := e.Extensions.Field[1:]
			if kind == "upsert" {
				path = path[1:]
			}
			want = append(want, fmt.Sprint(e.Extensions.Code, path))
		}
		for _, e := range a.Errors {
			if i, ok := e.Extensions.Field[1].(float64); !ok || int(i) < index {
				t.Errorf("%s of %s: got a fault at %v, want none before %d, where one by one has its first", kind, text, e.Extensions.Field, index)
			} else if int(i) == index {
				got = append(got, fmt.Sprint(e.Extensions.Code, e.Extensions.Field[2:]))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s of %s: at once %v, one by one %v", kind, text, got, want)
		}
	}
	p.same(t, fmt.Sprintf("%s of %s", kind, text))
	return len(b.Errors) == 0
}

// twin is a user of a database.
type twin struct {
	ID, Username, Email string
	Version             int
	Posts               struct {
		Nodes      []struct{ Title string }
		TotalCount int
	}
}

func (p *twins) users(s *tester) []twin {
	var data struct{ Users struct{ Nodes []twin } }
	s.must(&data, "{ users(last: 100) { nodes { id username email version posts { nodes { title } totalCount } } } }")
	return data.Users.Nodes
}

// same demands that both databases have the same users and posts, and the same changes.
func (p *twins) same(t *testing.T, what string) {
	t.Helper()
	texts := func(s *tester) (users, changes string) {
		list := p.users(s)
		for i := range list {
			list[i].ID = ""
		}
		found, _ := s.changes("", 1000)
		for i := range found {
			found[i].Cursor, found[i].NodeID = "", ""
		}
		return fmt.Sprintf("%+v", list), fmt.Sprintf("%+v", found)
	}
	users, changes := texts(p.at)
	otherUsers, otherChanges := texts(p.after)
	if users != otherUsers {
		t.Errorf("users after %s: got\n%s\nwant as one by one\n%s", what, users, otherUsers)
	}
	if changes != otherChanges {
		t.Errorf("changes after %s: got\n%s\nwant as one by one\n%s", what, changes, otherChanges)
	}
}

// TestManyAtOnce runs mutations of many that have much in common, in opposite orders: all are done, some only when they
// are tried again, and no client hears of it.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{database: func(o *database.Options) {
			if e == dbtest.PostgreSQL {
				set(o, "deadlock_timeout", "10ms")
			}
		}})
		const n, rounds = 40, 6
		var data struct{ CreateUsers madeUsers }
		s.must(&data, many()["createUsers"], "inputs", newUsers(n, "u", 1))
		var done atomic.Int32
		inOrder := func(client int, list []object) []object {
			if client%2 == 1 {
				slices.Reverse(list)
			}
			return list
		}
		clients(4, func(client int) {
			for round := range rounds {
				var name string
				var list []object
				switch client / 2 {
				case 0: // each user's address is that of the next one: the same change by both writers
					name, list = "updateUsers", data.CreateUsers.each(func(i int, id string) object {
						return object{"id": id, "email": fmt.Sprintf("u%d@example.com", (i+round+client)%n)}
					})
				default:
					name, list = "createPosts", data.CreateUsers.each(func(_ int, id string) object { return object{"authorId": id, "title": "T"} })
				}
				if a := s.settled(many()[name], "inputs", inOrder(client, list)); len(a.Errors) > 0 {
					t.Errorf("%s by client %d: got %+v, want no error", name, client, a.Errors[0])
					continue
				}
				done.Add(1)
			}
		})
		if done.Load() != 4*rounds {
			t.Errorf("finished operations: got %d, want %d", done.Load(), 4*rounds)
		}
	})
}

// TestUpsertsOfTheSame has two writers upsert the same new users, in opposite orders: one creates each, the other finds it.
func TestUpsertsOfTheSame(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		const n, rounds = 30, 6
		for round := range rounds {
			var created, unchanged atomic.Int32
			clients(2, func(client int) {
				list := upserts(n, fmt.Sprintf("r%d.", round), fmt.Sprintf("r%d.", round))
				if client == 1 {
					slices.Reverse(list)
				}
				a := s.do(many()["upsertUsers"], "inputs", list)
				var data struct {
					UpsertUsers struct{ Created, Unchanged int32 }
				}
				if err := json.Unmarshal(a.Data, &data); err != nil || len(a.Errors) > 0 {
					t.Errorf("upsert: got %v %+v, want no error", err, a.Errors)
				}
				created.Add(data.UpsertUsers.Created)
				unchanged.Add(data.UpsertUsers.Unchanged)
			})
			if created.Load() != n || unchanged.Load() != n {
				t.Errorf("upserts of %d users: got %d created and %d unchanged, want all of each", n, created.Load(), unchanged.Load())
			}
		}
	})
}

// settled sends an operation, and again as long as it loses every race, as a client would: on a machine that is slow enough
// the retries of the server are over before the others are done.
func (s *tester) settled(document string, variables ...any) *answer {
	s.Helper()
	const most = 5
	for sent := 1; ; sent++ {
		if a := s.do(document, variables...); a.codes() != "CONFLICT" || sent == most {
			return a
		}
	}
}

// TestManyAgainstDeletes deletes users, from the last to the first, while others change them and write posts of theirs:
// each operation is done, or some of its users are gone.
func TestManyAgainstDeletes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{database: func(o *database.Options) {
			if e == dbtest.PostgreSQL {
				set(o, "deadlock_timeout", "10ms")
			}
		}})
		const n, together, rounds = 60, 20, 4
		var data struct{ CreateUsers madeUsers }
		s.must(&data, many()["createUsers"], "inputs", newUsers(n, "u", 1))
		clients(4, func(client int) {
			for round := range rounds {
				name, list := "deleteUsers", data.CreateUsers.each(func(_ int, id string) object { return object{"id": id, "dependents": "CASCADE"} })
				switch client {
				case 0:
					if round >= n/together {
						return
					}
					list = list[n-(round+1)*together : n-round*together]
					slices.Reverse(list)
				case 1:
					name, list = "createPosts", data.CreateUsers.each(func(_ int, id string) object { return object{"authorId": id, "title": "T"} })
				default:
					name, list = "updateUsers", data.CreateUsers.each(func(i int, id string) object {
						return object{"id": id, "username": fmt.Sprintf("c%d.%d.%d", client, round, i)}
					})
				}
				if a := s.settled(many()[name], "inputs", list); strings.TrimSpace(strings.ReplaceAll(a.codes(), "NOT_FOUND", "")) != "" {
					t.Errorf("%s by client %d: got %s, want no code other than NOT_FOUND", name, client, a.codes())
				}
			}
		})
		var left struct{ Users, Posts struct{ TotalCount int } }
		s.must(&left, "{ users { totalCount } posts { totalCount } }")
		if left.Users.TotalCount+left.Posts.TotalCount != 0 {
			t.Errorf("after the deletes: got %+v, want no users and no posts", left)
		}
	})
}
