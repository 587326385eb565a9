package graph

import (
	"strings"

	"roster/ent"
	"roster/ent/query"
	"roster/internal/limits"
)

// A declaration says about a field what the contract does not.
type declaration struct {
	// statements are those that the field sends itself, at most. They never grow with rows.
	statements int
	// surcharge is what the field costs beside the objects that it returns, once for each time that a document has it: for
	// a statement that reads rows which no page bounds.
	surcharge int64
	// maxPage is the largest page, where that is not query.MaxSize.
	maxPage int
}

// fields declares the fields that send statements, by type and name. Every field has to be here for which gqlgen calls
// a function with a context, but for those of Mutation, which always run in a transaction: TestDeclarations finds the ones
// that are missing.
func fields() map[string]declaration {
	none, one, scan := declaration{}, declaration{statements: 1}, declaration{statements: 1, surcharge: 1_000}
	return map[string]declaration{
		"Query.node":          one,
		"Query.nodes":         {statements: ent.NodeTypes},
		"Query.user":          one,
		"Query.users":         one,
		"Query.post":          one,
		"Query.posts":         one,
		"Query.changes":       {statements: 3, maxPage: maxChanges}, // the number, the state and the page
		"Query.changesCursor": one,
		"Query.stats":         none, // its fields do

		"User.posts":                one,
		"UserConnection.totalCount": scan,
		"Post.author":               one,
		"PostConnection.totalCount": scan,
		"DeletePostPayload.author":  one,

		"Stats.userCount":         scan,
		"Stats.postCount":         scan,
		"Stats.usersWithoutPosts": scan,
		"Stats.signUps":           scan,

		"Subscription.changes": none, // each event is an operation that begins with its change
		"Change.node":          {statements: ent.NodeTypes},
	}
}

// conditions declares the surcharge of each condition of a filter, by type and name: what a statement costs whose
// condition no index finds.
func conditions() map[string]int64 {
	return map[string]int64{
		"IDFilter.eq": 0,
		"IDFilter.in": 0,

		"TextFilter.eq":         0,
		"TextFilter.in":         0,
		"TextFilter.startsWith": 0,
		"TextFilter.contains":   5_000,

		"DateTimeFilter.gt":  0,
		"DateTimeFilter.gte": 0,
		"DateTimeFilter.lt":  0,
		"DateTimeFilter.lte": 0,

		"UserWhere.hasPosts": 0,
	}
}

// statementsOf returns how many statements each field sends itself.
func statementsOf(declared map[string]declaration) map[limits.Field]int {
	statements := make(map[limits.Field]int, len(declared))
	for name, d := range declared {
		statements[fieldOf(name)] = d.statements
	}
	return statements
}

// prices returns what package limits has to know beside the contract.
func prices() limits.Prices {
	p := limits.Prices{
		Page:       query.DefaultSize,
		MaxPage:    query.MaxSize,
		MaxPages:   map[limits.Field]int{},
		List:       query.DefaultSize,
		Fields:     map[limits.Field]int64{},
		Conditions: map[string]int64{},
	}
	for name, d := range fields() {
		f := fieldOf(name)
		if d.surcharge > 0 {
			p.Fields[f] = d.surcharge
		}
		if d.maxPage > 0 {
			p.MaxPages[f] = d.maxPage
		}
	}
	for name, surcharge := range conditions() {
		if surcharge > 0 {
			p.Conditions[fieldOf(name).Name] = surcharge
		}
	}
	return p
}

// fieldOf reads a type and a name with a dot between them.
func fieldOf(name string) limits.Field {
	of, field, _ := strings.Cut(name, ".")
	return limits.Field{Type: of, Name: field}
}
