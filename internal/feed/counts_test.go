package feed_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest/fixture"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// tables returns the tables of all entities.
func tables() (list []*statement.Table) {
	for _, k := range ent.Kinds() {
		list = append(list, k.Table)
	}
	return list
}

// number runs a query for one number.
func (s *tester) number(d dialect.Driver, query string) (n int64) {
	s.Helper()
	s.must(database.Each(s.Context(), d, query, nil, func(rows *entsql.Rows) error { return rows.Scan(&n) }))
	return n
}

// exec runs a statement in a transaction of its own.
func (s *tester) exec(query string) {
	s.Helper()
	tx := s.db.Session(database.Write)
	defer tx.Rollback()
	_, err := database.Affected(s.Context(), tx, query)
	s.must(errors.Join(err, tx.Commit()))
}

// counts checks the count of each type against the rows of its table, in one snapshot. It returns the numbers of rows.
func (s *tester) counts(when string) (rows map[string]int64) {
	s.Helper()
	snapshot := s.db.Session(database.Snapshot)
	defer snapshot.Rollback()
	rows = map[string]int64{}
	for _, t := range tables() {
		query, args, err := (&statement.Select{Table: t, Count: true}).Build(s.db.Dialect())
		if err != nil || len(args) > 0 {
			s.Fatal(query, args, err)
		}
		rows[t.Type] = s.number(snapshot, "SELECT COUNT(*) FROM "+t.Name)
		if got := s.number(snapshot, query); got != rows[t.Type] {
			s.Errorf("%s: got the count %d of %s, want %d", when, got, t.Name, rows[t.Type])
		}
	}
	return rows
}

// known fails unless the database knows its counts.
func (s *tester) known(when string) {
	s.Helper()
	if s.number(s.db.Session(database.Single), "SELECT CASE WHEN counted >= pruned THEN 1 ELSE 0 END FROM feed") != 1 {
		s.Errorf("%s: got no counts, want some", when)
	}
}

// numberOld numbers all changes as a server of the release before: in three statements, and it counts nothing. On SQLite
// there is nothing to number.
func (s *tester) numberOld() error {
	if s.db.Dialect() == dialect.SQLite {
		return nil
	}
	tx := s.db.Session(database.Write)
	defer tx.Rollback()
	var last int64
	err := database.Each(s.Context(), tx, "SELECT last FROM feed WHERE id = 1 FOR UPDATE", nil, func(rows *entsql.Rows) error { return rows.Scan(&last) })
	if err != nil {
		return err
	}
	var numbered int64
	if s.db.Dialect() == dialect.Postgres {
		numbered, err = database.Affected(s.Context(), tx, "UPDATE changes AS c SET number = $1 + p.place FROM ("+
			"SELECT id, row_number() OVER (ORDER BY id) AS place FROM changes WHERE number IS NULL ORDER BY id LIMIT $2"+
			") AS p WHERE c.id = p.id", last, 10_000)
	} else {
		ids := []int64{}
		err = database.Each(s.Context(), tx, "SELECT id FROM changes WHERE number IS NULL ORDER BY id LIMIT 10000", nil, func(rows *entsql.Rows) error {
			ids = append(ids, 0)
			return rows.Scan(&ids[len(ids)-1])
		})
		list, _ := json.Marshal(ids) // numbers have no errors
		if err == nil {
			numbered, err = database.Affected(s.Context(), tx, "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (place FOR ORDINALITY, id BIGINT PATH '$')) AS p "+
				"STRAIGHT_JOIN changes AS c FORCE INDEX (PRIMARY) ON c.id = p.id SET c.number = ? + p.place", string(list), last)
		}
	}
	if err != nil {
		return err
	}
	if _, err := database.Affected(s.Context(), tx, fmt.Sprintf("UPDATE feed SET last = %d WHERE id = 1", last+numbered)); err != nil {
		return err
	}
	return tx.Commit()
}

// follower runs a Feed until stop is called or the test ends.
func (s *tester) follower(o feed.Options) (f *feed.Feed[any], stop func()) {
	o.Database, o.Tables = s.db, tables()
	f = feed.New(o, func(context.Context, []typeid.ID) (map[typeid.ID]any, error) { return nil, nil })
	ctx, cancel := context.WithCancel(s.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	s.Cleanup(stop)
	return f, stop
}

// until waits for a condition.
func (s *tester) until(what string, is func() bool) {
	s.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if now := <-ticker.C; now.After(deadline) {
			s.Fatalf("%s: did not happen within 30 s", what)
		}
	}
}

// isKnown reports whether the database knows its counts.
func (s *tester) isKnown() bool {
	return s.number(s.db.Session(database.Single), "SELECT COUNT(*) FROM feed WHERE counted >= pruned") == 1
}

// transaction creates and deletes users and posts in one transaction. It commits unless back is set.
func (s *tester) transaction(random *mathrand.Rand, ids *typeid.Source, name string, back bool) error {
	ctx := rules.WithCaller(s.Context(), rules.Everyone())
	tx := directory.New(s.db.Session(database.Write), directory.Options{Clock: time.Now, IDs: ids})
	defer tx.Rollback()
	author := ids.New(user.Label)
	records := []*directory.Record{fixture.User(s, author, name, fixture.At(time.Now()))}
	for range random.IntN(4) {
		records = append(records, fixture.Post(s, ids.New(post.Label), author, "x", "", fixture.At(time.Now())))
	}
	err := tx.Import(ctx, records, directory.Fail)
	switch random.IntN(4) {
	case 0: // it deletes what it has created
		if err == nil {
			_, err = tx.DeleteUsers(ctx, []directory.DeleteUser{{Target: directory.Target{ID: author}, Cascade: true}})
		}
	case 1:
		if err == nil {
			_, err = tx.DeletePostsOf(ctx, author, 1)
		}
	}
	if err != nil || back {
		return err
	}
	return tx.Commit(ctx, nil)
}

// TestCounts writes while servers of this release and the one before number and count, and others prune and read: each
// snapshot has exact counts.
func TestCounts(t *testing.T) {
	t.Parallel()
	const writers, transactions = 4, 40
	each(t, func(s *tester) {
		s.counts("empty")
		s.known("empty")
		var writing, others sync.WaitGroup
		done := make(chan struct{})
		work := func(do func() error) {
			others.Go(func() {
				for {
					if err := do(); err != nil {
						s.Error(err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		f, _ := s.follower(feed.Options{})
		work(s.numberOld)
		work(func() error { return feed.Number(s.Context(), s.db) })
		work(func() error { f.Wake(); s.counts("meanwhile"); return nil })
		for w := range writers {
			random := mathrand.New(mathrand.NewPCG(1, uint64(w)))
			ids := typeid.NewSource(time.Now, rand.Reader)
			writing.Go(func() {
				for i := range transactions {
					for {
						err := s.transaction(random, ids, fmt.Sprintf("w%dt%d", w, i), random.IntN(4) == 0)
						if failure := database.AsFailure(err); failure != nil && failure.Kind == database.Retry {
							continue
						}
						if err != nil {
							s.Error(err)
							return
						}
						break
					}
				}
			})
		}
		writing.Wait()
		close(done)
		others.Wait()
		s.must(feed.Number(s.Context(), s.db))
		if rows := s.counts("afterwards"); rows[user.Label] == 0 || rows[post.Label] == 0 {
			s.Errorf("got the rows %v, want some of each", rows)
		}
		s.known("afterwards")
		for {
			n, err := feed.Prune(s.Context(), s.db, time.Now().Add(time.Hour))
			s.must(err)
			if s.counts("pruning"); n == 0 {
				break
			}
		}
		s.known("pruned")
		s.must(s.transaction(mathrand.New(mathrand.NewPCG(1, 1)), typeid.NewSource(time.Now, rand.Reader), "last", false))
		s.counts("after the next one")
	})
}

// TestCountsUnread makes sure that a count reads no rows of the table.
func TestCountsUnread(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		var changes []feed.Change
		for i := range 300 {
			changes = append(changes, feed.Change{NodeID: thing(byte(i)), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)})
		}
		changes[0].Kind, changes[1].Kind, changes[2].Kind = feed.Deleted, feed.Updated, feed.Updated
		query, _, err := (&statement.Select{Table: ent.UserTable, Count: true}).Build(s.db.Dialect())
		s.must(err)
		want := int64(0)
		for i, step := range []func() error{
			func() error { return s.write(changes...).Commit() },
			func() error { return feed.Number(s.Context(), s.db) },
			func() error { return s.write(changes[:50]...).Commit() },
			s.numberOld,
			func() error { s.write(changes...).Rollback(); return nil },
			func() error { return s.write(changes...).Commit() },
			s.numberOld,
			func() error { return s.write(changes[:1]...).Commit() },
		} {
			s.must(step())
			want += []int64{296, 0, 46, 0, 0, 296, 0, -1}[i]
			if got := s.number(s.db.Session(database.Single), query); got != want {
				s.Errorf("step %d: got %d, want %d", i, got, want)
			}
		}
	})
}

// TestCountsUnknown has rows in the table that no change tells of, as before the first count, and prunes changes that were
// never counted: until the rows are counted, they are read.
func TestCountsUnknown(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		random, ids := mathrand.New(mathrand.NewPCG(1, 2)), typeid.NewSource(time.Now, rand.Reader)
		for name, forget := range map[string]string{
			"never": "UPDATE feed SET counted = NULL", "pruned": "UPDATE feed SET pruned = last, counted = last - 1",
		} {
			for i := range 5 {
				s.must(s.transaction(random, ids, fmt.Sprint(name, i), false))
			}
			s.must(feed.Number(s.Context(), s.db))
			s.exec("DELETE FROM changes")
			s.exec("UPDATE counts SET count = 77")
			s.exec(forget)
			s.must(s.transaction(random, ids, name+"x", false))
			if s.counts(name); s.isKnown() {
				s.Errorf("%s: got known counts, want none", name)
			}
			_, stop := s.follower(feed.Options{})
			s.until("the recount", s.isKnown)
			stop()
			s.counts(name + ", counted")
			s.must(s.transaction(random, ids, name+"y", false))
			s.counts(name + ", then a change")
		}
	})
}

// TestRecount counts while others write and number: the counts stay exact, whichever is stored last.
func TestRecount(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		random, ids := mathrand.New(mathrand.NewPCG(1, 3)), typeid.NewSource(time.Now, rand.Reader)
		add := func(name string) { s.must(s.transaction(random, ids, name, false)) }
		add("before")
		s.must(feed.Number(s.Context(), s.db))
		add("pending")
		first, err := feed.Count(s.Context(), s.db, tables())
		s.must(err)
		if !first.Known || first.Differ() {
			s.Errorf("got %+v, want known counts that are right", first)
		}
		s.exec("DELETE FROM counts")
		s.exec("INSERT INTO counts (type, count) VALUES ('group', 5), ('user', 41)") // group is of a later release
		for i := range 60 {
			add(fmt.Sprint("between", i))
		}
		s.must(s.write(feed.Change{NodeID: typeid.New("group", thing(1).UUID()), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}).Commit())
		s.must(s.numberOld())
		add("later")
		wrong, err := feed.Count(s.Context(), s.db, tables())
		s.must(err)
		if !wrong.Known || !wrong.Differ() {
			s.Errorf("got %+v, want differences", wrong)
		}
		if stored, err := first.Store(s.Context(), s.db, false); stored || err != nil {
			s.Errorf("known counts: got stored %t, %v, want false", stored, err)
		}
		for name, r := range map[string]*feed.Recount{"first": first, "second": wrong} {
			if stored, err := r.Store(s.Context(), s.db, true); !stored || err != nil {
				s.Errorf("%s: got stored %t, %v, want true", name, stored, err)
			}
			s.counts(name)
			add(name)
			s.counts(name + ", then a change")
			s.must(feed.Number(s.Context(), s.db))
			s.counts(name + ", numbered")
		}
		if n := s.number(s.db.Session(database.Single), "SELECT count FROM counts WHERE type = 'group'"); n != 6 {
			s.Errorf("the type of a later release: got %d, want 6", n)
		}
		s.must(feed.Reset(s.Context(), s.db))
		if stored, err := first.Store(s.Context(), s.db, true); stored || err != nil {
			s.Errorf("after a reset: got stored %t, %v, want false", stored, err)
		}
		first, err = feed.Count(s.Context(), s.db, tables())
		s.must(err)
		s.exec("UPDATE feed SET last = last - 1, counted = counted - 1")
		if stored, err := first.Store(s.Context(), s.db, true); stored || err != nil {
			s.Errorf("at an older state: got stored %t, %v, want false", stored, err)
		}
		s.exec("UPDATE feed SET last = last + 1, counted = counted + 1")
		first, err = feed.Count(s.Context(), s.db, tables())
		s.must(err)
		s.must(s.write(feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: 1, At: time.Unix(1, 0)}).Commit())
		s.must(feed.Number(s.Context(), s.db))
		s.exec("UPDATE feed SET pruned = last")
		if stored, err := first.Store(s.Context(), s.db, true); stored || err != nil {
			s.Errorf("after its changes are pruned: got stored %t, %v, want false", stored, err)
		}
	})
}

// TestManyChanges counts more changes than a statement takes, in the steps of a server. Each step is exact.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		query, _, err := (&statement.Select{Table: ent.PostTable, Count: true}).Build(s.db.Dialect())
		s.must(err)
		const n = 25_000
		changes := make([]feed.Change, n)
		for i := range changes {
			changes[i] = feed.Change{NodeID: typeid.New(post.Label, thing(byte(i)).UUID()), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}
		}
		s.must(s.write(changes...).Commit())
		if s.db.Dialect() == dialect.Postgres {
			s.must(s.numberOld())
		}
		s.follower(feed.Options{})
		s.until("the count of all changes", func() bool {
			if got := s.number(s.db.Session(database.Single), query); got != n {
				s.Fatalf("got %d, want %d", got, n)
			}
			return s.number(s.db.Session(database.Single), "SELECT counted FROM feed") == n
		})
		if got := s.number(s.db.Session(database.Single), "SELECT SUM(count) FROM counts"); got != n {
			s.Errorf("got the kept count %d, want %d", got, n)
		}
	})
}

// TestCountsOfPruned lets a server of the release before number changes, and prunes them: they are counted before.
func TestCountsOfPruned(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		random, ids := mathrand.New(mathrand.NewPCG(1, 4)), typeid.NewSource(time.Now, rand.Reader)
		for i := range 20 {
			s.must(s.transaction(random, ids, fmt.Sprint("u", i), false))
		}
		s.must(s.numberOld())
		n, err := feed.Prune(s.Context(), s.db, time.Now().Add(time.Hour))
		s.must(err)
		if s.counts("pruned"); n == 0 {
			s.Error("got no changes pruned, want some")
		}
		s.known("pruned")
	})
}

// TestCountStatement makes sure that a count of all rows is the only one that comes from the counts.
func TestCountStatement(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		for name, c := range map[string]struct {
			statement.Select
			kept bool
		}{
			"all":      {statement.Select{Count: true}, true},
			"filtered": {statement.Select{Count: true, Filter: func(q *entsql.Selector) { q.Where(entsql.IsNull("id")) }}, false},
			"children": {statement.Select{Count: true, Parents: &statement.Parents{Column: "author_id"}}, false},
			"no IDs":   {statement.Select{Count: true, IDs: []typeid.ID{}}, false},
		} {
			c.Table = ent.PostTable
			query, _, err := c.Build(s.db.Dialect())
			if kept := strings.Contains(query, "counted"); kept != c.kept || err != nil {
				s.Errorf("%s: got %q, %v, want the counts: %t", name, query, err, c.kept)
			}
		}
	})
}

// beforeCounts is the version before the migration that adds the counts.
const beforeCounts = 20261128182653

// TestMigrateCounts undoes and applies the migration: an empty database has counts at once, and another one after a server
// has counted its rows.
func TestMigrateCounts(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		again := func() {
			s.Helper()
			for _, migrate := range []func() error{
				func() error { _, err := s.db.MigrateDown(s.Context(), beforeCounts); return err },
				func() error { _, err := s.db.MigrateUp(s.Context()); return err },
			} {
				s.must(migrate())
			}
		}
		again()
		s.known("empty")
		random, ids := mathrand.New(mathrand.NewPCG(1, 6)), typeid.NewSource(time.Now, rand.Reader)
		s.must(s.transaction(random, ids, "ada", false))
		again()
		if s.counts("with rows"); s.isKnown() {
			s.Error("with rows: got known counts, want none")
		}
		s.follower(feed.Options{})
		s.until("the recount", s.isKnown)
		s.must(s.transaction(random, ids, "bob", false))
		s.counts("counted")
	})
}
