package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/budget"
	"roster/internal/documents"
	"roster/internal/server"
)

// sink is a client that ignores the answer.
type sink struct{ header http.Header }

func (s sink) Header() http.Header         { return s.header }
func (s sink) Write(p []byte) (int, error) { return len(p), nil }
func (s sink) WriteHeader(int)             {}

// prepared is an executor that answers everything at once.
type prepared struct {
	server.Executor

	operation *documents.Operation
	data      []byte
}

func (p prepared) Prepare(context.Context, documents.Request) (*documents.Operation, *graphql.Response) {
	return p.operation, nil
}

func (p prepared) Execute(context.Context, *documents.Operation, documents.Terms) (*graphql.Response, documents.Receipt) {
	return &graphql.Response{Data: p.data}, documents.Receipt{}
}

// BenchmarkPost is the cost of a small request without its execution.
func BenchmarkPost(b *testing.B) {
	o := testOptions()
	o.Logger, o.MaxRequests, o.Budget = slog.New(slog.DiscardHandler), 100, budget.New(budget.Options{Memory: 64 << 20})
	o.Executor = prepared{
		operation: &documents.Operation{Definition: &ast.OperationDefinition{Operation: ast.Query}, Cost: 1},
		data:      []byte(`{"user":{"id":"user_01kg9p6je5tqmrz92xxm1cr6rb"}}`),
	}
	handler := server.New(o)
	const body = `{"query":"query($key: String!) { user(by: { username: $key }) { id username email createdAt } }","variables":{"key":"user000001"}}`
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/graphql", nil)
	r.Header.Set("Content-Type", typeJSON)
	r.Header.Set("Accept-Encoding", "gzip")
	text := strings.NewReader(body)
	r.Body, r.ContentLength = io.NopCloser(text), int64(len(body))
	b.ReportAllocs()
	for b.Loop() {
		text.Reset(body)
		handler.ServeHTTP(sink{http.Header{}}, r)
	}
}
