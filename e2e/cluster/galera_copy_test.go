//go:build cluster

package cluster

import (
	"encoding/json"
	"fmt"
	"testing"

	"roster/internal/dbtest/servers"
)

// copies takes a copy of the data by two servers. The node of the second one applies nothing meanwhile. With the token of the
// cursor, the second server never answers with less than what is before the cursor.
func (g *galera) copies(t *testing.T) {
	ctx := t.Context()
	g.create(t, 0, "copied0")
	db, err := servers.Open(g.url(1, "mysql", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // it ends the lock, too
	if _, err := conn.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK"); err != nil {
		t.Fatal(err)
	}
	g.create(t, 0, "copied1")
	const name = `user(by: { username: "copied1" }) { username }`
	read := func(i int, token, query string) (has bool, next, code string) {
		a, err := g.ask(ctx, i, "", token, query, nil)
		if err != nil {
			t.Fatal(err)
		}
		var data struct{ User *struct{ Username string } }
		if len(a.Errors) > 0 {
			return false, "", a.code()
		}
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatal(err)
		}
		return data.User != nil, a.header.Get("Roster-Consistency"), ""
	}
	if _, _, code := read(0, "", "{ changes(first: 1) { caughtUp } }"); code != "" { // gives all changes their numbers
		t.Fatalf("the feed: got %s, want data", code)
	}
	has, token, code := read(0, "", fmt.Sprintf("{ changesCursor %s }", name))
	if !has || token == "" {
		t.Fatalf("the cursor: got %v, the token %q and %s, want the user and a token", has, token, code)
	}
	if has, next, code := read(1, "", fmt.Sprintf("{ %s }", name)); has || next != "" || code != "" {
		t.Errorf("without the token: got %v, the token %q and %s: the node is not behind", has, next, code)
	}
	if has, _, code := read(1, token, fmt.Sprintf("{ %s }", name)); has || code != "UNAVAILABLE" {
		t.Errorf("with the token: got %v and %s, want UNAVAILABLE while the node is behind", has, code)
	}
	if _, err := conn.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if has, _, code := read(1, token, fmt.Sprintf("{ %s }", name)); !has {
		t.Errorf("with the token, when the node applies again: got %v and %s, want the user", has, code)
	}
	const taken = `mutation { createUser(input: { username: "copied1", email: "copied@example.com" }) { user { id } } }`
	a, err := g.ask(ctx, 0, "", "", taken, nil)
	if err != nil || a.code() != "TAKEN" || a.header.Get("Roster-Consistency") == "" {
		t.Errorf("a mutation that fails: got %+v, %v, want TAKEN and a token", a, err)
	}
}
