package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// maxInputs is the greatest number of inputs of a mutation of many.
const maxInputs = 1000

// one gives one input to a mutation of many. The paths of the faults start with input.
func one[In, Out any](ctx context.Context, input In, many func(context.Context, []In) ([]Out, error)) (out Out, err error) {
	list, err := many(ctx, []In{input})
	if err != nil {
		return out, within("input", err, 1)
	}
	return list[0], nil
}

// each gives a list of inputs to a mutation of many. The paths of the faults start with inputs.
func each[In, Out any](ctx context.Context, list []In, many func(context.Context, []In) ([]Out, error)) ([]Out, error) {
	if len(list) < 1 || len(list) > maxInputs {
		return nil, fault(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be 1 to %d", maxInputs)}, "inputs")
	}
	out, err := many(ctx, list)
	return out, within("inputs", err, 0)
}

// within puts the name of an argument before the paths of faults, in place of their first elements. start is the number of
// these elements: 1 removes the index of a single input.
func within(argument string, err error, start int) error {
	var faults rules.Faults
	if !errors.As(err, &faults) {
		return err
	}
	var out rules.Faults
	for i := range faults {
		out.Add(&faults[i].Fault, append([]any{argument}, faults[i].Path[start:]...)...)
	}
	return out
}

// optional translates an optional field of an update.
func optional[T any](o graphql.Omittable[*T]) directory.Optional[T] {
	v, set := o.ValueOK()
	return directory.Optional[T]{Set: set, Value: v}
}

// target translates the ID and the expected version of an input.
func target(id typeid.ID, version graphql.Omittable[*int]) directory.Target {
	return directory.Target{ID: id, ExpectedVersion: version.Value()}
}

// translated translates inputs for the domain.
func translated[In, Out any](list []In, translate func(In) Out) []Out {
	out := make([]Out, len(list))
	for i := range list {
		out[i] = translate(list[i])
	}
	return out
}
