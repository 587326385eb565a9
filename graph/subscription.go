package graph

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/graph/generated"
	"roster/graph/model"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Feed is the change feed with the nodes of the schema.
type Feed = feed.Feed[ent.Node]

// LoadNodes returns the function by which a Feed reads nodes. It reads all columns, because subscribers select different
// fields.
func LoadNodes(db *database.DB) feed.Loader[ent.Node] {
	return func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]ent.Node, error) {
		mode := database.Single // each type has a statement
		if slices.ContainsFunc(ids, func(id typeid.ID) bool { return id.Type() != ids[0].Type() }) {
			mode = database.Snapshot
		}
		session := db.Session(mode)
		defer session.Rollback()
		ctx = rules.WithCaller(ctx, rules.Everyone())
		group, nodes := ent.NewClient(ent.Driver(session)).NodeGroup(ids), make(map[typeid.ID]ent.Node, len(ids))
		for _, id := range ids {
			n, err := group.Load(ctx, query.Everything, id)
			if err != nil {
				return nil, err
			}
			if n != nil {
				nodes[id] = n
			}
		}
		return nodes, session.Commit()
	}
}

// A subscription is a running subscription. gqlgen calls Changes once. Then it makes a response of each change in the
// channel, which holds one change. Nothing runs while nothing changes.
type subscription struct {
	executor  *Executor
	operation *documents.Operation
	source    *feed.Subscription[ent.Node]
	changes   chan *model.Change
	field     graphql.CollectedField
	after     bool // the client gave a cursor
}

var _ generated.SubscriptionResolver = (*subscription)(nil)

// Changes implements generated.SubscriptionResolver.
func (s *subscription) Changes(ctx context.Context, after *string, types []model.EntityType, nodeIDs []typeid.ID, actor *string) (<-chan *model.Change, error) {
	if err := mayFollow(ctx); err != nil {
		return nil, err
	}
	request, err := changesRequest(after, nil, types, nodeIDs, actor)
	if err != nil {
		return nil, err
	}
	node := slices.ContainsFunc(graphql.CollectFieldsCtx(ctx, []string{"Change"}), func(f graphql.CollectedField) bool { return f.Name == "node" })
	s.source, err = s.executor.Feed.Subscribe(ctx, request, node)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, s.source.Close)
	s.field, s.after = graphql.GetFieldContext(ctx).Field, after != nil
	return s.changes, nil
}

// Subscribe starts a subscription, or returns a response with the errors that keep it from starting. A subscription has
// no transaction and no time limit: each event is an operation of its own. next waits for the next response. A response
// is valid until the next call. A response without data is the last one. next returns nil when ctx is done.
func (e *Executor) Subscribe(ctx context.Context, o *documents.Operation) (next func() *graphql.Response, failure *graphql.Response) {
	ctx = e.withOperation(ctx, o)
	finish := func(response *graphql.Response) *graphql.Response {
		if response != nil {
			e.tidyErrors(ctx, response)
			e.addCost(o, response)
		}
		return response
	}
	if refused := e.authorize(ctx, ""); refused != nil {
		return nil, finish(refused)
	}
	s := &subscription{executor: e, operation: o, changes: make(chan *model.Change, 1)}
	resolver := *e.resolver
	resolver.subscription = s
	beginning := graphql.WithResponseContext(ctx, publicError, recovered)
	responses := executable(e.schema, &resolver).Exec(beginning)
	if errs := graphql.GetErrors(beginning); len(errs) > 0 {
		return nil, finish(&graphql.Response{Errors: errs})
	}
	return func() *graphql.Response { return finish(s.event(ctx, responses)) }, nil
}

// event waits for the next change and returns its response, or nil when ctx is done. A response without data is the last.
func (s *subscription) event(ctx context.Context, responses graphql.ResponseHandler) *graphql.Response {
	e, err := s.source.Next(ctx)
	if ctx.Err() != nil {
		return nil
	}
	// gqlgen omits the field from the context of events, and so from the paths of errors.
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: "Subscription", Field: s.field})
	if errors.Is(err, feed.ErrExpired) && s.after {
		err = fault(expired(), "after")
	}
	if err != nil {
		return &graphql.Response{Errors: gqlerror.List{publicError(ctx, err)}}
	}
	respond := func(ctx context.Context, started time.Time, adopt bool) *graphql.Response {
		response, _ := s.executor.run(ctx, documents.Terms{}, started, func(ctx context.Context) *graphql.Response {
			nodes := attemptFrom(ctx).ent.NodeGroup([]typeid.ID{e.NodeID})
			if adopt {
				nodes.Adopt(e.NodeID, e.Node)
			}
			change := changeOf(&e.Change, nodes)
			select {
			case <-s.changes: // an earlier attempt ended before it took the change
			default:
			}
			s.changes <- &change
			return answer(ctx, responses)
		})
		return response
	}
	response, _ := s.executor.observe(ctx, s.operation, func(ctx context.Context, started time.Time) (*graphql.Response, Way, documents.Receipt) {
		response := respond(ctx, started, e.Loaded)
		if e.Loaded && len(response.Errors) > 0 {
			// The node was read earlier, for all subscribers. An entity to which it has an edge may be deleted since. So read
			// both in one snapshot.
			response = respond(ctx, s.executor.Clock(), false)
		}
		return response, ByResolvers, documents.Receipt{}
	})
	if ctx.Err() != nil {
		return nil
	}
	if string(response.Data) == "null" { // end here: after another event, nobody would notice that this one is missing
		response.Data = nil
	}
	return response
}
