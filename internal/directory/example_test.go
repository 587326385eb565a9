package directory_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// Two users swap their names in one transaction. A third input that wants one of them has a fault.
func Example() {
	if err := swap(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// grace ada@example.com 2
	// ada grace@example.com 2
	// [0 email] INVALID
	// [1 username] BLANK
}

func swap(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "roster-")
	if err != nil {
		return err
	}
	db, err := database.Open(ctx, database.Options{
		URL: "sqlite:" + filepath.Join(dir, "roster.db"), MaxConnections: 2,
		PoolWait: time.Second, ConnectTimeout: time.Second, StatementTimeout: time.Second, StatementCache: 16,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(), os.RemoveAll(dir)) }()
	if _, err := db.MigrateUp(ctx); err != nil {
		return err
	}

	ctx = rules.WithCaller(ctx, rules.Everyone())
	tx := directory.New(db.Session(database.Write), directory.Options{Clock: time.Now, IDs: typeid.NewSource(time.Now, rand.Reader)})
	defer tx.Rollback()
	users, err := tx.CreateUsers(ctx, []directory.CreateUser{
		{Username: "ada", Email: "ada@example.com", Posts: []directory.UserPost{{Title: "Engines"}}},
		{Username: "grace", Email: "grace@example.com"},
	})
	if err != nil {
		return err
	}
	rename := func(i int, name string) directory.UpdateUser {
		return directory.UpdateUser{Target: directory.Target{ID: users[i].ID}, Username: directory.Optional[string]{Set: true, Value: &name}}
	}
	if users, err = tx.UpdateUsers(ctx, []directory.UpdateUser{rename(0, "grace"), rename(1, "ada")}); err != nil {
		return err
	}
	for _, u := range users {
		fmt.Println(u.Username, u.Email, u.Version)
	}
	_, err = tx.CreateUsers(ctx, []directory.CreateUser{{Username: "joan", Email: "joan"}, {Username: "", Email: "j@example.com"}})
	faults, _ := errors.AsType[rules.Faults](err)
	for _, f := range faults {
		fmt.Println(f.Path, f.Code)
	}
	return tx.Commit(ctx, nil)
}
