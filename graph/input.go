package graph

import (
	"context"
	"fmt"
	"slices"

	"entgo.io/ent/dialect/sql"
	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
	"roster/internal/typeid"
)

// input collects all faults of the argument input of a mutation: those that show by themselves at once, and those
// that only the database knows when there are others already, or when an attempt before broke a constraint. A good
// input so costs no statement but its own.
type input struct {
	attempt *attempt
	fields  []string // in the order of the contract, in which faults are reported
	faults  rules.Faults
}

func newInput(ctx context.Context, fields ...string) *input {
	return &input{attempt: attemptFrom(ctx), fields: fields}
}

// add adds a fault of a field, if there is one.
func (in *input) add(f *rules.Fault, path ...any) {
	in.faults.Add(f, append([]any{"input"}, path...)...)
}

// text checks a text by a rule that also folds it, and returns the folded form.
func (in *input) text(rule func(string) (string, *rules.Fault), s string, path ...any) string {
	key, fault := rule(s)
	in.add(fault, path...)
	return key
}

// id checks that an ID is one of the given type.
func (in *input) id(id typeid.ID, kind string, path ...any) bool {
	if id.Type() == kind {
		return true
	}
	in.add(rules.MalformedID(kind), path...)
	return false
}

// set returns the new value of an optional field of an update: nil when it is absent, which leaves the field as it is.
// null is BLANK.
func set[T any](in *input, v graphql.Omittable[*T], path ...any) *T {
	value, isSet := v.ValueOK()
	if isSet && value == nil {
		in.add(&rules.Fault{Code: rules.Blank, Message: "must not be null: leave it out to keep it as it is"}, path...)
	}
	return value
}

// version checks the version that the client has read, if it sent one.
func (in *input) version(expected graphql.Omittable[*int], current int) {
	if v := expected.Value(); v != nil && *v != current {
		in.add(&rules.Fault{Code: rules.StaleVersion, Message: fmt.Sprintf("is %d, but the version now is %d: read it again", *v, current)}, "expectedVersion")
	}
}

// missing adds the fault of an ID of something that does not exist.
func (in *input) missing(kind string, path ...any) {
	in.add(&rules.Fault{Code: rules.NotFound, Message: "names no " + kind + " that exists"}, path...)
}

// careful reports whether to look in the database for further faults.
func (in *input) careful() bool { return in.attempt.careful || len(in.faults) > 0 }

// clean reports whether there is no fault at the path yet.
func (in *input) clean(path ...any) bool { return !in.faults.Has(append([]any{"input"}, path...)...) }

// taken adds a fault when another entity has the value.
func (in *input) taken(path string, other func() (bool, error)) error {
	if !in.clean(path) {
		return nil
	}
	found, err := other()
	if err == nil && found {
		in.add(&rules.Fault{Code: rules.Taken, Message: "is taken"}, path)
	}
	return err
}

// err returns the faults in the order of the contract.
func (in *input) err() error {
	rank := func(f rules.FieldFault) int { return slices.Index(in.fields, fmt.Sprint(f.Path[1])) }
	slices.SortStableFunc(in.faults, func(a, b rules.FieldFault) int { return rank(a) - rank(b) })
	return in.faults.Err()
}

// has is the condition that a column holds a value.
func has(column string, value any) func(*sql.Selector) {
	return func(s *sql.Selector) { s.Where(sql.EQ(s.C(column), value)) }
}
