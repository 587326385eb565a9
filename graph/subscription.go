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
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Feed is the change feed with the nodes of the schema.
type Feed = feed.Feed[ent.Node]

// LoadNodes returns how a Feed reads nodes: with all columns, for whoever may read them later.
func LoadNodes(db *database.DB) feed.Loader[ent.Node] {
	return func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]ent.Node, error) {
		session := db.Session(database.Snapshot)
		defer session.Rollback()
		list, err := ent.NewClient(ent.Driver(session)).Nodes(rules.WithCaller(ctx, rules.Everyone()), query.Everything, ids)
		if err != nil {
			return nil, err
		}
		nodes := make(map[typeid.ID]ent.Node, len(ids))
		for i, n := range list {
			if n != nil {
				nodes[ids[i]] = n
			}
		}
		return nodes, session.Commit()
	}
}

// A subscription is a subscription under way. gqlgen calls Changes at the start. Then it makes a response of each
// change in the channel. The channel holds one change; nothing runs while nothing changes.
type subscription struct {
	executor *Executor
	source   *feed.Subscription[ent.Node] // of the changes
	changes  chan *model.Change
	field    graphql.CollectedField
	after    bool // the client has named the cursor to begin after
}

var _ generated.SubscriptionResolver = (*subscription)(nil)

// Changes implements generated.SubscriptionResolver.
func (s *subscription) Changes(ctx context.Context, after *string, types []model.EntityType, nodeIDs []typeid.ID) (<-chan *model.Change, error) {
	if err := mayFollow(ctx); err != nil {
		return nil, err
	}
	request, err := changesRequest(after, nil, types, nodeIDs)
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

// Subscribe begins a subscription. It is no transaction and has no time limit, since it lasts as long as the client
// listens; each of its events is an operation. The function that it returns waits for the next response, which is valid
// until the one after it is asked for. A response without data is the last; nil means that the client has gone.
func (e *Executor) Subscribe(ctx context.Context, o *documents.Operation) (next func() *graphql.Response) {
	ctx = e.withOperation(ctx, o)
	s := &subscription{executor: e, changes: make(chan *model.Change, 1)}
	resolver := *e.resolver
	resolver.subscription = s
	beginning := graphql.WithResponseContext(ctx, publicError, recovered)
	responses := executable(e.schema, &resolver).Exec(beginning)
	errs := graphql.GetErrors(beginning)
	return func() *graphql.Response {
		response := &graphql.Response{Errors: errs}
		if len(errs) == 0 {
			response = s.event(ctx, responses)
		}
		if response != nil {
			e.tidyErrors(ctx, response)
			e.addCost(o, response)
		}
		return response
	}
}

// event waits for the next change and returns its response; nil when the client has gone. One without data is the last.
func (s *subscription) event(ctx context.Context, responses graphql.ResponseHandler) *graphql.Response {
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
		return &graphql.Response{Errors: gqlerror.List{publicError(ctx, err)}}
	}
	respond := func(adopt bool) *graphql.Response {
		response, _ := s.executor.run(ctx, "", func(ctx context.Context) *graphql.Response {
			nodes := attemptFrom(ctx).ent.NodeGroup([]typeid.ID{e.NodeID})
			if adopt {
				nodes.Adopt(e.NodeID, e.Node)
			}
			change := changeOf(&e.Change, nodes)
			select {
			case <-s.changes: // of an attempt that was over before it began
			default:
			}
			s.changes <- &change
			return answer(ctx, responses)
		})
		return response
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
	return response
}
