package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"roster/graph"
	"roster/internal/server"
	"roster/internal/typeid"
)

// newHandler is Roster within this process, where its statements can be counted and its CPU profiled.
func newHandler(st *store) http.Handler {
	return server.New(server.Options{
		Executor: graph.NewExecutor(graph.Options{
			Database:       st.DB,
			Clock:          time.Now,
			IDs:            typeid.NewSource(time.Now, rand.Reader),
			RequestTimeout: answerLimit,
		}),
		Ready:        st.Ping,
		SDL:          graph.SDL(),
		Logger:       slog.New(slog.DiscardHandler),
		Clock:        time.Now,
		NewRequestID: rand.Text,
		MaxBodyBytes: 1 << 20,
	})
}

// ask makes the i-th request of a workload without a network.
func ask(ctx context.Context, handler http.Handler, w workload, i int) error {
	key := w.key(i)
	r, err := w.roster(key).http(ctx, "localhost")
	if err != nil {
		return err
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	return w.check(key, recorder.Code, recorder.Body.Bytes())
}

// count returns how many statements this process sends during f.
func (st *store) count(f func() error) (int64, error) {
	before := st.statements.Load()
	err := f()
	return st.statements.Load() - before, err
}

// profile makes the requests of a workload in this process and writes the CPU profile.
func profile(ctx context.Context, st *store, w workload, s settings, engine string) (err error) {
	handler := newHandler(st)
	if err := ask(ctx, handler, w, 0); err != nil { // what is done once shall not be in the profile
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
	var next atomic.Int64
	failures := make([]error, s.connections)
	var clients sync.WaitGroup
	for c := range s.connections {
		clients.Go(func() {
			for i := next.Add(1); i <= int64(s.requests/w.part) && failures[c] == nil; i = next.Add(1) {
				failures[c] = ask(ctx, handler, w, int(i))
			}
		})
	}
	clients.Wait()
	return errors.Join(failures...)
}
