package directory

import (
	"context"
	"fmt"
	"maps"
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
	all     []input
}

// input has the faults of one input. Their paths begin with a field.
type input struct{ rules.Faults }

// wrong reports whether a field, or a part of it, has a fault.
func (in *input) wrong(field string) bool {
	return slices.ContainsFunc(in.Faults, func(f rules.FieldFault) bool { return f.Path[0] == field })
}

func (tx *Transaction) inputs(n int, fields ...string) *inputs {
	return &inputs{fields: fields, careful: tx.options.Careful, all: make([]input, n)}
}

// look reports whether to look in the database for further faults.
func (in *inputs) look() bool { return in.careful || in.faulty() }

// faulty reports whether any input has a fault.
func (in *inputs) faulty() bool {
	return slices.ContainsFunc(in.all, func(one input) bool { return len(one.Faults) > 0 })
}

// err returns the faults of all inputs, in the order of the inputs and of their fields.
func (in *inputs) err() error {
	var all rules.Faults
	rank := func(f rules.FieldFault) int { return slices.Index(in.fields, fmt.Sprint(f.Path[0])) }
	for i, one := range in.all {
		slices.SortStableFunc(one.Faults, func(a, b rules.FieldFault) int { return rank(a) - rank(b) })
		for _, f := range one.Faults {
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
			in.all[i].Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("duplicates inputs.%d", at)}, field)
			continue
		}
		first[value] = i
	}
	delete(first, none)
	return first
}

// id checks that an ID has the type, and reports whether it does.
func (in *input) id(id typeid.ID, kind string, path ...any) bool {
	if id.Type() == kind {
		return true
	}
	in.Add(rules.MalformedID(kind), path...)
	return false
}

func notFound(kind string) *rules.Fault {
	return &rules.Fault{Code: rules.NotFound, Message: "belongs to no " + kind}
}

func taken() *rules.Fault { return &rules.Fault{Code: rules.Taken, Message: "is taken"} }

// value returns the new value of a field; nil when the field stays as it is.
func value[T any](in *input, o Optional[T], field string) *T {
	if o.Set && o.Value == nil {
		in.Add(&rules.Fault{Code: rules.Blank, Message: "must not be null: leave it out to keep it as it is"}, field)
	}
	return o.Value
}

// A Target names an entity to change.
type Target struct {
	ID typeid.ID
	// ExpectedVersion is the version that the caller has read; nil accepts any.
	ExpectedVersion *int
}

func (t Target) target() Target { return t }

func (Target) fields() []string { return nil }

// A targeted input changes an entity.
type targeted interface {
	target() Target
	fields() []string // the fields to change, by their names in the feed
}

// given returns the names of the fields that an input has.
func given(fields map[string]bool) []string {
	maps.DeleteFunc(fields, func(_ string, set bool) bool { return !set })
	return slices.Sorted(maps.Keys(fields))
}

// lock locks the entities that the inputs name, and checks the expected versions. It returns nil for an input with a
// malformed or unknown ID, which gets a fault. If the caller in ctx may not perform the action on one of the entities, the
// error is a *rules.ForbiddenError. It comes before all faults, so that no fault tells about an entity of others.
func lock[E any, In targeted](ctx context.Context, in *inputs, r *rows[E], action rules.Action, list []In) ([]*E, error) {
	kind, entities := r.Entity.Type, make([]*E, len(list))
	restricted := rules.Permit(ctx, action, r.Entity.GraphQL) != nil
	for i := 0; restricted && i < len(list); i++ {
		if err := r.permitID(ctx, action, list[i].fields(), list[i].target().ID); err != nil {
			return nil, err
		}
	}
	ids := make([]typeid.ID, len(list)) // zero for an ID of no type
	var valid []typeid.ID
	for i := range list {
		if id := list[i].target().ID; id.Type() != "" {
			ids[i] = id
		}
		if in.all[i].id(ids[i], kind, "id") {
			valid = append(valid, ids[i])
		}
	}
	unique(in, "id", ids)
	if len(valid) == 0 {
		return entities, nil
	}
	locked, err := r.Lock(ctx, valid...)
	for i := range list {
		entities[i] = locked[ids[i]]
		if entities[i] == nil {
			if ids[i].Type() == kind {
				in.all[i].Add(notFound(kind), "id")
			}
			continue
		}
		if restricted {
			if err := r.permit(ctx, action, list[i].fields(), entities[i]); err != nil {
				return nil, err
			}
		}
		version, expected := *r.Entity.Node(entities[i]).Version, list[i].target().ExpectedVersion
		if expected != nil && *expected != version {
			message := fmt.Sprintf("is %d, but the version now is %d: read it again", *expected, version)
			in.all[i].Add(&rules.Fault{Code: rules.StaleVersion, Message: message}, "expectedVersion")
		}
	}
	return entities, err
}

// save writes each entity as its element of next. A new entity is nil in entities, and save sets it. field is the field
// by which an input finds its entity. It gets the fault if the version of the entity is at its maximum. save returns the
// faults of all inputs.
func save[E any](ctx context.Context, in *inputs, r *rows[E], entities, next []*E, field string) (created, updated int, err error) {
	if err := in.err(); err != nil {
		return 0, 0, err
	}
	for i, e := range entities {
		if e == nil {
			entities[i] = next[i]
			r.create(ctx, next[i])
			created++
			continue
		}
		changed, fault := r.change(ctx, e, *next[i])
		in.all[i].Add(fault, field)
		if changed {
			updated++
		}
	}
	if err := in.err(); err != nil {
		return 0, 0, err
	}
	return created, updated, r.unit.flush(ctx)
}

// copies returns copies of entities, and a new entity for nil.
func copies[E any](entities []*E) []*E {
	list := make([]*E, len(entities))
	for i, e := range entities {
		list[i] = new(E)
		if e != nil {
			*list[i] = *e
		}
	}
	return list
}
