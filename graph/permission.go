package graph

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/ent/rules"
	"roster/internal/codes"
	"roster/internal/typeid"
)

// A permission says what a caller must be allowed to do to select a root field: an action on some rows of a type.
type permission struct {
	action rules.Action
	kind   string // the name of the type in GraphQL
	all    bool   // the action must be allowed on all rows of the type
	bulk   bool   // as all: the field writes many rows
	public bool   // no permission is needed
	secret bool   // the answer has a secret, which the server must not store
}

// permissions declares the permission of each root field. An ADMIN may select every field. Other callers may not select a
// field that is missing here, and TestPermissions finds it. A field that checks rows too, such as updatePost, needs the
// permission for some rows here.
func permissions() map[string]permission {
	some := func(a rules.Action, kind string) permission { return permission{action: a, kind: kind} }
	bulk := func(a rules.Action, kind string) permission { return permission{action: a, kind: kind, bulk: true} }
	all := func(a rules.Action, kind string) permission { return permission{action: a, kind: kind, all: true} }
	return map[string]permission{
		"Query.viewer":        {public: true},
		"Query.node":          some(rules.Read, "User"), // null for other types that the caller may not read
		"Query.nodes":         some(rules.Read, "User"),
		"Query.user":          some(rules.Read, "User"),
		"Query.users":         some(rules.Read, "User"),
		"Query.post":          some(rules.Read, "Post"),
		"Query.posts":         some(rules.Read, "Post"),
		"Query.changes":       all(rules.Read, "Change"),
		"Query.changesCursor": all(rules.Read, "Change"),
		"Query.stats":         all(rules.Read, "Stats"),
		"Query.apiKeys":       all(rules.Read, "ApiKey"),

		"Mutation.createUser":   some(rules.Create, "User"),
		"Mutation.updateUser":   some(rules.Update, "User"),
		"Mutation.deleteUser":   some(rules.Delete, "User"),
		"Mutation.createUsers":  bulk(rules.Create, "User"),
		"Mutation.updateUsers":  bulk(rules.Update, "User"),
		"Mutation.deleteUsers":  bulk(rules.Delete, "User"),
		"Mutation.upsertUsers":  bulk(rules.Update, "User"), // and create
		"Mutation.createPost":   some(rules.Create, "Post"),
		"Mutation.createPosts":  bulk(rules.Create, "Post"),
		"Mutation.updatePost":   some(rules.Update, "Post"),
		"Mutation.deletePost":   some(rules.Delete, "Post"),
		"Mutation.createApiKey": {action: rules.Create, kind: "ApiKey", all: true, secret: true},
		"Mutation.revokeApiKey": all(rules.Update, "ApiKey"),

		"Subscription.changes": all(rules.Read, "Change"),
	}
}

// err returns a *rules.ForbiddenError if a caller does not have the permission.
func (p permission) err(c rules.Caller) error {
	least := rules.Own
	if p.all || p.bulk {
		least = rules.Everything
	}
	if rules.Reach(c, p.action, p.kind) >= least {
		return nil
	}
	return &rules.ForbiddenError{Action: p.action, Type: p.kind, Bulk: p.bulk, Nobody: c.Nobody()}
}

// authorize checks the permissions of the caller in ctx for the root fields of an operation. It runs before the operation,
// so a field that is not allowed does not look at its arguments. It returns nil if the operation may run. Otherwise it
// returns the response: without data if the whole operation is refused, or else with null. key is the idempotency key.
func (e *Executor) authorize(ctx context.Context, key string) *graphql.Response {
	c := rules.CallerFrom(ctx)
	if c.Has(rules.Admin) && key == "" {
		return nil
	}
	operation := graphql.GetOperationContext(ctx)
	kind := operation.Operation.Operation
	root := rootOf(e.schema, kind).Name
	fields := graphql.CollectFields(operation, operation.Operation.SelectionSet, []string{root})
	if refused := e.permit(ctx, c, kind, root, fields); refused != nil {
		return refused
	}
	for _, f := range fields {
		if e.permissions[root+"."+f.Name].secret && key != "" {
			const message = "the answer has a secret, which is never stored: send the request without Idempotency-Key"
			return refuse(at(ctx, root, f), codes.BadRequest, message)
		}
	}
	return nil
}

// mayRead reports whether a caller may select all the fields of Query.
func (e *Executor) mayRead(c rules.Caller, fields []string) bool {
	code, _ := outside(c)
	return c.Has(rules.Admin) || !slices.ContainsFunc(fields, func(name string) bool {
		p := e.permissionOf("Query", name)
		return !p.public && (p.err(c) != nil || code != "" && !c.Reader)
	})
}

// refuse returns the response of an operation that is not executed. ctx has the field that is the reason.
func refuse(ctx context.Context, code codes.Code, message string) *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{{Message: message, Locations: place(ctx), Extensions: map[string]any{"code": code}}}}
}

// at returns a context with a root field, for the place of an error.
func at(ctx context.Context, root string, f graphql.CollectedField) context.Context {
	return graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: root, Field: f})
}

// permit is authorize for the permissions of the fields.
func (e *Executor) permit(ctx context.Context, c rules.Caller, kind ast.Operation, root string, fields []graphql.CollectedField) *graphql.Response {
	if c.Has(rules.Admin) {
		return nil
	}
	forbidden := map[string]error{} // by the name of the field in the response
	null := kind != ast.Query
	response := &graphql.Response{}
	code, message := outside(c)
	for _, f := range fields {
		p := e.permissionOf(root, f.Name)
		err := p.err(c)
		if p.public || err == nil && (code == "" || c.Reader) {
			continue
		}
		ctx := at(ctx, root, f)
		if code != "" {
			return refuse(ctx, code, message)
		}
		response.Errors = append(response.Errors, publicError(ctx, err))
		forbidden[f.Alias], null = err, null || f.Definition.Type.NonNull
	}
	switch {
	case len(forbidden) == 0:
		return nil
	case kind == ast.Subscription:
		return response
	case null:
		response.Data = json.RawMessage("null")
		return response
	}
	graphql.GetOperationContext(ctx).RootResolverMiddleware = func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
		field := graphql.GetRootFieldContext(ctx).Field
		if err := forbidden[field.Alias]; err != nil {
			graphql.AddError(at(ctx, root, field), err)
			return graphql.Null
		}
		return resolveRoot(ctx, next)
	}
	return nil
}

// refuseWhole refuses a whole operation of an anonymous caller, if an argument of a field asks for more than it may read.
// Fields run at the same time, so the first of them in the document is the reason.
func refuseWhole(response *graphql.Response) {
	slices.SortStableFunc(response.Errors, inDocument)
	for _, err := range response.Errors {
		if err.Extensions["code"] == codes.Unauthenticated {
			err.Path = nil
			response.Data, response.Errors = nil, gqlerror.List{err}
			return
		}
	}
}

// permissionOf returns the permission of a root field. Nobody but an ADMIN has that of a field that is not declared.
func (e *Executor) permissionOf(root, field string) permission {
	if strings.HasPrefix(field, "__") {
		return permission{public: true}
	}
	name := root + "." + field
	if p, ok := e.permissions[name]; ok {
		return p
	}
	return permission{action: rules.Read, kind: name, all: true}
}

// outside returns the code and the message of the refusal of a whole operation, or no code: a caller with permissions
// gets the answers of the fields that it may select.
func outside(c rules.Caller) (codes.Code, string) {
	switch user, key := c.User != (typeid.ID{}), c.Key != (typeid.ID{}); {
	case c.Nobody():
		return codes.Unauthenticated, credentials
	case !c.Has(rules.Member):
		return codes.Forbidden, "the caller has no role on this server, so it may only select viewer: ask an administrator for a role"
	case !user && !key:
		return codes.Forbidden, "no user has the identity of the caller, so it may only select viewer: ask an administrator to set it"
	}
	return "", ""
}

// credentials tells a caller without credentials what to do.
const credentials = "this needs credentials: send the header Authorization with Bearer and a token or an API key"

// rootOf returns the type of the root fields of an operation.
func rootOf(schema *ast.Schema, kind ast.Operation) *ast.Definition {
	switch kind {
	case ast.Mutation:
		return schema.Mutation
	case ast.Subscription:
		return schema.Subscription
	case ast.Query:
	}
	return schema.Query
}
