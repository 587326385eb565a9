package graph

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/ent"
	"roster/internal/budget"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/limits"
)

// Bounds of the retries of one operation.
const (
	maxRetries = 3
	maxRetry   = 2 * time.Second
)

// An attempt is one try at one operation. A retry makes a new one.
type attempt struct {
	session   *database.Session
	directory *directory.Transaction // of the session
	ent       *ent.Client
	failed    bool           // a field of the mutation has failed
	answer    *budget.Answer // what its answer is counted on
	pages     *changesPages  // of the feed
	// entry is where the answer is stored; nil when the request has no idempotency key.
	entry  *idempotency.Entry
	stored []byte // the data of the answer to an earlier request; it is answered and nothing is done
}

type attemptKey struct{}

// attemptFrom returns the attempt that a resolver works in.
func attemptFrom(ctx context.Context) *attempt {
	return ctx.Value(attemptKey{}).(*attempt) //nolint:errcheck,forcetypeassert // a resolver without one is a bug
}

// run tries until the operation succeeds, fails for a reason of its own, or is not to be tried again. Of a subscription,
// each event is an operation. replayed says that the response is the answer to an earlier request with the key.
func (e *Executor) run(ctx context.Context, key string, execute graphql.ResponseHandler) (response *graphql.Response, replayed bool) {
	ctx, cancel := context.WithTimeout(ctx, e.RequestTimeout)
	defer cancel()
	operation := graphql.GetOperationContext(ctx)
	mode := e.sessionMode(operation)
	started := e.Clock()
	entry, err := entryOf(ctx, key)
	if err != nil {
		return failed(ctx, err), false
	}
	answer := budget.FromContext(ctx)
	pages := &changesPages{most: maxChanges}
	careful, reconnected := false, false
	answer.Reset()
	for retries := 0; ; retries++ {
		session := e.Database.Session(mode)
		tx := directory.New(session, directory.Options{Clock: e.Clock, IDs: e.IDs, Careful: careful})
		a := &attempt{session: session, directory: tx, ent: tx.Client(), entry: entry, answer: answer, pages: pages}
		response, failure := e.try(ctx, a, mode, execute)
		if ctx.Err() == nil && a.fits(ctx) {
			retries--
			continue
		}
		if failure == nil {
			return response, a.stored != nil
		}
		again := retries < maxRetries && ctx.Err() == nil && e.Clock().Sub(started) < maxRetry
		switch failure.Kind {
		case database.Retry:
			again = again && e.pause(ctx, retries)
		case database.Unique, database.ForeignKey:
			careful = true
		case database.Lost, database.ReadOnly: // a connection from before the database went away, or became a standby
			again = again && !reconnected
			reconnected = true
		default:
			again = false
		}
		if !again {
			return response, false
		}
		answer.Reset()
	}
}

// fits reports whether another attempt may fit into the memory that is too small for this one: after a wait, or with
// shorter pages of changes.
func (a *attempt) fits(ctx context.Context) bool {
	if errors.Is(a.answer.Err(), budget.ErrBusy) {
		return a.answer.Wait(ctx) == nil
	}
	if !a.pages.shorten(graphql.GetOperationContext(ctx), a.answer) {
		return false
	}
	a.answer.Reset()
	return true
}

// try makes one attempt. The failure is the first that the database reported; the next attempt may not meet it.
func (e *Executor) try(ctx context.Context, a *attempt, mode database.Mode, execute graphql.ResponseHandler) (*graphql.Response, *database.Failure) {
	defer a.session.Rollback() // what is not committed below; after a panic too
	if follows(graphql.GetOperationContext(ctx)) {
		// The operation reads all changes that are committed now, so they need their numbers first.
		var err error
		if a.pages.more, err = feed.NumberSome(ctx, e.Database); err != nil {
			return failed(ctx, err), database.AsFailure(err)
		}
	}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	response := a.respond(ctx, execute, e.Clock)
	if a.stored != nil { // nothing was written
		return response, nil
	}
	failure := a.session.Failure()
	if failure == nil && (mode != database.Write || len(response.Errors) == 0) {
		err := a.commit(ctx, response)
		if a.directory.Changed() && err == nil {
			e.Committed()
		}
		if err == nil || mode != database.Write { // what was read is right, whatever became of the transaction
			return response, nil
		}
		response.Errors = gqlerror.List{publicError(ctx, err)}
		failure = database.AsFailure(err)
	}
	if mode == database.Write && len(response.Errors) > 0 {
		response.Data = json.RawMessage("null")
	}
	return response, failure
}

// respond runs the operation. Its first statement claims the idempotency key, when the request has one.
func (a *attempt) respond(ctx context.Context, execute graphql.ResponseHandler, clock func() time.Time) *graphql.Response {
	if a.entry != nil {
		var err error
		a.stored, err = a.entry.Claim(ctx, a.session, clock())
		if err == nil {
			err = a.answer.Hold(int64(len(a.stored)))
		}
		if err != nil {
			return failed(ctx, err)
		}
	}
	response := &graphql.Response{Data: a.stored}
	if a.stored == nil {
		response = execute(ctx)
	}
	if err := a.answer.Data(int64(len(response.Data))); err != nil {
		return failed(ctx, err)
	}
	return response
}

// commit commits. The answer under the idempotency key is written at the very end.
func (a *attempt) commit(ctx context.Context, response *graphql.Response) error {
	if a.entry == nil {
		return a.directory.Commit(ctx, nil)
	}
	return a.directory.Commit(ctx, func(ctx context.Context) error { return a.entry.Store(ctx, a.session, response.Data) })
}

// failed is the response of an operation that ended with an error of its own.
func failed(ctx context.Context, err error) *graphql.Response {
	return &graphql.Response{Data: json.RawMessage("null"), Errors: gqlerror.List{publicError(ctx, err)}}
}

// pause waits before the next attempt, twice as long each time; false when the operation's time is over.
func (e *Executor) pause(ctx context.Context, retries int) bool {
	timer := time.NewTimer(time.Duration(float64(10*time.Millisecond<<retries) * (0.5 + e.Jitter())))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// resolveRoot resolves a root field. After a field of a mutation has failed, the ones after it are not run: nothing of
// them would stay.
func resolveRoot(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
	a := attemptFrom(ctx)
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Mutation {
		return writeRoot(a.answer, next(ctx))
	}
	if a.failed {
		return graphql.Null
	}
	m := writeRoot(a.answer, next(ctx))
	a.failed = m == graphql.Null // every field of Mutation is non-null
	return m
}

// sessionMode says what transaction an operation needs: several statements of a query read one snapshot, one needs
// no transaction.
func (e *Executor) sessionMode(o *graphql.OperationContext) database.Mode {
	if o.Operation.Operation == ast.Mutation {
		return database.Write
	}
	c := &statementCount{of: e.statements, fragments: map[string]int{}, event: o.Operation.Operation == ast.Subscription}
	if c.count(o.Operation.SelectionSet) > 1 {
		return database.Snapshot
	}
	return database.Single
}

// statementCount counts the statements that bound a query. The document alone gives them: they never grow with rows.
type statementCount struct {
	of        map[limits.Field]int // of one field
	fragments map[string]int       // each is counted once: fragments that double each other would take for ever
	event     bool                 // of a subscription, which has its change already
}

// many is more than any document needs to be told apart from one.
const many = 1 << 20

func (c *statementCount) count(set ast.SelectionSet) int {
	n := 0
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			n += c.field(s) + c.count(s.SelectionSet)
		case *ast.InlineFragment:
			n += c.count(s.SelectionSet)
		case *ast.FragmentSpread:
			of, ok := c.fragments[s.Name]
			if !ok {
				of = c.count(s.Definition.SelectionSet)
				c.fragments[s.Name] = of
			}
			n += of
		}
		n = min(n, many)
	}
	return n
}

// field is how many statements a field sends itself, at most.
func (c *statementCount) field(f *ast.Field) int {
	n := c.of[limits.Field{Type: f.ObjectDefinition.Name, Name: f.Name}]
	if c.event { // the type of its one node is known
		n = min(n, 1)
	}
	return n
}
