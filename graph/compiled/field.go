package compiled

import (
	"context"
	"slices"
	"strings"

	"roster/internal/record"
)

// A place is the place of a field in the answer: its name there, below another field or, with nil, at the root.
type place struct {
	parent *place
	name   string
}

// path returns the names down to the field.
func (p *place) path() string {
	var names []string
	for ; p != nil; p = p.parent {
		names = append(names, p.name)
	}
	slices.Reverse(names)
	return strings.Join(names, ".")
}

// asking knows which fields ask for which statement.
type asking struct {
	fields map[load]*record.Fields
	around context.Context // of the run, without fields
}

// newAsking returns nil if the record of the operation in ctx does not ask for fields.
func newAsking(ctx context.Context) *asking {
	if r := record.FromContext(ctx); r == nil || !r.Fields {
		return nil
	}
	return &asking{map[load]*record.Fields{}, ctx}
}

// A load is equal for fields that share a statement: those on the same rows, those with the same IDs, or one field alone.
type load struct {
	rows       *rows
	one, count bool
	slot       int
	found      foundKey
	place      *place
}

// ask says that a field needs a load. The next statement of the run is that of the load, unless it was sent before.
func (r *run) ask(p *place, l load) {
	if r.asking == nil {
		return
	}
	fields := r.asking.fields[l]
	if fields == nil {
		fields = new(record.Fields)
		r.asking.fields[l] = fields
	}
	fields.Add(record.NewFields(p.path()))
	r.ctx = record.WithFields(r.asking.around, fields)
}
