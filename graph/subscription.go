package graph

import (
	"context"
	"errors"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/graph/generated"
	"roster/graph/model"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Nodes returns what a feed.Feed loads nodes with: all columns, for whoever may read them later.
func Nodes(db *database.DB) func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]any, error) {
	return func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]any, error) {
		session := db.Session(database.Snapshot)
		defer session.Rollback()
		nodes, err := ent.NewClient(ent.Driver(session)).Nodes(rules.WithCaller(ctx, rules.Everyone()), query.Everything, ids)
		if err != nil {
			return nil, err
		}
		found := make(map[typeid.ID]any, len(ids))
		for i, n := range nodes {
			if n != nil {
				found[ids[i]] = n
			}
		}
		return found, session.Commit()
	}
}

// subscription is a subscription under way. gqlgen makes a response of each change that stands in its channel, which is
// one at a time: nothing runs while nothing has changed.
type subscription struct {
	changes chan *model.Change
	// These are set by the resolver, if it goes well.
	source *feed.Subscription
	field  graphql.CollectedField
	after  bool
}

type subscriptionKey struct{}

var _ generated.SubscriptionResolver = subscriptionResolver{}

// Changes implements generated.SubscriptionResolver.
func (r subscriptionResolver) Changes(ctx context.Context, after *string, types []model.EntityType, nodeIDs []typeid.ID) (<-chan *model.Change, error) {
	if err := mayFollow(ctx); err != nil {
		return nil, err
	}
	request, err := changesRequest(after, nil, types, nodeIDs)
	if err != nil {
		return nil, err
	}
	node := slices.ContainsFunc(graphql.CollectFieldsCtx(ctx, []string{"Change"}), func(f graphql.CollectedField) bool { return f.Name == "node" })
	source, err := r.feed.Subscribe(ctx, request, node)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, source.Close)
	s := ctx.Value(subscriptionKey{}).(*subscription) //nolint:errcheck,forcetypeassert // subscribe has put it there
	s.source, s.field, s.after = source, graphql.GetFieldContext(ctx).Field, after != nil
	return s.changes, nil
}

// subscribe begins a subscription. It is no transaction and has no time limit, since it lasts as long as the client
// listens; what each of its events reads is an operation of its own.
func (o *operations) subscribe(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	s := &subscription{changes: make(chan *model.Change, 1)}
	mode := sessionMode(graphql.GetOperationContext(ctx))
	responses := next(context.WithValue(ctx, subscriptionKey{}, s))
	return func(ctx context.Context) *graphql.Response {
		if s.source != nil {
			return o.event(ctx, s, mode, responses)
		}
		response := responses(ctx)
		if response == nil {
			return nil
		}
		return o.finish(ctx, response)
	}
}

// event waits for the next change and returns its response; nil when the client has gone. One without data is the last.
func (o *operations) event(ctx context.Context, s *subscription, mode database.Mode, responses graphql.ResponseHandler) *graphql.Response {
	e, err := s.source.Next(ctx)
	if ctx.Err() != nil {
		return nil
	}
	// gqlgen leaves the field out of the context of events, and so out of the paths of errors.
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: "Subscription", Field: s.field})
	if errors.Is(err, feed.ErrExpired) && s.after {
		err = fault(expired(), "after")
	}
	if err != nil {
		return o.finish(ctx, &graphql.Response{Errors: gqlerror.List{present(ctx, err)}})
	}
	respond := func(adopt bool) *graphql.Response {
		return o.run(ctx, mode, func(ctx context.Context) graphql.ResponseHandler {
			nodes := attemptFrom(ctx).ent.NodeGroup([]typeid.ID{e.NodeID})
			if adopt {
				n, _ := e.Node.(ent.Node)
				nodes.Adopt(e.NodeID, n)
			}
			change := changeOf(&e.Change, nodes)
			select {
			case <-s.changes: // of an attempt that was over before it began
			default:
			}
			s.changes <- &change
			return responses
		})
	}
	response := respond(e.Loaded)
	if e.Loaded && len(response.Errors) > 0 {
		// The node was read for all subscribers, and what it leads to may have gone since: read both in one moment.
		response = respond(false)
	}
	if ctx.Err() != nil {
		return nil
	}
	if string(response.Data) == "null" { // the next event would hide that this one is missing
		response.Data = nil
	}
	return o.finish(ctx, response)
}
