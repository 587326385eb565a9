package database_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestCheckTables removes parts of a complete schema, or adds some.
func TestCheckTables(t *testing.T) {
	t.Parallel()
	const ok = ""
	const indexesOfPosts = "the index post_created_at_id of posts, the index post_updated_at_id of posts, the index post_title_key_id of posts, " +
		"the index post_author_id_id of posts, the index post_author_id_created_at_id of posts, the index post_author_id_updated_at_id of posts, " +
		"the index post_author_id_title_key_id of posts, "
	type change struct{ want, statement string }
	changes := []change{
		{"the table idempotency_keys", "DROP TABLE idempotency_keys"},
		{"the table changes, the table feed", "DROP TABLE changes; DROP TABLE feed"},
		{"the column posts.body", "ALTER TABLE posts DROP COLUMN body"},
		{"the column users.username_key, the index user_username_key of users", "DROP INDEX user_username_key; ALTER TABLE users DROP COLUMN username_key"},
		{"the index user_email_key of users", "DROP INDEX user_email_key"},
		{"the index user_email_key of users", "DROP INDEX user_email_key; CREATE INDEX user_email_key ON users (email_key)"},
		{"the index post_author_id_id of posts", "DROP INDEX post_author_id_id; CREATE INDEX post_author_id_id ON posts (id, author_id)"},
		{"the primary key of idempotency_keys", "DROP TABLE idempotency_keys; CREATE TABLE idempotency_keys (id int, request int, data int, at int, authority int); CREATE INDEX i ON idempotency_keys (at)"},
		{ok, "CREATE TABLE later (id int); ALTER TABLE users ADD COLUMN later int; CREATE INDEX user_later ON users (later)"},
		{ok, "CREATE INDEX later ON users (version, id)"},
	}
	of := map[dbtest.Engine][]change{
		dbtest.SQLite: {{indexesOfPosts + "the foreign key posts_users_posts of posts", "CREATE TABLE other (id blob NOT NULL PRIMARY KEY, created_at int, updated_at int, " +
			"version int, title int, title_key int, body int, author_id int); DROP TABLE posts; ALTER TABLE other RENAME TO posts"}},
		dbtest.PostgreSQL: {
			{"the foreign key posts_users_posts of posts", "ALTER TABLE posts DROP CONSTRAINT posts_users_posts"},
			{"the primary key of feed", "ALTER TABLE feed DROP CONSTRAINT feed_pkey"},
		},
		dbtest.MySQL: {{"the foreign key posts_users_posts of posts", "ALTER TABLE posts DROP FOREIGN KEY posts_users_posts"}},
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, c := range append(of[e], changes...) {
			t.Run(c.statement, func(t *testing.T) {
				t.Parallel()
				db := open(t, options(dbtest.Empty(t, e)))
				up(t, db, len(status(t, db, 0)))
				if err := db.CheckTables(t.Context()); err != nil {
					t.Error(err)
				}
				for statement := range strings.SplitSeq(c.statement, "; ") {
					if e == dbtest.MySQL && strings.HasPrefix(statement, "DROP INDEX") {
						name := strings.TrimPrefix(statement, "DROP INDEX ")
						statement += " ON " + name[:4] + "s" // user_… of users, post_… of posts
					}
					write(t, db, statement)
				}
				_, upErr := db.MigrateUp(t.Context())
				for what, err := range map[string]error{
					"tables": db.CheckTables(t.Context()), "version": db.CheckVersion(t.Context()), "up": upErr,
				} {
					want := db.String() + ": the version says that the schema is complete, but it lacks " + c.want +
						": if a roster migrate down was interrupted, run it again, then roster migrate up; otherwise restore a backup, or grant the user what it may not see"
					if c.want == ok && err != nil || c.want != ok && (err == nil || err.Error() != want) {
						t.Errorf("%s: %v\nwant %s", what, err, want)
					}
				}
			})
		}
	})
}

// TestCheckTablesAsReader checks as a user who may only read the tables.
func TestCheckTablesAsReader(t *testing.T) {
	t.Parallel()
	grants := map[dbtest.Engine]struct{ create, grant, drop string }{
		dbtest.PostgreSQL: {
			"CREATE ROLE %[1]s LOGIN PASSWORD 'secret'", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %[1]s",
			"DROP OWNED BY %[1]s; DROP ROLE %[1]s",
		},
		dbtest.MySQL: {
			"CREATE USER %[1]s@'%%' IDENTIFIED BY 'secret'", "GRANT SELECT ON %[2]s.* TO %[1]s@'%%'",
			"DROP USER %[1]s@'%%'",
		},
	}
	for e, sql := range grants {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			address := dbtest.Empty(t, e)
			db := open(t, options(address))
			up(t, db, len(status(t, db, 0)))
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			name := "reader_" + strings.ToLower(rand.Text())[:16]
			for _, statement := range []string{sql.create, sql.grant} {
				write(t, db, fmt.Sprintf(strings.ReplaceAll(statement, "%[2]s", u.Path[1:]), name))
			}
			u.User = url.UserPassword(name, "secret")
			o := options(u.String())
			reader, err := database.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := reader.CheckTables(t.Context()); err != nil {
				t.Error(err)
			}
			if err := reader.CheckVersion(t.Context()); err != nil {
				t.Error(err)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
			for statement := range strings.SplitSeq(sql.drop, "; ") {
				write(t, db, fmt.Sprintf(statement, name))
			}
		})
	}
}
