package graph_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/graph"
	"roster/internal/budget"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	requests "roster/internal/documents"
	"roster/internal/limits"
	"roster/internal/slowlog"
	"roster/internal/typeid"
)

// benchmarked are requests, by their names in docs/performance.md.
func benchmarked() map[string]requests.Request {
	return map[string]requests.Request{
		"W1": {
			Text:      "query($key: String!) { user(by: { username: $key }) { id username email createdAt } }",
			Variables: map[string]any{"key": "user007"},
		},
		"W2": {Text: "{ users(first: 100) { nodes { id username email createdAt } } }"},
		"W3": {Text: "{ users(first: 50) { nodes { id username posts(first: 10) { nodes { id title author { id username } } } } } }"},
	}
}

// benchmark is an executor on a database on SQLite with 100 users, who have 10 posts each.
func benchmark(b *testing.B, compiled bool) (context.Context, *graph.Executor) {
	b.Helper()
	db := migrated.Open(b, dbtest.SQLite)
	ids := typeid.NewSource(time.Now, rand.NewChaCha8([32]byte{}))
	ctx := rules.WithCaller(b.Context(), rules.Everyone())
	tx := directory.New(db.Session(database.Write), directory.Options{Clock: time.Now, IDs: ids})
	defer tx.Rollback()
	inputs := make([]directory.CreateUser, 100)
	for i := range inputs {
		name := fmt.Sprintf("user%03d", i)
		inputs[i] = directory.CreateUser{Username: name, Email: name + "@example.com", Posts: make([]directory.UserPost, 10)}
		for j := range inputs[i].Posts {
			inputs[i].Posts[j] = directory.UserPost{Title: fmt.Sprintf("Post %d of %s", j, name)}
		}
	}
	if _, err := tx.CreateUsers(ctx, inputs); err != nil {
		b.Fatal(err)
	}
	if err := tx.Commit(ctx, nil); err != nil {
		b.Fatal(err)
	}
	e, err := graph.NewExecutor(graph.Options{
		Database: db, Clock: time.Now, IDs: ids, RequestTimeout: time.Minute, Limits: limits.Default(), DocumentCacheBytes: 1 << 20, CompiledReads: compiled,
	})
	if err != nil {
		b.Fatal(err)
	}
	return ctx, e
}

// BenchmarkPrepare finds a document in the cache, and coerces its variables.
func BenchmarkPrepare(b *testing.B) {
	ctx, e := benchmark(b, true)
	for name, request := range benchmarked() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, refused := e.Prepare(ctx, request); refused != nil {
					b.Fatal(refused.Errors)
				}
			}
		})
	}
}

// BenchmarkQuery executes queries by their plans, and by resolvers. A server logs slow operations: such queries are observed.
func BenchmarkQuery(b *testing.B) {
	for way, test := range map[string]struct{ compiled, observed bool }{
		"plan": {compiled: true}, "resolvers": {}, "plan, observed": {compiled: true, observed: true}, "resolvers, observed": {observed: true},
	} {
		ctx, e := benchmark(b, test.compiled)
		if test.observed {
			e.Observer = slowlog.New(slowlog.Options{Operation: time.Hour})
		}
		answers := answersOf(16 << 20)
		for name, request := range benchmarked() {
			b.Run(name+"/"+way, func(b *testing.B) {
				o, refused := e.Prepare(ctx, request)
				if refused != nil {
					b.Fatal(refused.Errors)
				}
				b.ReportAllocs()
				for b.Loop() {
					answer := answers.Open()
					if response, _ := e.Execute(budget.WithAnswer(ctx, answer), o, requests.Terms{}); len(response.Errors) > 0 {
						b.Fatal(response.Errors)
					}
					answer.Close()
				}
			})
		}
	}
}
