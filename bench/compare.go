package main

import (
	"context"
	"errors"
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

// comparisons is the greatest number of runs of each way to read W3. The ways take turns.
const comparisons = 50

// A way reads the users, posts and authors of W3, and returns the number of posts with an author.
type way struct {
	name string
	read func(context.Context, *ent.Client) (posts int, err error)
}

// compareW3 prints the times of W3 with Roster's loaders and with ent's eager loading, in this process, one request at a time. Both
// load Go values with all columns. The whole answer as JSON takes more.
func (b *bench) compareW3(ctx context.Context, executor *graph.Executor, w workload, out io.Writer) error {
	const want = 500
	ways := []way{
		{"ent's eager loading", eager},
		{"Roster's loaders", loaders},
		{"Roster's whole answer", func(ctx context.Context, _ *ent.Client) (int, error) { return want, ask(ctx, executor, w, 0) }},
	}
	times := make([]latencies, len(ways))
	counts := make([]int64, len(ways))
	for range min(comparisons, b.requests/2) {
		for i, way := range ways {
			start := time.Now()
			count, err := b.store.count(func() error {
				s := b.store.Session(database.Snapshot)
				defer s.Rollback()
				got, err := way.read(ctx, ent.NewClient(ent.Driver(s)))
				if err == nil && got != want {
					err = fmt.Errorf("got %d posts with an author, want %d", got, want)
				}
				return errors.Join(err, s.Commit())
			})
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
func eager(ctx context.Context, client *ent.Client) (posts int, err error) {
	users, err := client.User.Query().Order(user.ByID()).Limit(50).
		WithPosts(func(q *ent.PostQuery) { q.WithAuthor() }).All(ctx)
	for _, u := range users {
		for _, p := range u.Edges.Posts {
			if p.Edges.Author != nil {
				posts++
			}
		}
	}
	return posts, err
}

// loaders reads W3 with Roster's loaders.
func loaders(ctx context.Context, client *ent.Client) (posts int, err error) {
	firstUsers, firstPosts := 50, 10
	users, err := query.ReadPage[ent.User, ent.UserWhere](ctx, client.User.Reader(), "Users", query.All, query.Args{First: &firstUsers}, nil, nil)
	if err != nil {
		return 0, err
	}
	for _, u := range users.Nodes() {
		page, err := u.LoadPosts(ctx, query.All, query.Args{First: &firstPosts}, nil, nil)
		if err != nil {
			return 0, err
		}
		for _, p := range page.Nodes() {
			author, err := p.LoadAuthor(ctx, query.All)
			if err != nil {
				return 0, err
			}
			if author != nil {
				posts++
			}
		}
	}
	return posts, nil
}
