package directory

import (
	"context"
	"fmt"
	"slices"

	"roster/ent/rules"
	"roster/internal/typeid"
)

// An Optional is a field of an update. The zero Optional keeps the field unchanged. An Optional that is set to nil is a
// fault, because no field of an entity can be null.
type Optional[T any] struct {
	Set   bool
	Value *T
}

// inputs collects the faults of all inputs of an operation. It first checks what needs no database. It looks in the
// database for further faults only if it has found a fault, or in a careful transaction. So valid inputs cost no
// look-up, and invalid ones get all their faults at once.
type inputs struct {
	fields  []string // the order of the faults of one input
	careful bool
	all     []*input
}

// input collects the faults of one input. Their paths begin with a field.
type input struct{ faults rules.Faults }

func (tx *Transaction) inputs(n int, fields ...string) *inputs {
	in := &inputs{fields: fields, careful: tx.options.Careful, all: make([]*input, n)}
	for i := range in.all {
		in.all[i] = new(input)
	}
	return in
}

// look reports whether to look in the database for further faults.
func (in *inputs) look() bool { return in.careful || in.faulty() }

// faulty reports whether any input has a fault.
func (in *inputs) faulty() bool {
	return slices.ContainsFunc(in.all, func(one *input) bool { return len(one.faults) > 0 })
}

// err returns the faults of all inputs, in the order of the inputs and of their fields.
func (in *inputs) err() error {
	var all rules.Faults
	rank := func(f rules.FieldFault) int { return slices.Index(in.fields, fmt.Sprint(f.Path[0])) }
	for i, one := range in.all {
		slices.SortStableFunc(one.faults, func(a, b rules.FieldFault) int { return rank(a) - rank(b) })
		for _, f := range one.faults {
			all.Add(&f.Fault, slices.Concat([]any{i}, f.Path)...)
		}
	}
	return all.Err()
}

// unique adds a fault to each input that repeats the value of an earlier input. It returns the index of the first input
// with each value. It ignores zero values.
func unique[T comparable](in *inputs, field string, values []T) map[T]int {
	var none T
	first := make(map[T]int, len(values))
	for i, value := range values {
		if at, again := first[value]; again && value != none {
			in.all[i].add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("duplicates inputs.%d", at)}, field)
			continue
		}
		first[value] = i
	}
	delete(first, none)
	return first
}

// add adds a fault of a field, if there is one.
func (in *input) add(f *rules.Fault, path ...any) { in.faults.Add(f, path...) }

// clean reports whether a field has no fault yet.
func (in *input) clean(field string) bool { return !in.faults.Has(field) }

// id checks that an ID has the type, and reports whether it does.
func (in *input) id(id typeid.ID, kind string, path ...any) bool {
	if id.Type() == kind {
		return true
	}
	in.add(rules.MalformedID(kind), path...)
	return false
}

// missing adds a fault: no entity of the type has the ID.
func (in *input) missing(kind string, path ...any) { in.add(notFound(kind), path...) }

func notFound(kind string) *rules.Fault {
	return &rules.Fault{Code: rules.NotFound, Message: "belongs to no " + kind}
}

func taken() *rules.Fault { return &rules.Fault{Code: rules.Taken, Message: "is taken"} }

// value returns the new value of a field; nil when the field stays as it is.
func value[T any](in *input, o Optional[T], field string) *T {
	if o.Set && o.Value == nil {
		in.add(&rules.Fault{Code: rules.Blank, Message: "must not be null: leave it out to keep it as it is"}, field)
	}
	return o.Value
}

// version checks the version that the caller expects; nil accepts any.
func (in *input) version(expected *int, current int) {
	if expected != nil && *expected != current {
		in.add(&rules.Fault{Code: rules.StaleVersion, Message: fmt.Sprintf("is %d, but the version now is %d: read it again", *expected, current)}, "expectedVersion")
	}
}

// A Target names an entity to change.
type Target struct {
	ID typeid.ID
	// ExpectedVersion is the version that the caller has read; nil accepts any.
	ExpectedVersion *int
}

func (t Target) target() Target { return t }

// lock locks the entities that the inputs name, and checks the expected versions. lockRows locks the rows that exist
// among those with some IDs. lock returns nil for an input with a malformed or unknown ID, which gets a fault.
func lock[E any, In interface{ target() Target }](ctx context.Context, in *inputs, r *rows[E], list []In, lockRows func(context.Context, ...typeid.ID) (map[typeid.ID]*E, error)) ([]*E, error) {
	var valid []typeid.ID
	ids := make([]typeid.ID, len(list))
	for i, one := range in.all {
		if id := list[i].target().ID; id.Type() != "" {
			ids[i] = id
		}
		if one.id(ids[i], r.Entity.Type, "id") {
			valid = append(valid, ids[i])
		}
	}
	unique(in, "id", ids)
	found := make([]*E, len(list))
	if len(valid) == 0 {
		return found, nil
	}
	locked, err := lockRows(ctx, valid...)
	for i, one := range in.all {
		if found[i] = locked[ids[i]]; found[i] != nil {
			one.version(list[i].target().ExpectedVersion, *r.Entity.Node(found[i]).Version)
		} else if ids[i].Type() == r.Entity.Type {
			one.missing(r.Entity.Type, "id")
		}
	}
	return found, err
}
