package graph

import (
	"context"
	"fmt"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
	"roster/internal/typeid"
)

// input collects all faults of an input of a mutation, which is the argument input or one of the argument inputs: those
// that show by themselves at once, and those that only the database knows when there are others already, or when an attempt
// before broke a constraint. A good input so costs no statement but its own.
type input struct {
	attempt *attempt
	path    []any    // where it stands in the arguments
	fields  []string // in the order of the contract, in which faults are reported
	faults  rules.Faults
}

func newInput(ctx context.Context, fields ...string) *input {
	return &input{attempt: attemptFrom(ctx), path: []any{"input"}, fields: fields}
}

// add adds a fault of a field, if there is one.
func (in *input) add(f *rules.Fault, path ...any) {
	if f != nil {
		in.faults.Add(f, slices.Concat(in.path, path)...)
	}
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
func (in *input) clean(path ...any) bool {
	return len(in.faults) == 0 || !in.faults.Has(slices.Concat(in.path, path)...)
}

// drop takes back the faults of a field that turned out to stay as it is.
func (in *input) drop(field string) {
	in.faults = slices.DeleteFunc(in.faults, func(f rules.FieldFault) bool { return f.Path[len(in.path)] == field })
}

// err returns the faults in the order of the contract.
func (in *input) err() error {
	rank := func(f rules.FieldFault) int { return slices.Index(in.fields, fmt.Sprint(f.Path[len(in.path)])) }
	slices.SortStableFunc(in.faults, func(a, b rules.FieldFault) int { return rank(a) - rank(b) })
	return in.faults.Err()
}

// maxInputs is how many inputs a mutation of many takes.
const maxInputs = 1000

// inputs is all inputs of a mutation. What is done to many is done to one in the same way: the argument input is a list
// of one, and only the paths of its faults are different.
type inputs struct {
	attempt *attempt
	all     []*input
}

// Names of the argument that holds the inputs.
const (
	oneInput   = "input"
	manyInputs = "inputs"
)

// newInputs makes as many inputs as the argument holds. The error is rules.Faults for too few or too many.
func newInputs(ctx context.Context, argument string, n int, fields ...string) (*inputs, error) {
	if n < 1 || n > maxInputs {
		return nil, fault(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be 1 to %d", maxInputs)}, argument)
	}
	in := &inputs{attempt: attemptFrom(ctx), all: make([]*input, n)}
	for i := range in.all {
		in.all[i] = &input{attempt: in.attempt, path: []any{argument}, fields: fields}
		if argument == manyInputs {
			in.all[i].path = []any{argument, i}
		}
	}
	return in, nil
}

// careful reports whether to look in the database for further faults.
func (in *inputs) careful() bool { return in.attempt.careful || in.faulty() }

// faulty reports whether any input has a fault.
func (in *inputs) faulty() bool {
	return slices.ContainsFunc(in.all, func(one *input) bool { return len(one.faults) > 0 })
}

// err returns the faults of all inputs, in their order.
func (in *inputs) err() error {
	var faults rules.Faults
	for _, one := range in.all {
		_ = one.err() // puts them in order
		faults = append(faults, one.faults...)
	}
	return faults.Err()
}

// distinct adds a fault to each input that names what one before it names.
func (in *inputs) distinct(ids []typeid.ID) {
	first := make(map[typeid.ID]int, len(ids))
	for i, id := range ids {
		if at, again := first[id]; again && id.Type() != "" {
			in.all[i].add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("is that of %s.%d too: one change of each", manyInputs, at)}, "id")
			continue
		}
		first[id] = i
	}
}

// only returns the only result of a mutation of one.
func only[T any](list []T, err error) (one T, _ error) {
	if err != nil {
		return one, err
	}
	return list[0], nil
}
