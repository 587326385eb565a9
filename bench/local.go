package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"roster/graph"
	"roster/internal/documents"
	"roster/internal/limits"
	"roster/internal/typeid"
)

// newExecutor returns Roster's executor in this process, without HTTP: to count statements and to profile the CPU.
func newExecutor(st *store) (*graph.Executor, error) {
	return graph.NewExecutor(graph.Options{
		Database:           st.DB,
		Clock:              time.Now,
		IDs:                typeid.NewSource(time.Now, rand.Reader),
		RequestTimeout:     answerLimit,
		CompiledReads:      true,
		Limits:             limits.Default(),
		DocumentCacheBytes: 8 << 20,
	})
}

// ask makes the i-th request of a workload without HTTP.
func ask(ctx context.Context, executor *graph.Executor, w workload, i int) error {
	key := w.key(i)
	var body struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables"`
	}
	if err := json.Unmarshal([]byte(w.roster(key).body), &body); err != nil {
		return err
	}
	operation, response := executor.Prepare(ctx, documents.Request{Text: body.Query, Variables: body.Variables})
	if response == nil {
		response, _ = executor.Execute(ctx, operation, documents.Terms{})
	}
	if len(response.Errors) > 0 {
		return fmt.Errorf("%s: no data, or errors: %v", w.name, response)
	}
	return w.check(key, http.StatusOK, slices.Concat([]byte(`{"data":`), response.Data))
}

// count returns how many statements this process sends during f.
func (st *store) count(f func() error) (int64, error) {
	before := st.statements.Load()
	err := f()
	return st.statements.Load() - before, err
}

// profile makes the requests of a workload in this process and writes the CPU profile.
func profile(ctx context.Context, st *store, w workload, s settings, engine string) (err error) {
	executor, err := newExecutor(st)
	if err != nil {
		return err
	}
	if err := ask(ctx, executor, w, 0); err != nil { // a warm-up outside the profile
		return err
	}
	file, err := os.Create(filepath.Join(s.profiles, engine+"-"+w.name+".pprof")) //nolint:gosec // where the user says
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return fmt.Errorf("profile the CPU: %w", err)
	}
	defer pprof.StopCPUProfile()
	clients, ctx := errgroup.WithContext(ctx)
	clients.SetLimit(s.connections)
	for i := range s.requests / w.part {
		clients.Go(func() error { return ask(ctx, executor, w, i+1) })
	}
	return clients.Wait()
}
