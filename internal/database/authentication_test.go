package database_test

import (
	"errors"
	"testing"

	"entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestUndoneAPIKeys undoes the migration that adds API keys: their changes go too, because the release before fails to read
// the nodes of a page with such a change.
func TestUndoneAPIKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		if _, err := db.MigrateUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := db.Session(database.Write)
		var err error
		for number, kind := range []string{"user", "api_key", "post"} {
			query, args := sql.Dialect(db.Dialect()).Insert("changes").Columns("number", "type", "node_id", "kind", "version", "fields", "at").
				Values(number+1, kind, make([]byte, 16), "created", 1, "", 1).Query()
			err = errors.Join(err, s.Exec(t.Context(), query, args, nil))
		}
		if err := errors.Join(err, s.Commit()); err != nil {
			t.Fatal(err)
		}
		down(t, db, beforeAuthentication, 3)
		var kinds string
		err = database.Each(t.Context(), db.Session(database.Single), "SELECT type FROM changes ORDER BY number", nil, func(rows *sql.Rows) error {
			var kind string
			err := rows.Scan(&kind)
			kinds += kind + " "
			return err
		})
		if err != nil || kinds != "user post " {
			t.Errorf("got the changes of %s, %v, want those of user post", kinds, err)
		}
	})
}
