package database_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// role creates a user that may only connect, and returns its name and the URL of the database for it.
func role(t *testing.T, e dbtest.Engine, admin *database.DB, u *url.URL) (user string, as url.URL) {
	t.Helper()
	user = "app" + strings.ToLower(rand.Text()[:8])
	if e == dbtest.PostgreSQL {
		write(t, admin, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", user, secret))
		t.Cleanup(func() {
			drop(t, admin, "DROP OWNED BY "+user)
			drop(t, admin, "DROP ROLE "+user)
		})
	} else {
		write(t, admin, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", user, secret), fmt.Sprintf("GRANT SELECT ON `%s`.* TO '%s'@'%%'", u.Path[1:], user))
		t.Cleanup(func() { drop(t, admin, fmt.Sprintf("DROP USER '%s'@'%%'", user)) })
	}
	as = *u
	as.User = url.UserPassword(user, secret)
	return user, as
}

// TestMigrateRights migrates as a user without rights. After the GRANT of the error, the user can migrate.
func TestMigrateRights(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, e dbtest.Engine, u *url.URL) {
		admin := open(t, options(u.String()))
		user, as := role(t, e, admin, u)
		db := open(t, options(as.String()))
		_, err := db.MigrateUp(t.Context())
		if err == nil {
			t.Fatal("a user without rights: got no error, want one")
		}
		head, grant, _ := strings.Cut(err.Error(), "the user ")
		if !strings.HasSuffix(head, "): the schema cannot be changed: ") || !strings.Contains(grant, user) || strings.Contains(grant, "pq:") || strings.Contains(grant, "Error 1") {
			t.Errorf("got %v, want what to grant to %s", err, user)
		}
		_, grant, ok := strings.Cut(grant, "GRANT ")
		if !ok {
			t.Fatal(err)
		}
		write(t, admin, "GRANT "+grant)
		db = open(t, options(as.String()))
		if _, err := db.MigrateUp(t.Context()); err != nil {
			t.Errorf("after GRANT %s: got %v, want no error", grant, err)
		}
		if _, err := db.MigrateDown(t.Context(), 0); err != nil {
			t.Errorf("after GRANT %s: got %v, want no error", grant, err)
		}
	})
}

// TestMigrateOwner migrates tables of another user.
func TestMigrateOwner(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dbtest.Empty(t, dbtest.PostgreSQL))
	if err != nil {
		t.Fatal(err)
	}
	admin := open(t, options(u.String()))
	if _, err := admin.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.MigrateDown(t.Context(), beforeFold); err != nil { // the migration before changes a table
		t.Fatal(err)
	}
	user, as := role(t, dbtest.PostgreSQL, admin, u)
	write(t, admin, "GRANT CREATE ON SCHEMA public TO "+user, "GRANT ALL ON ALL TABLES IN SCHEMA public TO "+user)
	_, err = open(t, options(as.String())).MigrateDown(t.Context(), -1)
	want := "tables in the schema public belong to " + u.User.Username() + ": migrate as that user, or make " + user + " their owner"
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pq:") {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestMigrateSearchPath migrates with a search_path that leads to no schema, or to none that the user may use.
func TestMigrateSearchPath(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dbtest.Empty(t, dbtest.PostgreSQL))
	if err != nil {
		t.Fatal(err)
	}
	admin := open(t, options(u.String()))
	user, as := role(t, dbtest.PostgreSQL, admin, u)
	check := func(query, path string) {
		t.Helper()
		as.RawQuery = query
		for name, do := range map[string]func(*database.DB, context.Context) error{
			"up":     func(db *database.DB, ctx context.Context) error { _, err := db.MigrateUp(ctx); return err },
			"status": func(db *database.DB, ctx context.Context) error { _, err := db.MigrateStatus(ctx); return err },
			"check":  (*database.DB).CheckVersion,
		} {
			err := do(open(t, options(as.String())), t.Context())
			want := "the search_path (" + path + ") leads to no schema that the user " + user + " may use: create one and GRANT USAGE, CREATE ON SCHEMA … TO " + user
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pq:") {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
	check("search_path=nowhere", "nowhere")
	write(t, admin, `ALTER ROLE `+user+` SET search_path = "No Where", other`)
	check("", `"No Where", other`)
	write(t, admin, "CREATE SCHEMA other")
	check("", `"No Where", other`)
	write(t, admin, "GRANT USAGE, CREATE ON SCHEMA other TO "+user)
	if _, err := open(t, options(as.String())).MigrateUp(t.Context()); err != nil {
		t.Error(err)
	}
}
