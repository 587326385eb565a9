package graph_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/group"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// clubs is a database with as many users as groups. Each user is in the groups of its number and of the ones after it, so
// that each group has as many members.
type clubs struct {
	*tester
	users, groups []string // IDs
}

// found fills a database: each of n users is in so many groups.
func found(t *testing.T, e dbtest.Engine, n, in int) *clubs {
	t.Helper()
	c := &clubs{tester: serve(t, e, settings{})}
	ctx := rules.WithCaller(t.Context(), rules.Everyone())
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	ids := typeid.NewSource(func() time.Time { return now }, rand.NewChaCha8([32]byte{1}))
	session := c.db.Session(database.Write)
	tx := directory.New(session, directory.Options{Clock: func() time.Time { return now }, IDs: ids})
	defer tx.Rollback()
	var users []*directory.Record
	var userIDs []typeid.ID
	for i := range n {
		now = now.Add(time.Millisecond)
		id := ids.New("user")
		userIDs, c.users = append(userIDs, id), append(c.users, id.String())
		// The order of the names is not that of the IDs, and three users share each address's first letter and each time.
		u, faults := directory.UserRecord(id, fmt.Sprintf("user%03d", i*37%101), fmt.Sprintf("%c%03d@example.com", 'z'-rune(i/3%26), i),
			directory.History{CreatedAt: now.Truncate(3 * time.Millisecond), UpdatedAt: now})
		if err := faults.Err(); err != nil {
			t.Fatal(err)
		}
		users = append(users, u)
	}
	if err := tx.Import(ctx, users, directory.Fail); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		g, err := tx.CreateGroup(ctx, fmt.Sprintf("Group %03d", i*53%101), new(ent.Group))
		if err != nil {
			t.Fatal(err)
		}
		c.groups = append(c.groups, g.ID.String())
		if in == 0 {
			continue
		}
		members := sql.Dialect(session.Dialect()).Insert(group.MembersTable).Columns(group.MembersPrimaryKey...)
		for j := range min(in, n) {
			members.Values(g.ID, userIDs[(i-j+n)%n])
		}
		query, args := members.Query()
		if err := session.Exec(ctx, query, args, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(ctx, nil); err != nil {
		t.Fatal(err)
	}
	c.statements.take()
	return c
}

// TestGroupStatements: the statements are those of the document, whatever the rows.
func TestGroupStatements(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, size := range []struct{ n, in int }{{1, 1}, {100, 5}} {
			c := found(t, e, size.n, size.in)
			rows := size.n
			page := min(size.in, 3)
			for _, test := range []struct {
				document   string
				statements int
				rows       int // at the deepest level
			}{
				{`{ users(first: 100) { nodes { groups(first: 3) { nodes { id } } } } }`, 2, rows * page},
				{`{ groups(first: 100) { nodes { members(last: 3) { nodes { id } } } } }`, 2, rows * page},
				{
					`{ users(first: 100) { nodes { groups(first: 3) { totalCount nodes {
						members(first: 3, orderBy: [{field: USERNAME}]) { totalCount nodes { groups(last: 3) { nodes { id } } } } } } } } }`,
					6, rows * page * page * page,
				},
				{`{ groups(first: 100) { edges { node { members(first: 3) { edges { node { posts { nodes { id } } id } } } } } } }`, 3, rows * page},
				{`query ($groups: [ID!]!) { nodes(ids: $groups) { ... on Group { members(first: 3) { nodes { id } } } } }`, 2, rows * page},
				{`query ($users: [ID!]!) { nodes(ids: $users) { ... on User { groups(first: 3) { nodes { id } } } } }`, 2, rows * page},
				{`query ($group: ID!) { group(id: $group) { members(first: 3) { nodes { groups(first: 3) { nodes { id } } } } } }`, 3, page * page},
				{`query ($group: ID!) { node(id: $group) { ... on Group { members(first: 3) { totalCount nodes { id } } } } }`, 3, page},
			} {
				var variables []any
				for name, value := range map[string]any{"groups": c.groups, "users": c.users, "group": c.groups[0]} {
					if strings.Contains(test.document, "$"+name+":") {
						variables = append(variables, name, value)
					}
				}
				var data json.RawMessage
				c.must(&data, test.document, variables...)
				if got := c.statements.take(); len(got) != test.statements {
					t.Errorf("%s with %d rows: %d statements, want %d:\n%s", test.document, rows, len(got), test.statements, strings.Join(got, "\n"))
				}
				if got := strings.Count(string(data), `"id":`); got != test.rows {
					t.Errorf("%s: %d rows, want %d", test.document, got, test.rows)
				}
			}
			var changed struct {
				AddGroupMember struct {
					Group struct{ Members struct{ TotalCount int } }
					User  struct{ Groups struct{ TotalCount int } }
				}
			}
			c.must(nil, `mutation { createGroup(input: {name: "New"}) { group { id } } }`)
			c.statements.take()
			c.must(&changed, `mutation ($group: ID!, $user: ID!) { addGroupMember(input: {groupId: $group, userId: $user}) {
				group { members { totalCount nodes { groups { nodes { id } } } } } user { groups { totalCount } } } }`,
				"group", c.groups[0], "user", c.users[0])
			if got := c.statements.take(); len(got) != 3+5 { // she is a member already
				t.Errorf("addGroupMember: %d statements:\n%s", len(got), strings.Join(got, "\n"))
			}
			if m := changed.AddGroupMember; m.Group.Members.TotalCount != min(size.in, size.n) || m.User.Groups.TotalCount != min(size.in, size.n) {
				t.Errorf("addGroupMember: %+v", m)
			}
		}
	})
}

// TestGroupPages joins the pages of an edge, forward and backward, in several orders and with a filter.
func TestGroupPages(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const in = 23
		c := found(t, e, 60, in)
		type row struct{ ID, Username, Email, CreatedAt, Name string }
		read := func(root, field, id, arguments string) (rows []row, total int, info map[string]any) {
			var data map[string]map[string]struct {
				Nodes      []row
				TotalCount int
				PageInfo   map[string]any
			}
			selection := "id username email createdAt"
			if field == "groups" {
				selection = "id name createdAt"
			}
			c.must(&data, fmt.Sprintf(`query ($id: ID!) { node(id: $id) { ... on %s { %s(%s) {
				nodes { %s } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }`,
				root, field, arguments, selection), "id", id)
			page := data["node"][field]
			return page.Nodes, page.TotalCount, page.PageInfo
		}
		for _, test := range []struct {
			root, field, id, order string
			compare                func(a, b row) int
		}{
			{"Group", "members", c.groups[7], "", nil},
			{"Group", "members", c.groups[0], "orderBy: [{field: USERNAME}]", func(a, b row) int { return cmp.Compare(a.Username, b.Username) }},
			{"Group", "members", c.groups[1], "orderBy: [{field: EMAIL, direction: DESC}]", func(a, b row) int { return cmp.Compare(b.Email, a.Email) }},
			{
				"Group", "members", c.groups[2], "orderBy: [{field: CREATED_AT, direction: DESC}, {field: EMAIL}]",
				func(a, b row) int {
					return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(a.Email, b.Email))
				},
			},
			{"Group", "members", c.groups[3], "orderBy: [{field: CREATED_AT, direction: DESC}]", func(a, b row) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) }},
			{"Group", "members", c.groups[4], `where: {not: {username: {startsWith: "user00"}}}, orderBy: [{field: USERNAME, direction: DESC}]`, func(a, b row) int { return cmp.Compare(b.Username, a.Username) }},
			{"User", "groups", c.users[59], "", nil},
			{"User", "groups", c.users[3], "orderBy: [{field: NAME}]", func(a, b row) int { return cmp.Compare(a.Name, b.Name) }},
			{"User", "groups", c.users[4], `where: {or: [{name: {contains: "p 05"}}, {name: {contains: "P 06"}}]}, orderBy: [{field: CREATED_AT}, {field: NAME, direction: DESC}]`, func(a, b row) int { return cmp.Compare(b.Name, a.Name) }},
		} {
			all, total, _ := read(test.root, test.field, test.id, "first: 100 "+test.order)
			want := slices.Clone(all)
			slices.SortFunc(want, func(a, b row) int {
				if test.compare != nil {
					if c := test.compare(a, b); c != 0 {
						return c
					}
				}
				if strings.HasSuffix(test.order, "DESC}]") { // the ID goes the way of the last order
					a, b = b, a
				}
				return strings.Compare(a.ID, b.ID)
			})
			filtered := strings.Contains(test.order, "where")
			if !slices.Equal(all, want) || len(all) != total || !filtered && total != in || filtered && (total == 0 || total == in) {
				t.Errorf("%s of %s, %s: %d of %d rows, or in another order: %v", test.field, test.root, test.order, len(all), total, all)
			}
			for _, size := range []int{1, 4, 22, 23} {
				var forward []row
				for after := ""; ; {
					page, count, info := read(test.root, test.field, test.id, fmt.Sprintf("first: %d %s %s", size, after, test.order))
					forward = append(forward, page...)
					if more := len(forward) < total; info["hasNextPage"] != more || info["hasPreviousPage"] != (after != "") || count != total {
						t.Fatalf("%s of %s, %s, after %d rows: %v, total %d", test.field, test.root, test.order, len(forward), info, count)
					}
					if info["hasNextPage"] != true {
						break
					}
					after = fmt.Sprintf("after: %q", info["endCursor"])
				}
				var backward []row
				for before := ""; ; {
					page, _, info := read(test.root, test.field, test.id, fmt.Sprintf("last: %d %s %s", size, before, test.order))
					backward = slices.Concat(page, backward)
					if info["hasPreviousPage"] != true {
						break
					}
					before = fmt.Sprintf("before: %q", info["startCursor"])
				}
				if !slices.Equal(forward, all) || !slices.Equal(backward, all) {
					t.Errorf("%s of %s, %s by %d: forward %v, backward %v, want %v", test.field, test.root, test.order, size, forward, backward, all)
				}
			}
		}
		// A cursor of one edge is none of another, nor of another order.
		_, _, info := read("Group", "members", c.groups[0], "first: 1")
		for _, other := range []string{
			`{ users(first: 1, after: %q) { nodes { id } } }`, `{ groups(first: 1, after: %q) { nodes { id } } }`,
			`{ groups(first: 1) { nodes { members(after: %q, orderBy: [{field: EMAIL}]) { nodes { id } } } } }`,
		} {
			c.fails("CURSOR_INVALID", fmt.Sprintf(other, info["endCursor"]))
		}
	})
}

// TestGroupFilters asks for groups and for users by their groups.
func TestGroupFilters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		c := found(t, e, 3, 1)
		c.must(nil, `mutation { a: createGroup(input: {name: "Ährenfeld"}) { group { id } } b: createGroup(input: {name: "ährenkranz 50%"}) { group { id } }
			u: createUser(input: {username: "alone", email: "alone@example.com"}) { user { id } } }`)
		for where, want := range map[string]string{
			`{}`:                                   "Group 000, Group 005, Group 053, Ährenfeld, ährenkranz 50%",
			`{name: {startsWith: "GROUP 0"}}`:      "Group 000, Group 005, Group 053",
			`{name: {startsWith: "ähren"}}`:        "Ährenfeld, ährenkranz 50%",
			`{name: {eq: "ÄHRENFELD"}}`:            "Ährenfeld",
			`{name: {in: ["group 053", "other"]}}`: "Group 053",
			`{name: {contains: " 50%"}}`:           "ährenkranz 50%",
			`{hasMembers: true}`:                   "Group 000, Group 005, Group 053",
			`{hasMembers: false}`:                  "Ährenfeld, ährenkranz 50%",
			`{hasMembers: true, not: {name: {startsWith: "group 05"}}}`:        "Group 000, Group 005",
			`{or: [{hasMembers: false}, {id: {eq: "` + c.groups[0] + `"}}]}`:   "Group 000, Ährenfeld, ährenkranz 50%",
			`{and: [{hasMembers: true}, {id: {in: ["` + c.groups[1] + `"]}}]}`: "Group 053",
			`{createdAt: {gt: "2026-01-31T12:00:00Z"}}`:                        "Group 000, Group 005, Group 053",
			`{id: {in: []}}`: "",
		} {
			var data struct {
				Groups struct {
					Nodes      []struct{ Name string }
					TotalCount int
				}
			}
			c.must(&data, `{ groups(orderBy: [{field: NAME}], where: `+where+`) { nodes { name } totalCount } }`)
			var names []string
			for _, n := range data.Groups.Nodes {
				names = append(names, n.Name)
			}
			if got := strings.Join(names, ", "); got != want || data.Groups.TotalCount != len(names) {
				t.Errorf("%s finds %s (%d), want %s", where, got, data.Groups.TotalCount, want)
			}
		}
		var data struct{ With, Without struct{ TotalCount int } }
		c.must(&data, `{ with: users(where: {hasGroups: true}) { totalCount } without: users(where: {hasGroups: false}) { totalCount } }`)
		if data.With.TotalCount != 3 || data.Without.TotalCount != 1 {
			t.Errorf("hasGroups: %+v", data)
		}
		c.fails("INVALID", `{ groups(where: {id: {eq: "`+c.users[0]+`"}}) { totalCount } }`)
	})
}

// TestGroupReadsAreCompiled checks that compiled reads answer queries for the new entity, though nobody wrote code for that.
func TestGroupReadsAreCompiled(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(t, *seed)
		w.fillMany(t)
		s := serveTwoWays(t, e)
		w.insert(s.tester)
		id := w.kind("Group").rows[0].id.String()
		for _, document := range []string{
			`query ($id: ID!) { group(id: $id) { __typename id name open seats createdAt updatedAt version } }`,
			`query ($id: ID!) { group(id: $id) { members(last: 3) { totalCount nodes { username groups(where: {hasMembers: true}) { nodes { name } } } } } }`,
			`{ groups(first: 10, orderBy: [{field: NAME, direction: DESC}]) { totalCount pageInfo { hasNextPage endCursor } edges { cursor node { name open seats members { totalCount } } } } }`,
			`{ users(first: 5, where: {hasGroups: true}) { nodes { username groups(where: {name: {startsWith: "a"}}) { totalCount nodes { name members(first: 2) { nodes { email } } } } } } }`,
			`query ($id: ID!) { node(id: $id) { id ... on Group { name } } nodes(ids: [$id]) { ... on Group { members(first: 1) { nodes { id } } } } }`,
		} {
			var variables map[string]any
			if strings.Contains(document, "$id") {
				variables = map[string]any{"id": id}
			}
			s.compare(rules.Everyone(), document, variables, true)
		}
	})
}

// TestGroupAliases selects one edge several times with other arguments and fields.
func TestGroupAliases(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		c := found(t, e, 4, 4)
		type page struct {
			Nodes []struct {
				Username, Email string
				Groups          struct{ Nodes []struct{ Name string } }
			}
			TotalCount int
		}
		var data struct {
			Groups struct{ Nodes []struct{ A, B, C, D page } }
		}
		c.must(&data, `{ groups { nodes {
			a: members(first: 1, orderBy: [{field: USERNAME}]) { nodes { username } totalCount }
			b: members(last: 1, orderBy: [{field: USERNAME}]) { nodes { username email } }
			c: members(first: 2, where: {username: {startsWith: "user07"}}) { nodes { email groups(first: 1) { nodes { name } } } totalCount }
			d: members(first: 1, orderBy: [{field: USERNAME}]) { nodes { email } }
		} } }`)
		if len(data.Groups.Nodes) != 4 {
			t.Fatalf("%d groups", len(data.Groups.Nodes))
		}
		for _, g := range data.Groups.Nodes { // the users are user000, user037, user074, user010
			if len(g.A.Nodes) != 1 || g.A.Nodes[0].Username != "user000" || g.A.TotalCount != 4 || len(g.B.Nodes) != 1 ||
				g.B.Nodes[0].Username != "user074" || g.B.Nodes[0].Email != "z002@example.com" || len(g.C.Nodes) != 1 ||
				g.C.Nodes[0].Email != "z002@example.com" || g.C.Nodes[0].Groups.Nodes[0].Name != "Group 000" || g.C.TotalCount != 1 ||
				len(g.D.Nodes) != 1 || g.D.Nodes[0].Email != "z000@example.com" {
				t.Errorf("%+v", g)
			}
		}
	})
}

// TestGroupMutations changes membership, and ends it with the user.
func TestGroupMutations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		c := found(t, e, 3, 1)
		member := func(mutation, user string) (version, members int) {
			t.Helper()
			var data map[string]struct {
				Group struct {
					Version int
					Members struct{ TotalCount int }
				}
			}
			c.must(&data, fmt.Sprintf(`mutation ($group: ID!, $user: ID!) { %s(input: {groupId: $group, userId: $user}) {
				group { version members { totalCount } } } }`, mutation), "group", c.groups[0], "user", user)
			return data[mutation].Group.Version, data[mutation].Group.Members.TotalCount
		}
		for _, step := range []struct {
			mutation, user   string
			version, members int
		}{
			{"addGroupMember", c.users[0], 1, 1}, {"addGroupMember", c.users[1], 2, 2}, {"addGroupMember", c.users[1], 2, 2}, {"addGroupMember", c.users[2], 3, 3},
			{"removeGroupMember", c.users[0], 4, 2}, {"removeGroupMember", c.users[0], 4, 2},
		} {
			if version, members := member(step.mutation, step.user); version != step.version || members != step.members {
				t.Errorf("%s: version %d, %d members, want %+v", step.mutation, version, members, step)
			}
		}
		c.must(nil, `mutation ($id: ID!) { deleteUser(input: {id: $id}) { deletedId } }`, "id", c.users[1])
		if version, members := member("addGroupMember", c.users[2]); version != 4 || members != 1 {
			t.Errorf("after deleteUser: version %d, %d members", version, members)
		}
		c.fails("NOT_FOUND", `mutation ($group: ID!, $user: ID!) { addGroupMember(input: {groupId: $group, userId: $user}) { group { id } } }`,
			"group", c.groups[0], "user", c.users[1])
		c.fails("INVALID INVALID", `mutation ($group: ID!, $user: ID!) { addGroupMember(input: {groupId: $user, userId: $group}) { group { id } } }`,
			"group", c.groups[0], "user", c.users[2])
		c.fails("TAKEN", `mutation { createGroup(input: {name: "GROUP 000"}) { group { id } } }`)
		c.fails("TAKEN", `mutation { a: createGroup(input: {name: "Twice"}) { group { id } } b: createGroup(input: {name: "twice"}) { group { id } } }`)
		c.fails("BLANK", `mutation { createGroup(input: {name: " "}) { group { id } } }`)
	})
}

// TestGroupMigration undoes the migration of the new entity and applies it again, with data in all tables.
func TestGroupMigration(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		c := found(t, e, 5, 2)
		total := func(field string) (n struct{ Page struct{ TotalCount int } }) {
			t.Helper()
			c.must(&n, `{ page: `+field+` { totalCount } }`)
			return n
		}
		undone, err := c.db.MigrateDown(t.Context(), -1)
		if err != nil || len(undone) != 1 || undone[0].Name != "add_group" {
			t.Fatalf("undone: %v, %v", undone, err)
		}
		if n := total("users"); n.Page.TotalCount != 5 {
			t.Errorf("%+v users are left", n)
		}
		applied, err := c.db.MigrateUp(t.Context())
		if err != nil || len(applied) != 1 || applied[0].Name != "add_group" {
			t.Fatalf("applied: %v, %v", applied, err)
		}
		if users, groups := total("users"), total("groups"); users.Page.TotalCount != 5 || groups.Page.TotalCount != 0 {
			t.Errorf("%+v users and %+v groups are there", users, groups)
		}
		c.must(nil, `mutation ($user: ID!) { createGroup(input: {name: "Group 000"}) { group { id } } deleteUser(input: {id: $user}) { deletedId } }`, "user", c.users[0])
	})
}
