package graph

import (
	"strings"

	"roster/ent"
	"roster/ent/query"
	"roster/internal/limits"
)

// A declaration says what the schema does not say about a field.
type declaration struct {
	// statements is the greatest number of statements that the field sends itself. It does not depend on the rows.
	statements int64
	// surcharge is the cost of the field beside the objects that it returns, each time that a document has it. It pays for
	// a statement that reads more rows than a page has.
	surcharge int64
	// maxPage is the largest page, if it is larger than query.MaxSize.
	maxPage int
}

// fields declares the fields that send statements, by type and name: all fields for which gqlgen calls a function with a
// context. The fields of Mutation always run in a transaction and need no declaration. TestDeclarations finds missing
// fields.
func fields() map[string]declaration {
	none, one, scan := declaration{}, declaration{statements: 1}, declaration{statements: 1, surcharge: 1_000}
	compare := declaration{statements: 1, surcharge: 5_000} // reads two tables
	return map[string]declaration{
		"Query.node":          one,
		"Query.nodes":         {statements: ent.NodeTypes},
		"Query.user":          one,
		"Query.users":         one,
		"Query.post":          one,
		"Query.posts":         one,
		"Query.changes":       {statements: 3, maxPage: maxChanges}, // the number, the state and the page
		"Query.changesCursor": one,
		"Query.stats":         none, // its fields send them
		"Query.viewer":        none,
		"Query.apiKeys":       one,

		"Viewer.user": one,

		"ApiKey.roles":                none,
		"ApiKeyConnection.totalCount": scan,

		"User.posts":                one,
		"User.identity":             none,
		"UserConnection.totalCount": scan,
		"Post.author":               one,
		"PostConnection.totalCount": scan,
		"DeletePostPayload.author":  one,

		"Stats.userCount":         scan,
		"Stats.postCount":         scan,
		"Stats.usersWithoutPosts": compare,
		"Stats.signUps":           scan,

		"Subscription.changes": none, // the feed reads the changes for all subscribers
		"Change.node":          {statements: ent.NodeTypes},
	}
}

// conditions declares the surcharge of each condition of a filter, by type and name. It pays for a condition that no
// index serves.
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

		"UserWhere.status":      0,
		"UserWhere.hasIdentity": 5_000,
		"UserWhere.hasPosts":    5_000,

		"ApiKeyWhere.revoked": 0, // there are few keys
	}
}

// prices returns the declarations in the form of package limits.
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
		p.Fields[fieldOf(name)], p.MaxPages[fieldOf(name)] = d.surcharge, d.maxPage
	}
	for name, surcharge := range conditions() {
		p.Conditions[fieldOf(name).Name] = surcharge
	}
	return p
}

// fieldOf parses a type and a name with a dot between them.
func fieldOf(name string) limits.Field {
	of, field, _ := strings.Cut(name, ".")
	return limits.Field{Type: of, Name: field}
}
