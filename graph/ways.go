package graph

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph/compiled"
	"roster/graph/model"
	"roster/internal/budget"
	"roster/internal/consistency"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/record"
	"roster/internal/typeid"
)

// A Way is a way to answer a query.
type Way string

// The ways. Mutations and subscriptions have only resolvers.
const (
	ByPlan      Way = "plan"               // by package compiled
	ByResolvers Way = "resolvers"          // the plan of the query is missing: it has a field that only resolvers know
	ByBoth      Way = "plan and resolvers" // by resolvers, after the plan met an error
)

// compiledOptions says what package compiled reads: all entities, and the fields that neither the schema of ent nor the
// contract explain.
func compiledOptions(schema *ast.Schema, declared map[string]declaration) *compiled.Options {
	return &compiled.Options{
		Schema:   schema,
		Kinds:    ent.Kinds(),
		Resolved: func(field string) bool { _, ok := declared[field]; return ok },
		Lookups:  map[string]compiled.Lookup{"Query.user": lookUpUser, "Viewer.user": lookUpViewer},
		Lists:    map[string]func(string) []string{"ApiKey.roles": rolesOf},
		Objects:  map[string]func(context.Context, typeid.ID) bool{"User.identity": seesIdentity},
		Callers:  map[string]func(context.Context) compiled.Caller{"Query.viewer": viewerOf},
	}
}

// lookUpUser is the Lookup of Query.user.
func lookUpUser(ctx context.Context, args map[string]any) (compiled.Search, error) {
	object, _ := args["by"].(map[string]any)
	by := model.UserBy{
		ID: graphql.OmittableOf(idIn(object)), Username: graphql.OmittableOf(textIn(object, "username")), Email: graphql.OmittableOf(textIn(object, "email")),
	}
	if identity, ok := object["identity"].(map[string]any); ok {
		issuer, subject := textIn(identity, "issuer"), textIn(identity, "subject")
		if issuer == nil || subject == nil {
			return compiled.Search{}, errMistyped
		}
		by.Identity = graphql.OmittableOf(&rules.Identity{Issuer: *issuer, Subject: *subject})
	}
	s, err := userBy(ctx, by)
	switch id := by.ID.Value(); {
	case err != nil:
		return compiled.Search{}, err
	case id != nil && id.Type() != user.Label, id == nil && s.column == "":
		return compiled.Search{}, errMistyped
	case id != nil:
		return compiled.Search{ID: *id}, nil
	}
	search := compiled.Search{Column: s.column, Texts: s.texts, Columns: s.columns}
	if s.columns != 0 { // otherwise the first user is taken
		search.Choose = func(rows int, text func(row int, column string) string) int {
			users := make([]*ent.User, rows)
			for i := range users {
				users[i] = chosenFrom(s.columns, func(column string) string { return text(i, column) })
			}
			return slices.Index(users, s.choose(users))
		}
	}
	return search, nil
}

// errMistyped says that an argument is not of its type. Resolvers report it.
var errMistyped = errors.New("graph: an argument is not of its type")

func idIn(object map[string]any) *typeid.ID {
	value, ok := object["id"]
	if !ok || value == nil {
		return nil
	}
	id := new(typeid.ID)
	_ = id.UnmarshalGQL(value) // it has no error
	return id
}

func textIn(object map[string]any, name string) *string {
	text, ok := object[name].(string)
	if !ok {
		return nil
	}
	return new(text)
}

// chosenFrom returns a user with the columns by which userSearch chooses.
func chosenFrom(columns query.Columns, text func(column string) string) *ent.User {
	u := new(ent.User)
	if columns.Has(ent.UserTable, user.FieldEmailKey) {
		u.Email, u.EmailKey = text(user.FieldEmail), text(user.FieldEmailKey)
	}
	if columns.Has(ent.UserTable, user.FieldIdentitySubject) {
		u.IdentityIssuer, u.IdentitySubject = new(text(user.FieldIdentityIssuer)), new(text(user.FieldIdentitySubject))
	}
	return u
}

// lookUpViewer is the Lookup of Viewer.user.
func lookUpViewer(ctx context.Context, _ map[string]any) (compiled.Search, error) {
	return compiled.Search{ID: rules.CallerFrom(ctx).User}, nil
}

// viewerOf returns the fields of the Viewer, or nil.
func viewerOf(ctx context.Context) compiled.Caller {
	v := viewer(ctx)
	if v == nil {
		return nil
	}
	return compiled.Caller{"subject": v.Subject, "roles": textsOf(v.Roles)}
}

func rolesOf(list string) []string { return textsOf(rules.RoleList(list).Roles()) }

func textsOf(roles []rules.Role) []string {
	texts := make([]string, len(roles))
	for i, r := range roles {
		texts[i] = string(r)
	}
	return texts
}

// A plan is what the executor keeps with a document for one of its operations.
type plan struct {
	mode     database.Mode
	compiled *compiled.Plan // nil if package compiled does not know a field
	// variables are those of @skip and @include. If there are any, each set of their values has a plan of its own.
	variables []string
}

// planOf returns the plan of a query.
func (e *Executor) planOf(o *documents.Operation) *plan {
	key := strconv.Itoa(slices.Index(o.Parsed.Operations, o.Definition)) // a name can be long
	p := e.keep(o, key, func() (*plan, int64) { return e.newPlan(o) })
	if len(p.variables) == 0 {
		return p
	}
	values := make([]byte, 0, len(key)+1+len(p.variables))
	values = append(append(values, key...), ' ')
	for _, v := range p.variables {
		if o.Variables[v] == true {
			values = append(values, '1')
		} else {
			values = append(values, '0')
		}
	}
	return e.keep(o, string(values), func() (*plan, int64) { return e.compile(o, p.mode) })
}

// bytesPerPlan is the approximate memory of a plan without its compiled plan.
const bytesPerPlan = 256

func (e *Executor) keep(o *documents.Operation, key string, create func() (*plan, int64)) *plan {
	return o.Keep(key, func() (any, int64) { return create() }).(*plan) //nolint:errcheck // nothing else is kept
}

// newPlan returns the plan of an operation that has none.
func (e *Executor) newPlan(o *documents.Operation) (*plan, int64) {
	mode := e.sessionMode(o.Definition)
	if variables := conditional(o.Parsed); len(variables) > 0 {
		return &plan{mode: mode, variables: variables}, bytesPerPlan
	}
	return e.compile(o, mode)
}

func (e *Executor) compile(o *documents.Operation, mode database.Mode) (*plan, int64) {
	p := &plan{mode: mode}
	c, err := e.reads.Compile(o.Parsed, o.Definition, o.Variables)
	if err != nil { // only resolvers know the operation
		return p, bytesPerPlan
	}
	p.compiled = c
	return p, bytesPerPlan + c.Size
}

// conditional returns the variables of all @skip and @include of a document.
func conditional(doc *ast.QueryDocument) (names []string) {
	var add func(ast.SelectionSet)
	of := func(directives ast.DirectiveList) {
		for _, d := range directives {
			for _, a := range d.Arguments {
				if a.Value.Kind == ast.Variable && !slices.Contains(names, a.Value.Raw) {
					names = append(names, a.Value.Raw)
				}
			}
		}
	}
	add = func(set ast.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				of(s.Directives)
				add(s.SelectionSet)
			case *ast.InlineFragment:
				of(s.Directives)
				add(s.SelectionSet)
			case *ast.FragmentSpread:
				of(s.Directives)
			}
		}
	}
	for _, o := range doc.Operations {
		add(o.SelectionSet)
	}
	for _, f := range doc.Fragments {
		add(f.SelectionSet)
	}
	return names
}

// read answers a query by its plan, which started at a time. The response is nil if there is no plan, if the caller in ctx may
// not select all fields, or after an error. Then resolvers answer the query from its start: they are the author of all errors,
// except after a long wait for the database, which they would repeat.
//
// A stranger may read nothing, and its documents are not kept. So it gets no plan: its documents stay cheap.
func (e *Executor) read(ctx context.Context, o *documents.Operation, after consistency.Position, started time.Time) (*graphql.Response, Way) {
	caller := rules.CallerFrom(ctx)
	if !e.CompiledReads || stranger(caller) {
		return nil, ByResolvers
	}
	p := e.planOf(o)
	if p.compiled == nil || !e.mayRead(caller, p.compiled.Fields) {
		return nil, ByResolvers
	}
	answer := budget.FromContext(ctx)
	answer.Reset()
	answer.Expect(o.Cost * compiled.BytesPerObject)
	data, err := e.runPlan(ctx, p, o.Variables, after)
	for errors.Is(answer.Err(), budget.ErrBusy) { // resolvers would need more memory, and wait for it too
		if err := answer.Wait(ctx); err != nil {
			response := failed(ctx, err)
			e.tidyErrors(ctx, response)
			return response, ByPlan
		}
		data, err = e.runPlan(ctx, p, o.Variables, after)
	}
	if panicked, ok := errors.AsType[*compiled.PanicError](err); ok {
		e.Logger.ErrorContext(ctx, "compiled read failed", "error", err, "stack", string(panicked.Stack))
	}
	if database.AsFailure(err) != nil && e.Clock().Sub(started) >= maxRetry {
		response := failed(ctx, err)
		e.tidyErrors(ctx, response)
		return response, ByPlan
	}
	if err != nil {
		return nil, ByBoth
	}
	return &graphql.Response{Data: data}, ByPlan
}

// runPlan makes one attempt at a plan, in a session of its own. If a replica fails meanwhile, the primary gets another attempt.
// runPlan returns the data.
func (e *Executor) runPlan(ctx context.Context, p *plan, variables map[string]any, after consistency.Position) ([]byte, error) {
	session := e.Database.ReadSession(p.mode, after)
	data, err := e.runPlanIn(ctx, p, variables, session)
	if err != nil && session.FailedOnReplica() && ctx.Err() == nil {
		record.FromContext(ctx).Retried()
		budget.FromContext(ctx).Reset()
		data, err = e.runPlanIn(ctx, p, variables, e.Database.PrimarySession(p.mode, after))
	}
	return data, err
}

func (e *Executor) runPlanIn(ctx context.Context, p *plan, variables map[string]any, session *database.Session) ([]byte, error) {
	defer session.Rollback() // does nothing after a commit
	data, err := e.reads.Run(ctx, p.compiled, session, variables)
	if err != nil {
		return nil, err
	}
	_ = session.Commit() // a failed commit does not make wrong what was read
	return data, budget.FromContext(ctx).Data(int64(len(data)))
}
