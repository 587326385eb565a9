package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/user"
	"roster/graph"
	"roster/internal/database"
)

// comparisons is the number of runs of each way to read W3. The ways take turns.
const comparisons = 50

// A way reads the 50 users, 10 posts and authors of W3.
type way struct {
	name string
	read func(context.Context) error
}

// compareW3 prints the times of W3 with Roster's loaders and with ent's eager loading, in this process, one request at a time. Both
// load Go values with all columns. The whole answer as JSON takes more.
func compareW3(ctx context.Context, st *store, executor *graph.Executor, w workload, out io.Writer) error {
	session := func(read func(context.Context, *ent.Client) error) func(context.Context) error {
		return func(ctx context.Context) error {
			s := st.Session(database.Snapshot)
			defer s.Rollback()
			if err := read(ctx, ent.NewClient(ent.Driver(s))); err != nil {
				return err
			}
			return s.Commit()
		}
	}
	ways := []way{
		{"ent's eager loading", session(eager)},
		{"Roster's loaders", session(loaders)},
		{"Roster's whole answer", func(ctx context.Context) error { return ask(ctx, executor, w, 0) }},
	}
	times := make([]latencies, len(ways))
	counts := make([]int64, len(ways))
	for range comparisons {
		for i, way := range ways {
			start := time.Now()
			count, err := st.count(func() error { return way.read(ctx) })
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			times[i], counts[i] = append(times[i], time.Since(start)), count
		}
	}
	fmt.Fprintf(out, "\nW3 in one process, one at a time:\n")
	for i, way := range ways {
		slices.Sort(times[i])
		fmt.Fprintf(out, "  %-22s p50 %6.2f ms, %d statements\n", way.name, milliseconds(times[i].at(0.5)), counts[i])
	}
	return nil
}

// eager reads W3 with ent's eager loading. It has no limit per parent; here each user has at most 10 posts.
func eager(ctx context.Context, client *ent.Client) error {
	users, err := client.User.Query().Order(user.ByID()).Limit(50).
		WithPosts(func(q *ent.PostQuery) { q.WithAuthor() }).All(ctx)
	if err != nil {
		return err
	}
	posts := 0
	for _, u := range users {
		for _, p := range u.Edges.Posts {
			if p.Edges.Author != nil {
				posts++
			}
		}
	}
	return complete(len(users), posts)
}

// loaders reads W3 with Roster's loaders.
func loaders(ctx context.Context, client *ent.Client) error {
	firstUsers, firstPosts := 50, 10
	users, err := query.ReadPage[ent.User, ent.UserWhere](ctx, client.User.Reader(), "Users", query.All, query.Args{First: &firstUsers}, nil, nil)
	if err != nil {
		return err
	}
	posts := 0
	for _, u := range users.Nodes() {
		page, err := u.LoadPosts(ctx, query.All, query.Args{First: &firstPosts}, nil, nil)
		if err != nil {
			return err
		}
		for _, p := range page.Nodes() {
			author, err := p.LoadAuthor(ctx, query.All)
			if err != nil {
				return err
			}
			if author != nil {
				posts++
			}
		}
	}
	return complete(len(users.Nodes()), posts)
}

func complete(users, posts int) error {
	if users != 50 || posts != 500 {
		return fmt.Errorf("%d users and %d posts with an author instead of 50 and 500", users, posts)
	}
	return nil
}
