package graph_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"roster/internal/dbtest"
	"roster/internal/idempotency"
)

const writePost = "mutation ($author: ID!, $title: String!) { createPost(input: {authorId: $author, title: $title}) { post { id title createdAt } } }"

// again sends a body with a key, and returns its answer, the data to the byte, and whether that is of an earlier request.
func (s *tester) again(key string, body []byte, headers ...string) (a *answer, replayed bool) {
	s.Helper()
	h, text := s.send(http.MethodPost, s.url, body, append(headers, "Idempotency-Key", key)...)
	a = new(answer)
	if err := json.Unmarshal(text, a); err != nil || h.StatusCode != http.StatusOK {
		s.Fatalf("%d, %v in %s", h.StatusCode, err, text)
	}
	value, there := h.Header["Idempotency-Replayed"]
	if there && !slices.Equal(value, []string{"true"}) {
		s.Errorf("Idempotency-Replayed is %q", value)
	}
	return a, there
}

// once sends a body with a key that no other request has had.
func (s *tester) once(key string, body []byte, headers ...string) *answer {
	s.Helper()
	a, replayed := s.again(key, body, headers...)
	if replayed || len(a.Errors) > 0 {
		s.Fatalf("the first request with the key %q: replayed %t, %s %+v", key, replayed, a.Data, a.Errors)
	}
	return a
}

// replays sends a body with a key that had this answer before.
func (s *tester) replays(want *answer, key string, body []byte) {
	s.Helper()
	a, replayed := s.again(key, body)
	if !replayed || !bytes.Equal(a.Data, want.Data) || len(a.Errors) > 0 {
		s.Errorf("sent again with the key %q: replayed %t, %s %+v\nwant %s", key, replayed, a.Data, a.Errors, want.Data)
	}
}

// TestSentAgain sends mutations again with the same key: they are answered as before, and not done again.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		body := s.body(writePost, "author", author, "title", `"<&>\ é 🐘`)
		first := s.once("a", body)
		s.replays(first, "a", body)
		s.must(nil, rename, "id", author, "username", "eva", "version", nil) // what it was then is what is answered
		s.replays(first, "a", body)

		document, title := quote(writePost), quote(`"<&>\ é 🐘`)
		author = quote(author)
		for name, same := range map[string]string{
			"another order": `{"variables": {"title": ` + title + `, "author": ` + author + `}, "query": ` + document + `}`,
			"more around":   `{"operationName": null, "query": ` + document + `, "variables": {"author": ` + author + `, "title": ` + title + `, "unknown": 1}}`,
		} {
			t.Log(name)
			s.replays(first, "a", []byte(same))
		}
		if got := s.read(unquote(t, author)); got.Posts.TotalCount != 1 {
			t.Errorf("got %d posts, want 1", got.Posts.TotalCount)
		}
	})
}

func unquote(t *testing.T, quoted string) (text string) {
	t.Helper()
	if err := json.Unmarshal([]byte(quoted), &text); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSentAgainByHash sends a persisted query by its hash, gets told to send its text, and does: one request.
func TestSentAgainByHash(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		hash := sha256.Sum256([]byte(writePost))
		extension := `"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "` + hex.EncodeToString(hash[:]) + `"}}`
		variables := `"variables": {"author": ` + quote(s.create("ada").ID) + `, "title": "T"}`
		byHash := []byte("{" + extension + "," + variables + "}")
		whole := []byte(`{"query": ` + quote(writePost) + "," + extension + "," + variables + "}")
		h, text := s.send(http.MethodPost, s.url, byHash, "Idempotency-Key", "a")
		if h.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "PERSISTED_QUERY_NOT_FOUND") {
			t.Fatalf("got %d, %s, want 400 and PERSISTED_QUERY_NOT_FOUND", h.StatusCode, text)
		}
		first := s.once("a", whole)
		s.replays(first, "a", byHash)
		s.replays(first, "a", whole)
		s.replays(first, "a", []byte(`{"query": `+quote(writePost)+","+variables+"}"))
	})
}

// TestSentAgainOwnExtensions asks for the cost with the second request: that is about the second.
func TestSentAgainOwnExtensions(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		body := s.body(writePost, "author", author, "title", "T")
		first := s.once("a", body, "X-Request-Id", "first")
		costly := append(bytes.TrimSuffix(body, []byte("}")), `,"extensions":{"cost":true}}`...)
		h, text := s.send(http.MethodPost, s.url, costly, "Idempotency-Key", "a", "X-Request-Id", "second")
		if h.Header.Get("Idempotency-Replayed") != "true" || h.Header.Get("X-Request-Id") != "second" {
			t.Errorf("got the headers %v, want those of a replay and of the second request", h.Header)
		}
		if want := fmt.Sprintf(`{"extensions":{"cost":{"cost":3}},"data":%s}`, first.Data); string(text) != want {
			t.Errorf("got the answer %s, want %s", text, want)
		}
	})
}

// TestKeyOfAnotherRequest uses keys twice.
func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		body := s.body(writePost, "author", author, "title", "T")
		first := s.once("a", body)
		for name, other := range map[string][]byte{
			"variables": s.body(writePost, "author", author, "title", "t"),
			"document":  s.body(writePost+" ", "author", author, "title", "T"),
		} {
			a, replayed := s.again("a", other)
			if a.codes() != "IDEMPOTENCY_KEY_REUSED" || string(a.Data) != "null" || replayed {
				t.Errorf("with another %s: got %s %+v, want IDEMPOTENCY_KEY_REUSED", name, a.Data, a.Errors)
			}
		}
		s.once("A", body)                           // another key
		s.once("a", body, "Test-Caller", "grace")   // another one's
		s.once("a", body, "Test-Caller", "grace\"") // and again
		s.replays(first, "a", body)
		if got := s.read(author); got.Posts.TotalCount != 4 {
			t.Errorf("got %d posts, want 4", got.Posts.TotalCount)
		}
	})
}

// TestKeyOfTwoOperations sends a document of two operations with one key.
func TestKeyOfTwoOperations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		id := quote(s.create("ada").ID)
		body := func(name string) []byte {
			return []byte(`{"operationName": "` + name + `", "query": "` +
				`mutation A { a: createUser(input: {username: \"a\", email: \"a@example.com\"}) { user { username } } } ` +
				`mutation B { b: createUser(input: {username: \"b\", email: \"b@example.com\"}) { user { username } } } ` +
				`query C { user(by: {id: ` + strings.ReplaceAll(id, `"`, `\"`) + `}) { username } }"}`)
		}
		first := s.once("k", body("A"))
		if a, _ := s.again("k", body("B")); a.codes() != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("the other operation: got %s %+v, want IDEMPOTENCY_KEY_REUSED", a.Data, a.Errors)
		}
		s.once("k", body("C")) // which only reads
		s.replays(first, "k", body("A"))
	})
}

// TestKeyOfFailure takes the key of a request that failed for another one: nothing of it is kept.
func TestKeyOfFailure(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		for name, failing := range map[string]struct {
			codes string
			body  []byte
		}{
			"a fault of the input": {"BLANK", s.body(writePost, "author", author, "title", "")},
			"a broken constraint":  {"TAKEN", s.body(`mutation { createUser(input: {username: "ADA", email: "x@example.com"}) { user { id } } }`)},
			"the second field": {"TAKEN", s.body(`mutation {
				one: createUser(input: {username: "one", email: "one@example.com"}) { user { id } }
				two: createUser(input: {username: "one", email: "two@example.com"}) { user { id } }
			}`)},
		} {
			for range 2 {
				if a, replayed := s.again(name, failing.body); a.codes() != failing.codes || replayed || string(a.Data) != "null" {
					t.Errorf("%s: got %s %+v, want the failure again and no replay", name, a.Data, a.Errors)
				}
			}
			first := s.once(name, s.body(writePost, "author", author, "title", name))
			s.replays(first, name, s.body(writePost, "author", author, "title", name))
		}
	})
}

// TestKeyOfQuery reads with a key, even one that no mutation may have: it is ignored.
func TestKeyOfQuery(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		query := s.body("query ($id: ID!) { user(by: {id: $id}) { username } }", "id", author)
		s.once("a", query)
		s.must(nil, rename, "id", author, "username", "eva", "version", nil)
		for _, key := range []string{"a", "", strings.Repeat("x", 256)} {
			if a := s.once(key, query); string(a.Data) != `{"user":{"username":"eva"}}` {
				t.Errorf("with the key %q: got %s, want the user now", key, a.Data)
			}
		}
		s.once("a", s.body(writePost, "author", author, "title", "T"))
	})
}

// TestKeyOfTooMuch asks with a key for more than is kept: nothing is done, so that the request can be sent again
// asking for less.
func TestKeyOfTooMuch(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		// The titles and names of the answer are as long as it takes to have exactly so many bytes.
		body := func(bytes int) []byte {
			const line = 10_000
			var fields strings.Builder
			lines := (bytes - len(`{"createPost":{"post":{}}}`)) / (len(`"f000":"",`) + line)
			for i := range lines {
				fmt.Fprintf(&fields, "f%03d: body ", i)
			}
			rest := bytes - len(`{"createPost":{"post":{}}}`) - lines*(len(`"f000":"",`)+line) - len(`"":"Post"`)
			fmt.Fprintf(&fields, "%s: __typename", strings.Repeat("x", rest))
			return s.body("mutation ($author: ID!, $body: String!) { createPost(input: {authorId: $author, title: \"T\", body: $body}) { post { "+fields.String()+" } } }",
				"author", author, "body", strings.Repeat("b", line))
		}
		if a, replayed := s.again("a", body(idempotency.MaxDataBytes+1)); a.codes() != "COST_LIMIT" || string(a.Data) != "null" || replayed {
			t.Errorf("got %.100s %+v, want COST_LIMIT", a.Data, a.Errors)
		}
		if got := s.read(author); got.Posts.TotalCount != 0 {
			t.Errorf("got %d posts, want 0", got.Posts.TotalCount)
		}
		first := s.once("a", body(idempotency.MaxDataBytes))
		if len(first.Data) != idempotency.MaxDataBytes {
			t.Errorf("got %d bytes of data, want the largest size", len(first.Data))
		}
		s.replays(first, "a", body(idempotency.MaxDataBytes))
	})
}

// TestStatementsOfKeys looks at what a key costs: a statement before all others of the mutation and one after them, and
// for a request that was done before the same statement, which finds the key taken, and one that reads.
func TestStatementsOfKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		body := s.body(writePost, "author", author, "title", "T")
		statements := func(send func()) []string {
			s.statements.take()
			send()
			return s.statements.take()
		}
		ofKeys := func(statement, begin string) bool {
			return strings.HasPrefix(statement, begin) && strings.Contains(statement, "idempotency_keys")
		}
		without := statements(func() { s.send(http.MethodPost, s.url, body) })
		var first *answer
		with := statements(func() { first = s.once("a", body) })
		if n := len(with); n != len(without)+2 || !ofKeys(with[0], "INSERT") || !slices.Equal(with[1:n-1], without) || !ofKeys(with[n-1], "UPDATE") {
			t.Errorf("with a key: got\n%s\nwant two statements more than without:\n%s", strings.Join(with, "\n"), strings.Join(without, "\n"))
		}
		again := statements(func() { s.replays(first, "a", body) })
		if len(again) != 2 || again[0] != with[0] || !ofKeys(again[1], "SELECT") {
			t.Errorf("sent again: got\n%s\nwant the claim and one SELECT", strings.Join(again, "\n"))
		}
		query := s.body("query ($id: ID!) { user(by: {id: $id}) { username } }", "id", author)
		if read := statements(func() { s.once("a", query) }); len(read) != 1 {
			t.Errorf("a query: got\n%s\nwant one statement", strings.Join(read, "\n"))
		}
	})
}

// TestKeyOfSeveral sends one request with one key from several clients at once: it is done once.
func TestKeyOfSeveral(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		author := s.create("ada").ID
		var conflicts atomic.Int32
		for round := range 10 {
			key := fmt.Sprint("round", round)
			body := s.body(writePost, "author", author, "title", key)
			datas := make([]string, 6)
			var done atomic.Int32
			clients(len(datas), func(client int) {
				a, replayed := s.again(key, body)
				switch {
				case a.codes() == "CONFLICT":
					conflicts.Add(1)
					a, replayed = s.again(key, body)
				case len(a.Errors) > 0:
					t.Errorf("got %+v, want no error", a.Errors)
				}
				if !replayed {
					done.Add(1)
				}
				datas[client] = string(a.Data)
			})
			if done.Load() != 1 || len(slices.Compact(datas)) != 1 {
				t.Errorf("got %d executions with the data %q, want one with one answer", done.Load(), datas)
			}
			if got := s.read(author); got.Posts.TotalCount != round+1 {
				t.Errorf("got %d posts after %d requests, want one for each", got.Posts.TotalCount, round+1)
			}
		}
		t.Logf("%d conflicts", conflicts.Load())
	})
}

// TestKeyOfOneUnderWay sends a request again while it is under way: the second one waits for what becomes of the first.
func TestKeyOfOneUnderWay(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} { // SQLite begins one after the other
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			s := serve(t, e, settings{})
			id := s.create("ada").ID
			release := s.hold(id)
			body := s.body(rename, "id", id, "username", "eva", "version", 1)
			var replays atomic.Int32
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				clients(4, func(int) {
					switch a, replayed := s.again("a", body); {
					case string(a.Data) != `{"updateUser":{"user":{"id":"`+id+`","username":"eva","version":2}}}`:
						t.Errorf("got %s %+v, want version 2 of the user", a.Data, a.Errors)
					case replayed:
						replays.Add(1)
					}
				})
			}()
			s.wait(func() bool { return s.running.Load() == 4 && s.blocked() })
			release()
			<-finished
			if replays.Load() != 3 {
				t.Errorf("got %d replays of 4 answers, want 3", replays.Load())
			}
		})
	}
}

// TestLostAnswersWithKeys loses the answer to the first, the second, the third request to the database of one mutation,
// and so on, and sends the mutation again. Wherever it broke off, COMMIT included, it is done once and its answer known
// in the end. SQLite has no way to the database that could break.
func TestLostAnswersWithKeys(t *testing.T) {
	t.Parallel()
	overNetwork(t, 1, func(t *testing.T, s *tester, proxy *dbtest.Proxy) { // one statement after the other
		author := s.create("ada").ID
		unknown := 0
		for n := 1; ; n++ {
			key, left := fmt.Sprint("request", n), n
			proxy.LoseAnswers(func([]byte) bool {
				left--
				return left == 0
			})
			body := s.body(writePost, "author", author, "title", key)
			a, replayed := s.again(key, body)
			proxy.LoseAnswers(nil)
			switch {
			case a.codes() == "OUTCOME_UNKNOWN":
				unknown++
				s.failures.take() // the log has it
				if a, replayed = s.again(key, body); !replayed {
					t.Error("after an unknown outcome: got another execution, want a replay")
				}
			case replayed:
				t.Error("after a loss before the commit: got a replay, want an execution")
			}
			if len(a.Errors) > 0 {
				t.Fatalf("%s: got %+v, want no error", key, a.Errors)
			}
			s.replays(a, key, body)
			if got := s.read(author); got.Posts.TotalCount != n || !strings.Contains(string(a.Data), got.Posts.Nodes[n-1].ID) {
				t.Fatalf("after %d requests, the last with the answer %s: got %+v, want one post for each", n, a.Data, got)
			}
			if left > 0 { // the mutation did not send so many
				break
			}
		}
		if unknown != 1 {
			t.Errorf("unknown outcomes: got %d, want 1, after COMMIT", unknown)
		}
	})
}
