package idempotency_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/idempotency"
)

// store stores the data of an answer under a key.
func store(t *testing.T, db *database.DB, key, authority, data string, at time.Time) {
	t.Helper()
	entry := newEntry(t, key, authority)
	tx := db.Session(database.Write)
	defer tx.Rollback()
	if stored, err := entry.Claim(t.Context(), tx, at); err != nil || stored != nil {
		t.Fatalf("claim %s: got %s, %v, want a new key", key, stored, err)
	}
	if err := errors.Join(entry.Store(t.Context(), tx, []byte(data)), tx.Commit()); err != nil {
		t.Fatal(err)
	}
}

func newEntry(t *testing.T, key, authority string) *idempotency.Entry {
	t.Helper()
	entry, err := idempotency.NewEntry(key, idempotency.Request{Authority: authority})
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// readAll returns all answers, and the number of pages.
func readAll(t *testing.T, db *database.DB, since time.Time) (all []idempotency.Answer, pages int) {
	t.Helper()
	err := idempotency.Read(t.Context(), db.Session(database.Single), since, func(page []idempotency.Answer) error {
		all = append(all, page...)
		pages++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, pages
}

// TestErase erases one of several answers. Its key answers every caller and every request as before, without the data.
func TestErase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		if last, err := idempotency.Last(t.Context(), db.Session(database.Single)); err != nil || !last.IsZero() {
			t.Errorf("without answers: got %v, %v, want the zero time", last, err)
		}
		start := time.Date(2026, 1, 31, 9, 30, 0, 1000, time.UTC)
		store(t, db, "b", "user_b", `{"n":2}`, start)
		store(t, db, "a", "", `{"n":1}`, start)
		store(t, db, "c", "ADMIN", `{"n":3}`, start.Add(time.Second))
		all, _ := readAll(t, db, time.Time{})
		if len(all) != 3 || !all[0].At.Equal(start) || string(all[2].Data) != `{"n":3}` || all[2].Authority != "ADMIN" {
			t.Fatalf("got %+v, want the three answers, the oldest first", all)
		}
		if some, _ := readAll(t, db, start.Add(time.Microsecond)); len(some) != 1 {
			t.Errorf("got %+v, want the newest answer", some)
		}
		if some, _ := readAll(t, db, start); len(some) != 3 {
			t.Errorf("got %+v, want all answers of this time and later", some)
		}
		if last, err := idempotency.Last(t.Context(), db.Session(database.Single)); err != nil || !last.Equal(start.Add(time.Second)) {
			t.Errorf("got %v, %v, want the newest claim", last, err)
		}

		i := slices.IndexFunc(all, func(a idempotency.Answer) bool { return a.Authority == "user_b" })
		for _, want := range []int{1, 0} {
			tx := db.Session(database.Write)
			n, err := idempotency.Erase(t.Context(), tx, all[i:i+1])
			if err != nil || n != want {
				t.Errorf("got %d, %v, want %d erased", n, err, want)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if left, _ := readAll(t, db, time.Time{}); len(left) != 2 {
			t.Errorf("got %+v, want the two others", left)
		}
		for key, want := range map[string]error{"a": nil, "b": idempotency.ErrErased, "c": nil} {
			tx := db.Session(database.Write)
			entry, err := idempotency.NewEntry(key, idempotency.Request{Authority: "ADMIN", Admin: true})
			if err != nil {
				t.Fatal(err)
			}
			data, err := entry.Claim(t.Context(), tx, start)
			tx.Rollback()
			if !errors.Is(err, want) || (data == nil) != (want != nil) {
				t.Errorf("the key %s: got %s, %v, want %v", key, data, err, want)
			}
		}
		tx := db.Session(database.Write)
		defer tx.Rollback()
		if data, err := newEntry(t, "b", "user_c").Claim(t.Context(), tx, start); !errors.Is(err, idempotency.ErrErased) {
			t.Errorf("with another authority, which is erased too: got %s, %v, want %v", data, err, idempotency.ErrErased)
		}
		other, err := idempotency.NewEntry("b", idempotency.Request{Document: "another"})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := other.Claim(t.Context(), tx, start); !errors.Is(err, idempotency.ErrReused) {
			t.Errorf("another request: got %s, %v, want %v", data, err, idempotency.ErrReused)
		}
	})
}

// TestReadPages reads small and large answers, each once.
func TestReadPages(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		start := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
		large := `"` + strings.Repeat("x", idempotency.MaxDataBytes-2) + `"`
		const n = 60
		for i := range n {
			data := fmt.Sprint(i)
			if i >= 20 && i < 30 {
				data = large
			}
			store(t, db, fmt.Sprint(i), "ADMIN", data, start.Add(time.Duration(i/3)*time.Second)) // several of one time
		}
		got, pages := readAll(t, db, time.Time{})
		texts, size := map[string]int{}, 0
		for _, a := range got {
			texts[string(a.Data[:min(len(a.Data), 4)])]++
			size += len(a.Data)
		}
		if len(got) != n || len(texts) != n-10+1 || texts[large[:4]] != 10 || size < 10<<20 || pages < 3 {
			t.Errorf("got %d answers in %d pages, %v, want each of the %d once", len(got), pages, texts, n)
		}
		stop := errors.New("stop")
		if err := idempotency.Read(t.Context(), db.Session(database.Single), time.Time{}, func([]idempotency.Answer) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v, want the error of the caller", err)
		}
	})
}

// TestTexts returns the texts of an answer, and neither names nor other values.
func TestTexts(t *testing.T) {
	t.Parallel()
	want := []string{`<"&'>`, "\u2028🐘é", "", "null"}
	data, err := json.Marshal(map[string]any{"a": want[0], "ada": []any{want[1], 1, nil, true, map[string]any{"b": want[2]}}, "c": want[3]})
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&idempotency.Answer{Data: data}).Texts()
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := (&idempotency.Answer{Data: []byte(`{"a"`)}).Texts(); err == nil {
		t.Error("half an answer: got no error, want one")
	}
}
