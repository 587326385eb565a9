package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/record"
)

// Bounds of the retries of one operation: their number, and the time after which none begins.
const (
	maxRetries = 3
	maxRetry   = 2 * time.Second
)

// An attempt runs one operation once. A retry makes a new attempt.
type attempt struct {
	session   *database.Session
	directory *directory.Transaction // of the session
	ent       *ent.Client
	failed    bool           // a field of the mutation has failed
	answer    *budget.Answer // the budget of the answer
	pages     *changesPages  // the bound of pages of changes
	// entry stores the answer. It is nil if the request has no idempotency key.
	entry  *idempotency.Entry
	stored []byte // the data of the answer to an earlier request with the key; the operation does not run again
}

type attemptKey struct{}

// attemptFrom returns the attempt that called a resolver.
func attemptFrom(ctx context.Context) *attempt {
	return ctx.Value(attemptKey{}).(*attempt) //nolint:errcheck // every resolver has one
}

// run runs an operation, or one event of a subscription, that has started at a time. It makes attempts until one succeeds or
// a retry does not help.
func (e *Executor) run(ctx context.Context, t documents.Terms, started time.Time, execute graphql.ResponseHandler) (*graphql.Response, documents.Receipt) {
	ctx, cancel := context.WithTimeout(ctx, e.RequestTimeout)
	defer cancel()
	operation := graphql.GetOperationContext(ctx)
	mode := e.sessionMode(operation.Operation)
	entry, err := entryOf(ctx, t.Key)
	if err != nil {
		return failed(ctx, err), documents.Receipt{}
	}
	answer := budget.FromContext(ctx)
	pages := &changesPages{most: maxChanges}
	careful, reconnected, replicas := false, false, mayReadReplica(operation)
	withPosition := !replicas && operation.Operation.Operation != ast.Subscription
	answer.Reset()
	for retries := 0; ; retries++ {
		session := e.session(mode, replicas, withPosition, t)
		tx := directory.New(session, directory.Options{Clock: e.Clock, IDs: e.IDs, Careful: careful, Quiet: true})
		a := &attempt{session: session, directory: tx, ent: tx.Client(), entry: entry, answer: answer, pages: pages}
		response, failure := e.try(ctx, a, mode, execute)
		if ctx.Err() == nil && a.fits(ctx) {
			retries--
			continue
		}
		if failure == nil {
			return response, a.receipt(ctx, response, withPosition)
		}
		if session.FailedOnReplica() && ctx.Err() == nil {
			replicas = false
			retries--
			record.FromContext(ctx).Retried()
			answer.Reset()
			continue
		}
		again := retries < maxRetries && ctx.Err() == nil && e.Clock().Sub(started) < maxRetry
		switch failure.Kind {
		case database.Retry:
			again = again && e.pause(ctx, retries)
		case database.Unique, database.ForeignKey:
			careful = true
		case database.Lost, database.ReadOnly: // the connection may be older than a restart, or than the change to a standby
			again = again && !reconnected
			reconnected = true
		default:
			again = false
		}
		if !again {
			return response, a.receipt(ctx, response, withPosition)
		}
		record.FromContext(ctx).Retried()
		answer.Reset()
	}
}

// session returns the session of an attempt. Its answer may come from a replica, or have a position.
func (e *Executor) session(mode database.Mode, replicas, withPosition bool, t documents.Terms) *database.Session {
	switch {
	case mode == database.Write:
		return e.Database.WriteSession(t.After)
	case replicas:
		return e.Database.ReadSession(mode, t.After)
	case withPosition:
		return e.Database.FeedSession(mode, t.After)
	}
	return e.Database.PrimarySession(mode, t.After)
}

// mayReadReplica reports whether a replica may answer an operation. Events of subscriptions come from the primary, and so does the
// end of the change feed: a subscriber must not get a cursor that the primary has left behind.
func mayReadReplica(o *graphql.OperationContext) bool {
	return o.Operation.Operation == ast.Query && !selects(o, "changes", "changesCursor")
}

// receipt returns the receipt of the last attempt. It can have a position: for each mutation, because an error such as
// STALE_VERSION also tells of rows that a replica may lack, and for each query of the change feed, because what a copy of the
// data lacks must not be before its cursor. A failure that says only to try again tells of no rows.
func (a *attempt) receipt(ctx context.Context, response *graphql.Response, withPosition bool) documents.Receipt {
	r := documents.Receipt{Replayed: a.stored != nil}
	if withPosition && (!isNull(response.Data) || !slices.ContainsFunc(response.Errors, isTransient)) {
		r.Position = a.session.Position(ctx)
	}
	return r
}

func isNull(data json.RawMessage) bool { return data == nil || string(data) == "null" }

func isTransient(err *gqlerror.Error) bool {
	code := err.Extensions["code"]
	return code == codes.Unavailable || code == codes.Timeout
}

// fits reports whether another attempt may fit into the memory, after this one did not: it waits for memory, or makes
// the pages of changes shorter.
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

// try makes one attempt. It returns the first failure that the database reported: another attempt may succeed.
func (e *Executor) try(ctx context.Context, a *attempt, mode database.Mode, execute graphql.ResponseHandler) (*graphql.Response, *database.Failure) {
	defer a.session.Rollback() // does nothing after a commit
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
		if a.directory.Committed() {
			e.Committed()
		}
		if err == nil || mode != database.Write { // a failed commit does not make wrong what was read
			return response, nil
		}
		response.Errors = gqlerror.List{publicError(ctx, err)}
		failure = database.AsFailure(err)
	}
	if mode == database.Write && len(response.Errors) > 0 && response.Data != nil { // without data, it is not executed
		response.Data = json.RawMessage("null")
	}
	return response, failure
}

// respond runs the operation. If the request has an idempotency key, the first statement claims it.
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

// commit commits the transaction. The last statement before it stores the answer under the idempotency key.
func (a *attempt) commit(ctx context.Context, response *graphql.Response) error {
	if a.entry == nil {
		return a.directory.Commit(ctx, nil)
	}
	return a.directory.Commit(ctx, func(ctx context.Context) error { return a.entry.Store(ctx, a.session, response.Data) })
}

// failed returns the response of an operation that failed as a whole.
func failed(ctx context.Context, err error) *graphql.Response {
	response := &graphql.Response{Data: json.RawMessage("null"), Errors: gqlerror.List{publicError(ctx, err)}}
	if errors.Is(err, idempotency.ErrAuthority) { // the operation is not executed
		response.Data = nil
	}
	return response
}

// pause waits before the next attempt, twice as long each time. It reports false when the operation's time is over.
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

// resolveRoot resolves a root field. After a field of a mutation has failed, the later fields do not run: the rollback
// would undo them.
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

// sessionMode returns the transaction that an operation needs: a snapshot for several statements of a query, none for
// one statement.
func (e *Executor) sessionMode(o *ast.OperationDefinition) database.Mode {
	switch {
	case o.Operation == ast.Mutation:
		return database.Write
	case statements(e.declared, o) > 1:
		return database.Snapshot
	}
	return database.Single
}

// statements returns the greatest number of statements of a query. It depends on the document alone, not on the rows.
func statements(declared map[string]declaration, o *ast.OperationDefinition) int64 {
	var sum *fieldSum
	sum = newFieldSum(func(f *ast.Field) int64 {
		n := declared[f.ObjectDefinition.Name+"."+f.Name].statements
		if o.Operation == ast.Subscription { // an event has one node, so its type is known
			n = min(n, 1)
		}
		return n + sum.add(f.SelectionSet)
	})
	return sum.add(o.SelectionSet)
}

// keyOwner returns a text that is equal for the requests of one caller. It is empty for a caller without a name.
func keyOwner(c rules.Caller) string {
	if c.Subject == "" {
		return ""
	}
	return fmt.Sprintf("%q %q", c.Issuer, c.Subject) // quoted, so that different callers have different texts
}

// entryOf returns the entry for the answer of the operation under a key. It is nil if the key is empty.
func entryOf(ctx context.Context, key string) (*idempotency.Entry, error) {
	if key == "" {
		return nil, nil
	}
	operation, caller := graphql.GetOperationContext(ctx), rules.CallerFrom(ctx)
	authority := caller.User.String()
	if caller.Has(rules.Admin) {
		authority = string(rules.Admin)
	}
	return idempotency.NewEntry(key, idempotency.Request{
		Caller:    keyOwner(caller),
		Authority: authority,
		Admin:     caller.Has(rules.Admin),
		Document:  operation.RawQuery,
		Operation: operation.Operation.Name,
		Variables: operation.Variables,
	})
}
