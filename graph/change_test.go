package graph_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// change is a change as tests read it.
type change struct {
	Cursor, Type, NodeID, Kind string
	Version                    int
	ChangedFields              []string
	Node                       json.RawMessage
}

// changesPage is a page of changes.
type changesPage struct {
	Changes   []change
	EndCursor string
	CaughtUp  bool
}

const changeFields = "{ changes { cursor type nodeId kind version changedFields } endCursor caughtUp }"

// changes reads all changes after a cursor, in pages of a size; an empty cursor stands for none.
func (s *tester) changes(after string, size int) (found []change, end string) {
	s.Helper()
	for {
		var cursor any
		if after != "" {
			cursor = after
		}
		var data struct{ Changes changesPage }
		s.must(&data, "query ($after: String, $first: Int) { changes(after: $after, first: $first) "+changeFields+" }", "after", cursor, "first", size)
		found = append(found, data.Changes.Changes...)
		after = data.Changes.EndCursor
		if data.Changes.CaughtUp {
			return found, after
		}
	}
}

// Pages joined are the whole, whatever their size; a page ends where its cursor says, and so does each change.
func TestPagesOfChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		for i := range 7 {
			s.create(fmt.Sprintf("u%d", i), "One", "Two")
		}
		all, end := s.changes("", 1000)
		if len(all) != 21 {
			t.Fatalf("got %d changes, want 21", len(all))
		}
		for _, size := range []int{1, 2, 7, 20, 21, 22} {
			if got, last := s.changes("", size); !slices.EqualFunc(got, all, func(a, b change) bool { return a.Cursor == b.Cursor }) || last != end {
				t.Errorf("pages of %d: %v, want %v", size, got, all)
			}
		}
		for i, c := range all {
			if got, _ := s.changes(c.Cursor, 1000); len(got) != len(all)-i-1 || len(got) > 0 && got[0].Cursor != all[i+1].Cursor {
				t.Errorf("after change %d: got %v, want all later changes", i, got)
			}
		}
		var data struct{ ChangesCursor string }
		s.must(&data, "{ changesCursor }")
		if data.ChangesCursor != end {
			t.Errorf("changesCursor: got %s, want the end of the last page, %s", data.ChangesCursor, end)
		}
		// Who goes on from the end of a filtered page misses nothing and gets nothing twice.
		var page struct{ Changes changesPage }
		s.must(&page, `query { changes(types: [USER], first: 3) `+changeFields+` }`)
		rest, _ := s.changes(page.Changes.EndCursor, 1000)
		if i := slices.IndexFunc(all, func(c change) bool { return c.Cursor == page.Changes.Changes[2].Cursor }); len(rest) != len(all)-i-1 {
			t.Errorf("after a filtered page: got %d changes, want %d", len(rest), len(all)-i-1)
		}
	})
}

// A filter that lets nothing through ends where it stopped looking, and the reader goes on from there.
func TestChangesOfFewThings(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		first := s.create("first")
		last := s.create("last")
		id, err := typeid.Parse(first.ID)
		if err != nil {
			t.Fatal(err)
		}
		filler := make([]feed.Change, 25_000)
		for i := range filler {
			filler[i] = feed.Change{NodeID: id, Kind: feed.Updated, Version: i + 2, Fields: []string{"email"}, At: time.Now()}
		}
		tx := s.db.Session(database.Write)
		defer tx.Rollback()
		if err := feed.Write(t.Context(), tx, filler); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		s.must(nil, `mutation ($id: ID!) { updateUser(input: {id: $id, username: "again"}) { user { id } } }`, "id", last.ID)
		// Each query numbers a part of the changes. Until all have numbers, no page says that it is the last.
		var kinds []string
		var after any
		pages := 0
		for caughtUp := false; !caughtUp; pages++ {
			var data struct{ Changes changesPage }
			s.must(&data, "query ($after: String, $ids: [ID!]) { changes(after: $after, nodeIds: $ids) "+changeFields+" }", "after", after, "ids", []string{last.ID})
			for _, c := range data.Changes.Changes {
				kinds = append(kinds, c.Kind)
			}
			after, caughtUp = data.Changes.EndCursor, data.Changes.CaughtUp
		}
		if got := strings.Join(kinds, " "); got != "CREATED UPDATED" || pages != 3 {
			t.Errorf("got %q on %d pages, want CREATED UPDATED on 3", got, pages)
		}
	})
}

// When committed changes get no numbers, a query fails. A page without them would say that the client has everything.
func TestChangesWithoutNumbers(t *testing.T) {
	t.Parallel()
	for engine, statements := range map[dbtest.Engine][]string{
		dbtest.PostgreSQL: {
			"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no' USING ERRCODE = '40001'; END$$",
			"CREATE TRIGGER refuse BEFORE UPDATE ON feed FOR EACH ROW EXECUTE FUNCTION refuse()",
		},
		dbtest.MySQL: {"CREATE TRIGGER refuse BEFORE UPDATE ON feed FOR EACH ROW SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"},
	} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			s := serve(t, engine, settings{})
			s.changes("", 10)
			for _, statement := range statements {
				if err := s.db.Session(database.Single).Exec(t.Context(), statement, []any{}, nil); err != nil {
					t.Fatal(err)
				}
			}
			s.create("ada")
			s.fails("CONFLICT", "{ changes "+changeFields+" }")
		})
	}
}

// A cursor is good for one life of one database, up to the feed's end, and as long as what follows it is kept.
func TestCursorsOfChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const query = "query ($after: String) { changes(after: $after) { caughtUp } }"
		s, other := serve(t, e, settings{}), serve(t, e, settings{})
		s.create("ada", "One", "Two", "Three")
		all, end := s.changes("", 1000)

		text := []byte(end)
		for i := range text {
			for _, c := range []byte{'A', 'z', '-', '=', '\n'} {
				if text[i] == c {
					continue
				}
				damaged := slices.Clone(text)
				damaged[i] = c
				s.fails("CURSOR_INVALID", query, "after", string(damaged))
			}
		}
		s.fails("CURSOR_INVALID", query, "after", end[1:])
		s.fails("CURSOR_INVALID", query, "after", end+"A")
		var page struct {
			Users struct{ PageInfo struct{ EndCursor string } }
		}
		s.must(&page, "{ users { pageInfo { endCursor } } }")
		s.fails("CURSOR_INVALID", query, "after", page.Users.PageInfo.EndCursor)
		s.fails("CURSOR_INVALID", "query ($after: String) { users(after: $after) { nodes { id } } }", "after", end)

		s.fails("INVALID", "query ($actor: String) { changes(actor: $actor) { caughtUp } }", "actor", "a\x00")

		other.create("ada", "One", "Two", "Three", "Four")
		other.fails("CURSOR_EXPIRED", query, "after", end)
		_, beyond := other.changes("", 1000)
		s.fails("CURSOR_EXPIRED", query, "after", beyond)

		if n, err := feed.Prune(t.Context(), s.db, time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)); n != 0 || err != nil {
			t.Errorf("pruning before all changes: got %d and %v, want none pruned", n, err)
		}
		s.create("bob")
		if n, err := feed.Prune(t.Context(), s.db, s.timeOf("bob")); n != int64(len(all)) || err != nil {
			t.Errorf("pruning all changes: got %d and %v, want all pruned", n, err)
		}
		for _, c := range all[:len(all)-1] {
			s.fails("CURSOR_EXPIRED", query, "after", c.Cursor)
		}
		for _, after := range []string{"", end} { // from the oldest that is kept
			if got, _ := s.changes(after, 1000); len(got) != 1 {
				t.Errorf("after pruning: got %v, want one change", got)
			}
		}

		if err := feed.Reset(t.Context(), s.db); err != nil {
			t.Fatal(err)
		}
		s.fails("CURSOR_EXPIRED", query, "after", end)
		if got, _ := s.changes("", 1000); len(got) != 1 {
			t.Errorf("after a reset: got %v, want one change", got)
		}
	})
}

// timeOf is when a user was created.
func (s *tester) timeOf(username string) time.Time {
	s.Helper()
	var data struct{ User struct{ CreatedAt time.Time } }
	s.must(&data, "query ($name: String!) { user(by: {username: $name}) { createdAt } }", "name", username)
	return data.User.CreatedAt
}

// Who took a copy and the feed's end in one operation, and follows the feed from there, has what the database has.
func TestCopyAndFollow(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const follow = `query ($after: String!) { changes(after: $after, first: 5) {
			changes { nodeId kind node { ... on User { id version username } ... on Post { id version title author { id } } } } endCursor caughtUp
		} }`
		s := serve(t, e, settings{})
		random := rand.New(rand.NewPCG(1, 1))
		var users []user
		act := func(i int) {
			if len(users) < 3 || random.IntN(4) == 0 {
				users = append(users, s.create(fmt.Sprintf("u%d", i), "One", "Two"))
				return
			}
			u := random.IntN(len(users))
			switch random.IntN(4) {
			case 0:
				s.must(nil, "mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }", "id", users[u].ID)
				users = slices.Delete(users, u, u+1)
			case 1:
				s.must(nil, "mutation ($id: ID!, $name: String!) { updateUser(input: {id: $id, username: $name}) { user { id } } }", "id", users[u].ID, "name", fmt.Sprintf("n%d", i))
			case 2:
				s.do("mutation ($id: ID!) { updatePost(input: {id: $id, title: \"again\"}) { post { id } } }", "id", users[u].Posts.Nodes[0].ID)
			case 3:
				s.do("mutation ($id: ID!, $to: ID!) { updatePost(input: {id: $id, authorId: $to}) { post { id } } }", "id", users[u].Posts.Nodes[1].ID, "to", users[0].ID)
			}
		}
		for i := range 30 {
			act(i)
		}
		copied, after := s.state()
		for i := range 60 {
			act(100 + i)
			if random.IntN(3) > 0 {
				continue
			}
			var data struct{ Changes changesPage }
			s.must(&data, follow, "after", after)
			after = data.Changes.EndCursor
			s.apply(copied, data.Changes.Changes)
		}
		for caughtUp := false; !caughtUp; {
			var data struct{ Changes changesPage }
			s.must(&data, follow, "after", after)
			after, caughtUp = data.Changes.EndCursor, data.Changes.CaughtUp
			s.apply(copied, data.Changes.Changes)
		}
		now, end := s.state()
		if after != end {
			t.Errorf("end of the follower: got %s, want the end of the feed, %s", after, end)
		}
		if len(now) != len(copied) {
			t.Errorf("nodes of the copy: got %d, want %d as in the database", len(copied), len(now))
		}
		for id, want := range now {
			if copied[id] != want {
				t.Errorf("%s in the copy: got %s, want %s as in the database", id, copied[id], want)
			}
		}
	})
}

// apply brings a copy up to date.
func (s *tester) apply(copied map[string]string, changes []change) {
	s.Helper()
	for _, c := range changes {
		gone := string(c.Node) == "null"
		if c.Kind == "DELETED" && !gone {
			s.Errorf("%s is deleted, but there: %s", c.NodeID, c.Node)
		}
		if gone {
			delete(copied, c.NodeID)
		} else {
			copied[c.NodeID] = string(c.Node)
		}
	}
}

// state is all users and posts, and the feed's end, at one moment.
func (s *tester) state() (things map[string]string, end string) {
	s.Helper()
	var data struct {
		ChangesCursor string
		Users, Posts  struct{ Nodes []json.RawMessage }
	}
	s.must(&data, "{ changesCursor users(first: 100) { nodes { id version username } } posts(first: 100) { nodes { id version title author { id } } } }")
	things = map[string]string{}
	for _, text := range slices.Concat(data.Users.Nodes, data.Posts.Nodes) {
		var node struct{ ID string }
		if err := json.Unmarshal(text, &node); err != nil {
			s.Fatal(err)
		}
		things[node.ID] = string(text)
	}
	return things, data.ChangesCursor
}

// TestEveryEdgeOfChanges asks the nodes of changes for every edge: however many changes there are, the number of
// statements is the same, and each node is what a query for it finds.
func TestEveryEdgeOfChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPair(t, e)
		ask := func(s *tester, w *world, k *kind) (string, []string) {
			document := "{ changes(first: 100, types: [" + strings.ToUpper(k.label) + "]) { changes { nodeId node { ... on " + k.Name + " " + k.tree(2) + " } } } }"
			var data struct{ Changes changesPage }
			s.changed(w)
			s.must(&data, document)
			statements := reading(s.statements.take())
			if len(data.Changes.Changes) < min(len(k.rows), 100) {
				s.Errorf("%d changes of %s", len(data.Changes.Changes), k.Name)
			}
			for _, c := range data.Changes.Changes[:min(len(data.Changes.Changes), 5)] {
				var found struct{ Node json.RawMessage }
				s.must(&found, "{ node(id: "+quote(c.NodeID)+") { ... on "+k.Name+" "+k.tree(2)+" } }")
				if string(found.Node) != string(c.Node) {
					s.Errorf("a change has\n%s\nand a query finds\n%s", c.Node, found.Node)
				}
			}
			s.statements.take()
			return document, statements
		}
		for i := range p.plenty.kinds {
			document, one := ask(p.one, p.few, p.few.kinds[i])
			_, many := ask(p.many, p.plenty, p.plenty.kinds[i])
			p.compare(document, one, many)
			if bound := p.few.boundOf(p.one, document); len(many) > bound {
				t.Errorf("%s\ngot %d statements, want at most %d:\n%s", document, len(many), bound, strings.Join(many, "\n"))
			}
		}
	})
}

// changed writes a change for every row of a world, and gives it its number.
func (s *tester) changed(w *world) {
	s.Helper()
	var changes []feed.Change
	for _, k := range w.kinds {
		for _, r := range k.rows {
			changes = append(changes, feed.Change{NodeID: r.id, Kind: feed.Created, Version: 1, At: time.Now()})
		}
	}
	tx := s.db.Session(database.Write)
	defer tx.Rollback()
	if err := feed.Write(s.Context(), tx, changes); err != nil {
		s.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		s.Fatal(err)
	}
	if err := feed.Number(s.Context(), s.db); err != nil {
		s.Fatal(err)
	}
	s.statements.take()
}
