package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/rules"
	"roster/graph/model"
	"roster/internal/budget"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Bounds of one page of changes.
const (
	defaultChanges = 100
	maxChanges     = 1000
	maxChangeIDs   = 1000 // IDs of one filter
)

// Changes implements generated.QueryResolver.
func (r queryResolver) Changes(ctx context.Context, after *string, first *int, types []model.EntityType, nodeIDs []typeid.ID, actor *string) (*model.ChangePage, error) {
	if err := mayFollow(ctx); err != nil {
		return nil, err
	}
	request, err := changesRequest(after, first, types, nodeIDs, actor)
	if err != nil {
		return nil, err
	}
	a := attemptFrom(ctx)
	request.First = min(request.First, a.pages.most)
	read, err := feed.Read(ctx, a.session, request)
	if errors.Is(err, feed.ErrExpired) {
		return nil, fault(expired(), "after")
	}
	if err != nil {
		return nil, err
	}
	page := &model.ChangePage{Changes: make([]model.Change, len(read.Changes)), EndCursor: read.End.String(), CaughtUp: read.CaughtUp && !a.pages.more}
	ids := make([]typeid.ID, len(read.Changes))
	for i := range read.Changes {
		ids[i] = read.Changes[i].NodeID
	}
	a.pages.read(len(ids))
	nodes := a.ent.NodeGroup(ids)
	for i := range read.Changes {
		page.Changes[i] = changeOf(&read.Changes[i], nodes)
	}
	return page, nil
}

// changesPages bounds the pages of changes that an operation reads, and knows whether more changes follow. Pages get
// shorter when the answer is too large: a client can read on after a cursor.
type changesPages struct {
	most int  // changes on a page
	more bool // committed changes without a number may be left; the next query numbers them

	mu      sync.Mutex
	longest int // changes on a page of the last attempt
}

// read records the length of a page.
func (p *changesPages) read(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest = max(p.longest, n)
}

// shorten makes pages shorter after an answer was too large, and reports whether to try again. If the operation reads
// anything else, shorter pages may not help.
func (p *changesPages) shorten(o *graphql.OperationContext, answer *budget.Answer) bool {
	longest := p.longest
	p.longest = 0
	_, large := errors.AsType[*budget.TooLargeError](answer.Err())
	if !large || longest < 2 || o.Operation.Operation != ast.Query {
		return false
	}
	for _, f := range graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Query"}) {
		if f.Name != "changes" && f.Name != "changesCursor" && f.Name != "__typename" {
			return false
		}
	}
	p.most = longest / 2
	if fit := int(answer.Rows() * 3 / 4); fit > 0 { // of the rows that were read within the limit
		p.most = min(p.most, fit)
	}
	return true
}

// ChangesCursor implements generated.QueryResolver.
func (r queryResolver) ChangesCursor(ctx context.Context) (string, error) {
	if err := mayFollow(ctx); err != nil {
		return "", err
	}
	state, err := feed.ReadState(ctx, attemptFrom(ctx).session)
	if err != nil {
		return "", err
	}
	return state.End().String(), nil
}

// Node implements generated.ChangeResolver.
func (changeResolver) Node(ctx context.Context, c *model.Change) (ent.Node, error) {
	return c.Nodes.Load(ctx, nodesColumns(ctx), c.NodeID)
}

// mayFollow returns a *rules.ForbiddenError if the caller may not read the feed.
func mayFollow(ctx context.Context) error { return rules.Permit(ctx, rules.Read, "Change") }

// changesRequest checks the arguments of the query or the subscription. Only the query has first. The error is
// rules.Faults.
func changesRequest(after *string, first *int, types []model.EntityType, nodeIDs []typeid.ID, actor *string) (feed.Request, error) {
	r := feed.Request{First: defaultChanges, NodeIDs: nodeIDs, Actor: actor}
	var faults rules.Faults
	if after != nil {
		cursor, err := feed.ParseCursor(*after)
		if err != nil {
			faults.Add(&rules.Fault{Code: rules.CursorInvalid, Message: "is not a cursor of the changes"}, "after")
		}
		r.After = &cursor
	}
	if first != nil {
		r.First = *first
	}
	if r.First < 1 || r.First > maxChanges {
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be from 1 to %d", maxChanges)}, "first")
	}
	if types != nil {
		r.Types = []string{}
		for _, t := range types {
			r.Types = append(r.Types, strings.ToLower(string(t)))
		}
	}
	if len(nodeIDs) > maxChangeIDs {
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be at most %d IDs", maxChangeIDs)}, "nodeIds")
		nodeIDs = nil
	}
	for i, id := range nodeIDs {
		if !entityType(id).IsValid() {
			faults.Add(rules.MalformedID(""), "nodeIds", i)
		}
	}
	if actor != nil && (strings.IndexByte(*actor, 0) >= 0 || !utf8.ValidString(*actor)) { // which PostgreSQL refuses
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: "must be text without NUL"}, "actor")
	}
	return r, faults.Err()
}

// expired returns the fault of an expired cursor.
func expired() *rules.Fault {
	return &rules.Fault{
		Code:    rules.CursorExpired,
		Message: "is of another database, or older than the changes that are kept: " + newCopy,
	}
}

// newCopy tells a client with an expired cursor what to do.
const newCopy = "take a new copy of the data, with changesCursor"

// entityType returns the type of the entity with an ID.
func entityType(id typeid.ID) model.EntityType { return model.EntityType(strings.ToUpper(id.Type())) }

// changeOf returns a change as clients see it.
func changeOf(c *feed.Change, nodes *ent.NodeGroup) model.Change {
	out := model.Change{
		Cursor:        c.Cursor.String(),
		Type:          entityType(c.NodeID),
		NodeID:        c.NodeID,
		Kind:          model.ChangeKind(strings.ToUpper(string(c.Kind))),
		Version:       c.Version,
		ChangedFields: c.Fields,
		At:            c.At,
		Nodes:         nodes,
	}
	if c.Fields == nil {
		out.ChangedFields = []string{}
	}
	if c.Actor != "" {
		out.Actor = &c.Actor
	}
	return out
}

// follows reports whether an operation is a query that reads changes. Committed changes need their numbers first.
func follows(o *graphql.OperationContext) bool {
	return o.Operation.Operation == ast.Query && selects(o, "changes")
}

// selects reports whether a query selects one of the root fields.
func selects(o *graphql.OperationContext, names ...string) bool {
	return slices.ContainsFunc(graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Query"}), func(f graphql.CollectedField) bool {
		return slices.Contains(names, f.Name)
	})
}
