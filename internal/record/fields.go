package record

import (
	"context"
	"slices"
	"sync"
)

// Fields are the fields that need a statement. Several fields share one if they ask for the same, and a field may ask when
// the statement has ended already. So read them when the operation has ended. Several goroutines may use Fields. A nil
// value has no fields.
type Fields struct {
	single bool // there will be no others
	mu     sync.Mutex
	paths  []string
	also   []*Fields // that may get more paths
}

// NewFields returns one field: its path without indices, such as users.nodes.posts. It gets no others.
func NewFields(path string) *Fields { return &Fields{single: true, paths: []string{path}} }

// Add adds the fields that others has and will get.
func (f *Fields) Add(others *Fields) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !others.single:
		if !slices.Contains(f.also, others) {
			f.also = append(f.also, others)
		}
	case !slices.Contains(f.paths, others.paths[0]):
		f.paths = append(f.paths, others.paths[0])
	}
}

// Paths returns the paths of the fields, sorted.
func (f *Fields) Paths() []string {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	paths, also := slices.Clone(f.paths), slices.Clone(f.also)
	f.mu.Unlock()
	for _, others := range also {
		paths = append(paths, others.Paths()...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

type fieldsKey struct{}

// WithFields returns a context for the statements of fields. Use it only if the record asks for Fields.
func WithFields(ctx context.Context, f *Fields) context.Context {
	return context.WithValue(ctx, fieldsKey{}, f)
}

// FieldsFrom returns the fields that run in ctx, or nil.
func FieldsFrom(ctx context.Context) *Fields {
	f, _ := ctx.Value(fieldsKey{}).(*Fields)
	return f
}
