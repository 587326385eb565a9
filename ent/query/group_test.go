package query_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"roster/ent/query"
	"roster/internal/record"
)

// node is an entity.
type node struct{ id int }

// family is siblings and a fetch that counts its calls.
type family struct {
	group query.Group[*node]
	nodes []*node
	calls atomic.Int32
}

func newFamily(n int) *family {
	f := new(family)
	for i := range n {
		f.nodes = append(f.nodes, &node{i})
		f.group.Add(f.nodes[i])
	}
	return f
}

// double doubles the number of each node but of those that are divisible by 5, which it leaves out.
func (f *family) double(_ context.Context, nodes []*node) (map[*node]int, error) {
	f.calls.Add(1)
	found := map[*node]int{}
	for _, n := range nodes {
		if n.id%5 != 0 {
			found[n] = 2 * n.id
		}
	}
	return found, nil
}

// All siblings share one fetch, however many ask at once and how often.
func TestSiblingsShareAFetch(t *testing.T) {
	t.Parallel()
	f := newFamily(50)
	var wg sync.WaitGroup
	for range 3 {
		for _, n := range f.nodes {
			wg.Go(func() {
				got, err := query.Load(t.Context(), &f.group, n, query.Key{Edge: "double"}, f.double)
				want := 2 * n.id
				if n.id%5 == 0 {
					want = 0
				}
				if err != nil || got != want {
					t.Errorf("node %d: got %d, %v, want its own value", n.id, got, err)
				}
			})
		}
	}
	wg.Wait()
	if n := f.calls.Load(); n != 1 {
		t.Errorf("got %d fetches, want 1", n)
	}
}

// What differs in edge, arguments or columns is loaded apart; the types may differ too.
func TestKeys(t *testing.T) {
	t.Parallel()
	f := newFamily(2)
	keys := []query.Key{{}, {Edge: "a"}, {Edge: "b"}, {Edge: "a", Args: "1"}, {Edge: "a", Args: "2"}, {Edge: "a", Columns: 1}, {Edge: "a", Args: "1", Columns: 1}}
	for range 2 {
		for _, key := range keys {
			for _, n := range f.nodes {
				if got, err := query.Load(t.Context(), &f.group, n, key, f.double); err != nil || got != 2*n.id {
					t.Errorf("%+v: got %d, %v, want its own value", key, got, err)
				}
			}
		}
	}
	if n := f.calls.Load(); int(n) != len(keys) {
		t.Errorf("got %d fetches, want one for each of %d keys", n, len(keys))
	}
	text := func(context.Context, []*node) (map[*node]string, error) {
		return map[*node]string{f.nodes[1]: "one"}, nil
	}
	if got, err := query.Load(t.Context(), &f.group, f.nodes[1], query.Key{Edge: "text"}, text); err != nil || got != "one" {
		t.Errorf("got %q, %v, want the value of the other type", got, err)
	}
	other := newFamily(2) // has fetches of its own
	if got, err := query.Load(t.Context(), &other.group, other.nodes[1], keys[1], other.double); err != nil || got != 2 || other.calls.Load() != 1 {
		t.Errorf("got %d, %v, want the same value again", got, err)
	}
}

// The record of an operation gets the fetches of edges: one for all siblings, and one of an entity without siblings.
func TestBatches(t *testing.T) {
	t.Parallel()
	f := newFamily(3)
	r := record.New()
	ctx := record.WithOperation(t.Context(), r)
	for _, key := range []query.Key{{Of: "Node", Edge: "double"}, {}} {
		for _, group := range []*query.Group[*node]{&f.group, nil} {
			for _, n := range f.nodes[:2] {
				if _, err := query.Load(ctx, group, n, key, f.double); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var sizes []int
	for _, b := range r.Batches() {
		if b.Name != "Node.double" || b.Began.IsZero() {
			t.Errorf("got %+v, want a fetch of Node.double", b)
		}
		sizes = append(sizes, b.Size)
	}
	if want := []int{3, 1, 1}; !slices.Equal(sizes, want) {
		t.Errorf("got the sizes %v, want %v", sizes, want)
	}
}

// The fetch gets the siblings in their order, each as often as it was added.
func TestOrder(t *testing.T) {
	t.Parallel()
	f := newFamily(4)
	f.group.Add(f.nodes[0])
	got, err := query.Load(t.Context(), &f.group, f.nodes[2], query.Key{}, func(_ context.Context, nodes []*node) (map[*node][]*node, error) {
		return map[*node][]*node{f.nodes[2]: nodes}, nil
	})
	if want := append(slices.Clone(f.nodes), f.nodes[0]); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want the zero value", got, err)
	}
}

// An error is the answer to all siblings, and what was found with it to none.
func TestError(t *testing.T) {
	t.Parallel()
	f := newFamily(3)
	broken := errors.New("broken")
	fetch := func(ctx context.Context, nodes []*node) (map[*node]int, error) {
		found, _ := f.double(ctx, nodes)
		return found, broken
	}
	for range 2 {
		for _, n := range f.nodes {
			if got, err := query.Load(t.Context(), &f.group, n, query.Key{}, fetch); !errors.Is(err, broken) || got != 0 {
				t.Errorf("node %d: got %d, %v, want the error of the fetch", n.id, got, err)
			}
		}
	}
	if n := f.calls.Load(); n != 1 {
		t.Errorf("got %d fetches, want 1", n)
	}
}

// A panic of a fetch, which runs beside all resolvers, is an error that says where it came from.
func TestPanic(t *testing.T) {
	t.Parallel()
	f := newFamily(2)
	for _, group := range []*query.Group[*node]{&f.group, nil} {
		for _, n := range f.nodes {
			_, err := query.Load(t.Context(), group, n, query.Key{}, f.outOfOrder)
			panicked, ok := errors.AsType[*query.PanicError](err)
			if !ok || err.Error() != "panic: out of order" || !strings.Contains(string(panicked.Stack), "outOfOrder") {
				t.Errorf("node %d: got %#v, want a PanicError", n.id, err)
			}
		}
	}
}

func (*family) outOfOrder(context.Context, []*node) (map[*node]int, error) { panic("out of order") }

// Without siblings an entity loads for itself, each time.
func TestWithoutSiblings(t *testing.T) {
	t.Parallel()
	f := newFamily(3)
	broken := errors.New("broken")
	for range 2 {
		got, err := query.Load(t.Context(), nil, f.nodes[2], query.Key{}, func(ctx context.Context, nodes []*node) (map[*node]int, error) {
			if !slices.Equal(nodes, f.nodes[2:]) {
				t.Errorf("got a fetch for %v, want one for the node alone", nodes)
			}
			return f.double(ctx, nodes)
		})
		if err != nil || got != 4 {
			t.Errorf("got %d, %v, want the value of the node", got, err)
		}
	}
	if n := f.calls.Load(); n != 2 {
		t.Errorf("got %d fetches, want one for each call", n)
	}
	_, err := query.Load(t.Context(), nil, f.nodes[0], query.Key{}, func(context.Context, []*node) (map[*node]int, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A fetch sees the values of the context of a caller.
func TestContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	f := newFamily(1)
	ctx := context.WithValue(t.Context(), key{}, "value")
	got, err := query.Load(ctx, &f.group, f.nodes[0], query.Key{}, func(ctx context.Context, nodes []*node) (map[*node]any, error) {
		return maps.Collect(func(yield func(*node, any) bool) { yield(nodes[0], ctx.Value(key{})) }), ctx.Err()
	})
	if err != nil || got != "value" {
		t.Errorf("got %v, %v, want the value without waiting", got, err)
	}
}
