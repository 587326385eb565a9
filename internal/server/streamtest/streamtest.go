// Package streamtest is a small schema that answers without a database, with a subscription for
// each way in which one can go: for tests of the transports, and through its program testserver for
// tests of clients. It knows nothing of Roster.
package streamtest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
)

//go:embed schema.graphqls
var sdl string

// SDL returns the text of the schema, which describes what each field does.
func SDL() string { return sdl }

// Schema executes operations on the schema as gqlgen's generated code does: its responses share a
// buffer, and the end of a subscription is a response that is nil.
type Schema struct {
	schema *ast.Schema
	active atomic.Int64
}

var _ graphql.ExecutableSchema = (*Schema)(nil)

// New returns a Schema on which nothing runs.
func New() *Schema {
	return &Schema{schema: gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphqls", Input: sdl})}
}

// Executor returns an executor of operations on the schema.
func (s *Schema) Executor() *Executor { return NewExecutor(s) }

// Active is how many subscriptions have begun and not ended, whoever was to end them.
func (s *Schema) Active() int { return int(s.active.Load()) }

// Schema implements graphql.ExecutableSchema.
func (s *Schema) Schema() *ast.Schema { return s.schema }

// Complexity implements graphql.ExecutableSchema: nothing has one.
func (*Schema) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

// Exec implements graphql.ExecutableSchema.
func (s *Schema) Exec(ctx context.Context) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	if operation.Operation.Operation == ast.Subscription {
		return s.subscribe(ctx, operation)
	}
	return func(ctx context.Context) *graphql.Response {
		var b bytes.Buffer
		object(ctx, &b, operation.Operation.SelectionSet, typeOf(operation.Operation), s.answer)
		if ctx.Err() != nil {
			return nil
		}
		return &graphql.Response{Data: b.Bytes()}
	}
}

func typeOf(operation *ast.OperationDefinition) string {
	if operation.Operation == ast.Mutation {
		return "Mutation"
	}
	return "Query"
}

// answer resolves the fields of Query and Mutation.
func (s *Schema) answer(ctx context.Context, field graphql.CollectedField) (any, *gqlerror.Error) {
	arguments := field.ArgumentMap(graphql.GetOperationContext(ctx).Variables)
	switch field.Name {
	case "echo":
		return arguments["text"], nil
	case "long":
		return text(number(arguments["size"])), nil
	case "waits":
		wait(ctx, number(arguments["milliseconds"]))
		return "waited", nil
	case "active":
		return s.Active(), nil
	case "caller":
		if name := CallerFrom(ctx); name != "" {
			return name, nil
		}
		return nil, nil
	case "private":
		return "secret", nil
	case "fails":
		return nil, failure(codes.NotFound, "there is nothing")
	}
	panic("a query panics")
}

func failure(code codes.Code, message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
}

// event is one element of a subscription's source stream.
type event struct {
	number int
	text   string
	failed *gqlerror.Error // instead of the tick
	broken *gqlerror.Error // of the stream
	panics bool
}

func (s *Schema) subscribe(ctx context.Context, operation *graphql.OperationContext) graphql.ResponseHandler {
	fields := graphql.CollectFields(operation, operation.Operation.SelectionSet, []string{"Subscription"})
	field := fields[0]
	arguments := field.ArgumentMap(operation.Variables)
	if field.Name == "refused" {
		graphql.AddError(ctx, failure(codes.Forbidden, "nobody may listen"))
		return nil
	}
	events := s.source(ctx, func(send func(event) bool) {
		produce(ctx, field.Name, arguments, send)
	})
	var b bytes.Buffer
	return func(ctx context.Context) *graphql.Response {
		select {
		case <-ctx.Done():
			return nil
		case e, more := <-events:
			switch {
			case !more:
				return nil
			case e.panics:
				panic("a subscription panics")
			case e.broken != nil:
				graphql.AddError(ctx, e.broken)
				return &graphql.Response{}
			}
			b.Reset()
			object(ctx, &b, operation.Operation.SelectionSet, "Subscription", func(context.Context, graphql.CollectedField) (any, *gqlerror.Error) {
				return e, e.failed
			})
			return &graphql.Response{Data: b.Bytes()}
		}
	}
}

// source runs produce in a goroutine of its own, as a resolver does, until it returns; send is false
// when nobody listens any more.
func (s *Schema) source(ctx context.Context, produce func(send func(event) bool)) <-chan event {
	events := make(chan event)
	s.active.Add(1)
	go func() {
		defer close(events)
		defer s.active.Add(-1)
		produce(func(e event) bool {
			select {
			case events <- e:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return events
}

// produce sends the events of a field of Subscription.
func produce(ctx context.Context, name string, arguments map[string]any, send func(event) bool) {
	switch name {
	case "counter":
		for n := number(arguments["from"]); n <= number(arguments["to"]); n++ {
			wait(ctx, number(arguments["pause"]))
			if !send(event{number: n}) {
				return
			}
		}
	case "endless":
		text := text(number(arguments["size"]))
		for n := 1; ; n++ {
			wait(ctx, number(arguments["pause"]))
			if !send(event{number: n, text: text}) {
				return
			}
		}
	case "silent", "private":
		<-ctx.Done()
	case "stumbles":
		_ = send(event{number: 1}) &&
			send(event{failed: failure(codes.NotFound, "the second is missing")}) &&
			send(event{number: 3})
	case "breaks":
		_ = send(event{number: 1}) && send(event{broken: failure(codes.CursorExpired, "begin anew")})
	case "panics":
		_ = send(event{number: 1}) && send(event{panics: true})
	}
}

// wait returns after so many milliseconds, or when ctx ends.
func wait(ctx context.Context, milliseconds int) {
	if milliseconds <= 0 {
		return
	}
	timer := time.NewTimer(time.Duration(milliseconds) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// maxSize is the longest text in an answer, in bytes, so that fuzzing does not fill the memory.
const maxSize = 1 << 20

// text is one of so many bytes.
func text(size int) string { return strings.Repeat("x", max(0, min(size, maxSize))) }

// number is the value of an argument of type Int, or 0.
func number(value any) int {
	n, err := graphql.UnmarshalInt(value)
	if err != nil {
		return 0
	}
	return n
}

// resolver returns the value of a field, or why there is none.
type resolver func(context.Context, graphql.CollectedField) (any, *gqlerror.Error)

// object writes the selected fields of an object. A field that fails is null.
func object(ctx context.Context, b *bytes.Buffer, set ast.SelectionSet, typeName string, resolve resolver) {
	b.WriteByte('{')
	for i, field := range graphql.CollectFields(graphql.GetOperationContext(ctx), set, []string{typeName}) {
		if i > 0 {
			b.WriteByte(',')
		}
		scalar(b, field.Alias)
		b.WriteByte(':')
		if field.Name == "__typename" {
			scalar(b, typeName)
			continue
		}
		value, failed := resolve(ctx, field)
		if failed != nil {
			failed.Path = ast.Path{ast.PathName(field.Alias)}
			graphql.AddError(ctx, failed)
			value = nil
		}
		if e, ok := value.(event); ok {
			object(ctx, b, field.Selections, "Tick", e.resolve)
			continue
		}
		scalar(b, value)
	}
	b.WriteByte('}')
}

// resolve resolves the fields of Tick.
func (e event) resolve(_ context.Context, field graphql.CollectedField) (any, *gqlerror.Error) {
	if field.Name == "text" {
		return e.text, nil
	}
	return e.number, nil
}

func scalar(b *bytes.Buffer, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // of a value that came as JSON
	}
	b.Write(data)
}
