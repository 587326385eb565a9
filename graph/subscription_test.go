package graph

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/requestid"
)

// subscribed is the context of a subscription.
func subscribed(t *testing.T) context.Context {
	t.Helper()
	return graphql.WithOperationContext(t.Context(), &graphql.OperationContext{
		Operation: &ast.OperationDefinition{Operation: ast.Subscription},
	})
}

// TestSubscriptionsPass lets a subscription through: it has many responses, no transaction and no time limit.
func TestSubscriptionsPass(t *testing.T) {
	t.Parallel()
	ctx := subscribed(t)
	events := 3
	next := (&operations{}).InterceptOperation(ctx, func(ctx context.Context) graphql.ResponseHandler {
		if _, bounded := ctx.Deadline(); bounded || ctx.Value(attemptKey{}) != nil {
			t.Error("it has a time limit or an attempt")
		}
		return func(context.Context) *graphql.Response {
			if events == 0 {
				return nil
			}
			events--
			return &graphql.Response{}
		}
	})
	for range 3 {
		if next(ctx) == nil {
			t.Fatal("it has ended early")
		}
	}
	if next(ctx) != nil {
		t.Error("it does not end")
	}
}

// TestSubscriptionErrors makes the errors of each event what those of a query are: one for each fault, at most ten, and
// what nobody foresaw in the log, with its stack.
func TestSubscriptionErrors(t *testing.T) {
	t.Parallel()
	ctx := requestid.WithContext(subscribed(t), "request-1")
	var faults rules.Faults
	faults.Add(&rules.Fault{Code: rules.Blank, Message: "must not be blank"}, "input", "title")
	faults.Add(&rules.Fault{Code: rules.TooLong, Message: "is too long"}, "input", "body")
	events := [][]error{
		{faults},
		{query.Recovered("out of order"), errors.New("another")},
		nil,
		{faults, faults, faults, faults, faults, faults},
	}
	var log strings.Builder
	o := &operations{Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}}
	next := o.InterceptOperation(ctx, func(context.Context) graphql.ResponseHandler {
		return func(context.Context) *graphql.Response {
			if len(events) == 0 {
				return nil
			}
			response := &graphql.Response{Data: json.RawMessage("null")}
			for _, err := range events[0] {
				response.Errors = append(response.Errors, present(ctx, err))
			}
			events = events[1:]
			return response
		}
	})
	const blank = `{"message":"input.title must not be blank","extensions":{"code":"BLANK","field":["input","title"]}}`
	const long = `{"message":"input.body is too long","extensions":{"code":"TOO_LONG","field":["input","body"]}}`
	const internal = `{"message":"internal error","extensions":{"code":"INTERNAL","requestId":"request-1"}}`
	pair := blank + "," + long
	for i, want := range []string{
		"[" + pair + "]", "[" + internal + "," + internal + "]", "null", "[" + strings.Repeat(pair+",", 4) + pair + "]",
	} {
		got, err := json.Marshal(next(ctx).Errors)
		if err != nil || string(got) != want {
			t.Errorf("event %d: %v, %s, want %s", i, err, got, want)
		}
	}
	if next(ctx) != nil {
		t.Error("it does not end")
	}
	var line struct{ Error, Stack, RequestID string }
	if err := json.Unmarshal([]byte(log.String()), &line); err != nil ||
		line.Error != "panic: out of order" || line.RequestID != "request-1" || !strings.Contains(line.Stack, "TestSubscriptionErrors") {
		t.Errorf("%v, logged %s", err, log.String())
	}
}
