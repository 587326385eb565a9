package graph_test

import (
	"fmt"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// rekey gives a user an address and a key, as a server of the version before wrote them, or as the migration left them.
func (s *tester) rekey(username, email, key string) {
	s.Helper()
	session := s.db.Session(database.Write)
	defer session.Rollback()
	query := "UPDATE users SET email = ?, email_key = ? WHERE username = ?"
	if s.engine == dbtest.PostgreSQL {
		query = "UPDATE users SET email = $1, email_key = $2 WHERE username = $3"
	}
	if err := session.Exec(s.Context(), query, []any{email, key, username}, nil); err != nil {
		s.Fatal(err)
	}
	if err := session.Commit(); err != nil {
		s.Fatal(err)
	}
}

// byEmail returns the name of the user with an address; empty when there is none.
func (s *tester) byEmail(email string) string {
	s.Helper()
	var found struct{ User *struct{ Username string } }
	s.must(&found, `query ($email: String!) { user(by: {email: $email}) { username } }`, "email", email)
	if found.User == nil {
		return ""
	}
	return found.User.Username
}

// TestFormerKeys meets keys that a server of the version before writes while this one runs.
func TestFormerKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		const create = `mutation ($username: String!, $email: String!) { createUser(input: {username: $username, email: $email}) { user { id } } }`
		for _, name := range []string{"sharp", "turk"} {
			s.must(nil, create, "username", name, "email", name+"@example.com")
		}
		s.rekey("sharp", "Straße@example.com", "straße@example.com")
		s.rekey("turk", "m\u0130ke@example.com", "mike@example.com")

		for email, want := range map[string]string{
			"Straße@example.com": "sharp", "STRAẞE@Example.com": "sharp", "m\u0130ke@example.com": "turk", "M\u0130KE@example.com": "turk",
			"mike@example.com": "", "MIKE@example.com": "", // which is another address
		} {
			if got := s.byEmail(email); got != want {
				t.Errorf("%s finds %q, want %q", email, got, want)
			}
		}
		s.fails("TAKEN", create, "username", "a", "email", "STRAẞE@example.com")
		s.fails("TAKEN", create, "username", "a", "email", "m\u0130ke@example.com")
		s.fails("TAKEN TAKEN", create, "username", "SHARP", "email", "straße@example.com")
		s.fails("TAKEN", create, "username", "a", "email", "mike@example.com") // until the key of the other is computed again
		var upserted struct {
			UpsertUsers struct {
				Created, Updated int
				Users            []struct{ Username, Email string }
			}
		}
		const upsert = `mutation ($inputs: [UpsertUserInput!]!) { upsertUsers(inputs: $inputs, key: EMAIL) { created updated users { username email } } }`
		s.must(&upserted, upsert, "inputs", []object{{"username": "sharper", "email": "straße@example.com"}, {"username": "new", "email": "straßen@example.com"}})
		if got := upserted.UpsertUsers; got.Created != 1 || got.Updated != 1 || got.Users[0].Username != "sharper" {
			t.Errorf("upserts: got %+v, want one created, one updated, the first named sharper", got)
		}
		if got := s.byEmail("STRASSE@example.com"); got != "sharper" { // which has a key of this version now
			t.Errorf("the user with the address: got %q, want sharper", got)
		}
		if _, err := s.db.MigrateUp(t.Context()); err != nil {
			t.Error(err)
		}
		s.must(nil, create, "username", "mike", "email", "MIKE@example.com")
		for email, want := range map[string]string{"mike@example.com": "mike", "m\u0130ke@example.com": "turk"} {
			if got := s.byEmail(email); got != want {
				t.Errorf("%s finds %q, want %q", email, got, want)
			}
		}
	})
}

// TestStatementsOfAddresses counts what addresses cost whose key was another one in the version before: a mutation one
// statement, however many they are, and a look-up none.
func TestStatementsOfAddresses(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		count := func(document string, variables ...any) int {
			t.Helper()
			s.statements.take()
			s.must(nil, document, variables...)
			return len(s.statements.take())
		}
		create := func(prefix string, n int) int {
			var inputs []object
			for i := range n {
				name := fmt.Sprint(prefix, i)
				inputs = append(inputs, object{"username": name, "email": name + "@example.com"})
			}
			return count(`mutation ($inputs: [CreateUserInput!]!) { createUsers(inputs: $inputs) { users { id } } }`, "inputs", inputs)
		}
		plain, few, many := create("a", 100), create("ß", 2), create("ς", 100)
		if few != plain+1 || many != few {
			t.Errorf("statements for 100 users, 2 others and 100 others: got %d, %d and %d, want one more for others, whatever their number", plain, few, many)
		}
		const read = `query ($email: String!) { user(by: {email: $email}) { username } }`
		if plain, other := count(read, "email", "a1@example.com"), count(read, "email", "ẞ1@example.com"); plain != 1 || other != 1 {
			t.Errorf("statements for a user and for another one: got %d and %d, want 1 and 1", plain, other)
		}
	})
}

// TestOldTexts changes users whose address or name this version would refuse: one is invalid now, one collides.
func TestOldTexts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		var made struct {
			Short, Sharp, Zero struct{ User struct{ ID string } }
		}
		s.must(&made, `mutation {
			short: createUser(input: {username: "short", email: "strasse@example.com"}) { user { id } }
			sharp: createUser(input: {username: "sharp", email: "sharp@example.com"}) { user { id } }
			zero: createUser(input: {username: "zero", email: "zero@example.com"}) { user { id } }
		}`)
		const sharp, zero = "Straße@example.com", "a\u200bb@example.com"
		s.rekey("sharp", sharp, "straße@example.com")
		s.rekey("zero", zero, zero)
		// Each is found by what it had before, and the other one by what it has.
		for email, want := range map[string]string{sharp: "sharp", "strasse@example.com": "short", "STRASSE@example.com": "short"} {
			if got := s.byEmail(email); got != want {
				t.Errorf("%s finds %q, want %q", email, got, want)
			}
		}
		s.fails("INVALID", `query ($email: String!) { user(by: {email: $email}) { id } }`, "email", zero)

		const update = `mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { username email } } }`
		for i, u := range []struct{ id, email string }{{made.Sharp.User.ID, sharp}, {made.Zero.User.ID, zero}} {
			name := string(rune('a' + i))
			for _, input := range []object{
				{"id": u.id, "username": name + "1"},
				{"id": u.id, "username": name + "2", "email": u.email}, // as a form sends all of it
			} {
				var got struct {
					UpdateUser struct {
						User struct{ Username, Email string }
					}
				}
				s.must(&got, update, "input", input)
				if got.UpdateUser.User.Username != input["username"] || got.UpdateUser.User.Email != u.email {
					t.Errorf("update with %v: got %+v, want its username and the same address", input, got)
				}
			}
			var got struct {
				UpsertUsers struct{ Updated, Unchanged int }
			}
			s.must(&got, `mutation ($inputs: [UpsertUserInput!]!) { upsertUsers(inputs: $inputs) { updated unchanged } }`,
				"inputs", []object{{"username": name + "2", "email": u.email}})
			if got.UpsertUsers.Unchanged != 1 {
				t.Errorf("upserts: got %+v, want one unchanged", got)
			}
			s.must(nil, `mutation ($id: ID!) { createPost(input: {authorId: $id, title: "A post"}) { post { id } } }`, "id", u.id)
		}
		// A name that a rule refuses now is no obstacle either.
		session := s.db.Session(database.Write)
		defer session.Rollback()
		if err := session.Exec(t.Context(), "UPDATE users SET username = '\u0301a', username_key = '\u0301a' WHERE username = 'b2'", []any{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := session.Commit(); err != nil {
			t.Fatal(err)
		}
		s.must(nil, update, "input", object{"id": made.Zero.User.ID, "username": "\u0301a", "email": "mended@example.com"})
		// What changes has to be right.
		s.fails("INVALID", update, "input", object{"id": made.Zero.User.ID, "email": "a\u200bc@example.com"})
		s.fails("TAKEN", update, "input", object{"id": made.Sharp.User.ID, "email": "STRASSE@example.com"})
		s.must(nil, update, "input", object{"id": made.Short.User.ID, "email": "short@example.com"})
		s.must(nil, update, "input", object{"id": made.Sharp.User.ID, "email": "STRASSE@example.com"})
		if got := s.byEmail("straße@example.com"); got != "a2" {
			t.Errorf("the user with the address: got %q, want a2", got)
		}
	})
}
