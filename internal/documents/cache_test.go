package documents_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"roster/internal/documents"
)

func TestCacheIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	const budget = 50_000
	l := library(t, func(o *documents.Options) { o.CacheBytes = budget })
	text := func(i int) string { return fmt.Sprintf("query Q%d { users { totalCount } }", i) }
	for i := range 100 {
		if _, _, errs := l.Find(documents.Request{Text: text(0)}); len(errs) > 0 { // stays, since it is used
			t.Fatal(errs)
		}
		d, _, errs := l.Find(documents.Request{Text: text(i)})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if bytes, n := l.Cached(); bytes > budget || bytes < int64(n) || i > 50 && bytes+d.Size() < budget*9/10 {
			t.Fatalf("got %d documents with %d bytes, want at most %d bytes, and nearly all of them after 50 documents", n, bytes, budget)
		}
	}
	for i, want := range map[int]string{0: "0", 99: "0", 98: "0", 1: notFound, 50: notFound} {
		if _, _, errs := l.Find(documents.Request{Extensions: byHash(hashOf(text(i)))}); code(errs) != want {
			t.Errorf("document %d: got %v, want the code %q", i, errs, want)
		}
	}
	unkept := "query Unkept { users { totalCount } }"
	if _, _, errs := l.Find(documents.Request{Text: unkept, Unkept: true}); len(errs) > 0 {
		t.Fatal(errs)
	}
	if _, _, errs := l.Find(documents.Request{Extensions: byHash(hashOf(unkept))}); code(errs) != notFound {
		t.Errorf("an unkept document: got %v, want %s", errs, notFound)
	}
	// One that would take the place of most is not kept.
	large := text(100) + strings.Repeat(" ", budget/4)
	if _, _, errs := l.Find(documents.Request{Text: large}); len(errs) > 0 {
		t.Fatal(errs)
	}
	if _, _, errs := l.Find(documents.Request{Extensions: byHash(hashOf(large))}); code(errs) != notFound {
		t.Errorf("a document too large for the cache: got %v, want %s", errs, notFound)
	}
}

const notFound = "PERSISTED_QUERY_NOT_FOUND"

// TestSizes checks that documents do not take more memory than they count for.
func TestSizes(t *testing.T) {
	l := library(t, func(o *documents.Options) { o.CacheBytes = 0 })
	for name, text := range map[string]string{
		"fields":   "{ users { nodes { " + strings.Repeat("... on User { id username } ", 40) + "} } }",
		"values":   `{ nodes(ids: [` + strings.Repeat(`"x" `, 1_000) + `]) { id } }`,
		"aliases":  "{ " + aliases(200, "users { nodes { id username email version posts { nodes { title } } } }") + "}",
		"a string": `{ user(by: {username: "` + strings.Repeat("x", 100_000) + `"}) { id } }`,
		"escapes":  `{ user(by: {username: "` + strings.Repeat(`\n`, 50_000) + `"}) { id } }`,
		"comments": strings.Repeat("# x\n", 1_000) + count,
	} {
		const copies = 20
		kept := make([]*documents.Document, copies)
		before := heap()
		for i := range kept {
			d, _, errs := l.Find(documents.Request{Text: strings.Clone(text)})
			if len(errs) > 0 {
				t.Fatal(name, errs)
			}
			kept[i] = d
		}
		took := (heap() - before) / copies
		if size := kept[0].Size(); took > size*5/4 {
			t.Errorf("%s: got the size %d, want at least four fifths of the %d bytes that it takes", name, size, took)
		}
		runtime.KeepAlive(kept)
	}
}

func aliases(n int, field string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: %s ", i, field)
	}
	return b.String()
}

// heap is how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
