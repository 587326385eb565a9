// Package documents finds the GraphQL document of a request: by its text, by its hash, or by the key of a trusted
// document. It refuses documents that exceed the limits or are not valid. The cheap checks come first. A cache of
// bounded size keeps documents that passed. The package does not depend on HTTP or on the meaning of fields.
package documents

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"roster/internal/codes"
	"roster/internal/limits"
)

// Options are the dependencies and bounds of a Library.
type Options struct {
	// Schema is the schema of the documents. The values of its custom scalars are strings.
	Schema *ast.Schema
	// Limits checks documents for Schema.
	Limits *limits.Checker
	// CacheBytes is the memory of the cache, in bytes. 0: no cache.
	CacheBytes int64
	// Introspection allows documents to query the schema. Without it, errors do not show the schema either.
	Introspection bool
	// Trusted has the only documents that may be executed, by their keys. nil: clients may send any document.
	Trusted map[string]string
}

// A Library has the documents that may be executed. It can be used by several goroutines at once.
type Library struct {
	Options
	rules   []validator.Rule
	suggest []validator.Rule // the same with suggestions of names, which take time for long names
	cache   *cache
	// The trusted documents; nil if any document may be executed.
	byKey, byText map[string]*Document
}

// New returns a library. The error names the first trusted document that cannot be executed, and says why.
func New(o Options) (*Library, error) {
	l := &Library{Options: o, cache: newCache(o.CacheBytes)}
	l.rules, l.suggest = ruleSets(o.Introspection)
	if o.Trusted == nil {
		return l, nil
	}
	l.byKey, l.byText = map[string]*Document{}, map[string]*Document{}
	for _, key := range slices.Sorted(maps.Keys(o.Trusted)) {
		text := o.Trusted[key]
		if l.byText[text] == nil {
			d, errs := l.prepare(text, nil)
			if len(errs) > 0 {
				return nil, fmt.Errorf("trusted document %.100q: %s", key, describe(errs[0]))
			}
			l.byText[text] = d
		}
		id := withoutAlgorithm(key)
		if l.byKey[id] != nil {
			return nil, fmt.Errorf("trusted document %.100q: another one has the same key", key)
		}
		l.byKey[id] = l.byText[text]
	}
	return l, nil
}

// describe returns the text of an error, for the operator.
func describe(err *gqlerror.Error) string {
	if len(err.Locations) == 0 {
		return err.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", err.Locations[0].Line, err.Locations[0].Column, err.Message)
}

// A Document is within the limits and valid.
type Document struct {
	Text   string
	Parsed *ast.QueryDocument

	measured *limits.Document
	nonNull  map[*ast.OperationDefinition][]nonNullUse
	size     int64 // approximate memory, in bytes

	mu   sync.Mutex // guards what follows
	kept map[string]any
	room int64 // what is left of the memory for kept, which size includes, in bytes
}

// Keep returns the value that the executor keeps with the document under a key. If there is none, it calls create, and keeps
// the value if there is room for the key and the size of the value, in bytes. Values must not change.
func (d *Document) Keep(key string, create func() (value any, size int64)) any {
	d.mu.Lock()
	value, ok := d.kept[key]
	d.mu.Unlock()
	if ok {
		return value
	}
	value, size := create()
	d.mu.Lock()
	defer d.mu.Unlock()
	size += int64(len(key))
	if _, ok := d.kept[key]; !ok && size <= d.room {
		if d.kept == nil {
			d.kept = map[string]any{}
		}
		d.kept[key], d.room = value, d.room-size
	}
	return value
}

// A Request asks for an operation of a document.
type Request struct {
	// Text is the document. It may be empty if DocumentID or the extension persistedQuery names the document.
	Text string
	// DocumentID is the hash of the document, or the key of a trusted document. A request with it has no extension
	// persistedQuery, which means the same.
	DocumentID    string
	OperationName string
	Variables     map[string]any // not coerced; Library.Variables changes the values
	Extensions    map[string]any
	// Unkept keeps a document that is new out of the cache.
	Unkept bool
}

// An Operation can be executed: its document is valid and within the limits, and its variables are coerced.
type Operation struct {
	*Document
	Request    Request
	Definition *ast.OperationDefinition
	Variables  map[string]any
	Cost       int64 // by package limits
}

// Operation returns the operation of a request. The errors have codes. There are at most [MaxErrors]. With errors, the
// operation has only its request, and its cost if that is known.
func (l *Library) Operation(r Request) (*Operation, gqlerror.List) {
	o := &Operation{Request: r}
	var errs gqlerror.List
	if o.Document, o.Cost, errs = l.Find(r); len(errs) > 0 {
		return o, errs
	}
	if o.Variables, errs = l.Variables(o.Document, r); len(errs) > 0 {
		return o, errs
	}
	o.Definition = o.Parsed.Operations.ForName(r.OperationName)
	return o, nil
}

// Find returns the document of a request, and the cost of its operation by package limits. The errors have codes. There
// are at most [MaxErrors]. With the code COST_LIMIT, the cost may be known too.
func (l *Library) Find(r Request) (*Document, int64, gqlerror.List) {
	cost := int64(0)
	affordable := func(d *Document) *gqlerror.Error {
		var err error
		if cost, err = d.measured.Cost(d.Parsed.Operations.ForName(r.OperationName), r.Variables); err != nil {
			return refuse(codes.CostLimit, err.Error())
		}
		return nil
	}
	d, err := l.lookUp(r)
	if err != nil {
		return nil, 0, gqlerror.List{err}
	}
	if d != nil {
		if err := affordable(d); err != nil {
			return nil, cost, gqlerror.List{err}
		}
	} else {
		var errs gqlerror.List
		if d, errs = l.prepare(r.Text, affordable); len(errs) > 0 {
			return nil, cost, errs
		}
		if !r.Unkept {
			l.cache.add(d)
		}
	}
	if errs := d.nulls(d.Parsed.Operations.ForName(r.OperationName), r.Variables); len(errs) > 0 {
		return nil, cost, errs
	}
	return d, cost, nil
}

// lookUp returns the document of a request if it has been prepared before, or nil.
func (l *Library) lookUp(r Request) (*Document, *gqlerror.Error) {
	id := r.DocumentID
	if id == "" {
		var err *gqlerror.Error
		if id, err = persisted(r.Extensions); err != nil {
			return nil, err
		}
	}
	switch {
	case r.Text == "" && id == "":
		return nil, refuse(codes.BadRequest, "the request has no document")
	case l.byText != nil:
		return l.findTrusted(r.Text, id)
	case r.Text == "":
		if d := l.cache.byHash(id); d != nil {
			return d, nil
		}
		return nil, refuse(codes.PersistedQueryNotFound, "PersistedQueryNotFound")
	case id != "" && hashOf(r.Text) != parseHash(id):
		return nil, refuse(codes.BadRequest, "the hash in extensions.persistedQuery is not that of the document")
	}
	return l.cache.byText(r.Text), nil
}

// findTrusted finds a trusted document by its key or its text. If both are given, they must name the same document.
func (l *Library) findTrusted(text, id string) (*Document, *gqlerror.Error) {
	d := l.byKey[withoutAlgorithm(id)]
	if id == "" {
		d = l.byText[text]
	}
	if d == nil || text != "" && text != d.Text {
		return nil, refuse(codes.Forbidden, "only trusted documents are executed here, and this is none of them")
	}
	return d, nil
}

// prepare checks a new document. The cheap checks come first. check may be nil, or another check before the validation.
func (l *Library) prepare(text string, check func(*Document) *gqlerror.Error) (*Document, gqlerror.List) {
	source := withLineFeeds(text)
	lexed, err := l.Limits.Text(source)
	if err != nil {
		return nil, gqlerror.List{refuse(codes.CostLimit, err.Error())}
	}
	if err := wholeCharacters(source); err != nil {
		return nil, gqlerror.List{err}
	}
	parsed, err := parser.ParseQuery(&ast.Source{Input: source})
	if err != nil {
		return nil, correctLocations(source, notParsed(source, err))
	}
	if len(parsed.Operations) == 0 {
		return nil, gqlerror.List{refuse(codes.ValidationFailed, "no operation provided")}
	}
	measured, err := l.Limits.Document(parsed)
	if err != nil {
		return nil, gqlerror.List{refuse(codes.CostLimit, err.Error())}
	}
	if c := measured.Cycle; c != nil {
		err := refuse(codes.ValidationFailed, fmt.Sprintf("Cannot spread fragment %q within itself.", c.Name))
		err.Locations = []gqlerror.Location{{Line: c.Position.Line, Column: c.Position.Column}}
		return nil, gqlerror.List{Tidy(err)}
	}
	d := &Document{Text: text, Parsed: parsed, measured: measured, room: roomOf(measured)}
	d.size = sizeOf(text, lexed.Tokens, measured) + d.room
	if check != nil {
		if err := check(d); err != nil {
			return nil, gqlerror.List{err}
		}
	}
	variables, errs := l.validate(parsed, lexed.Longest)
	if len(errs) > 0 {
		return nil, correctLocations(source, errs...)
	}
	d.nonNull = variables.nonNull
	return d, nil
}

// The approximate memory of a document besides its text, in bytes.
const (
	bytesPerToken    = 120
	bytesPerStep     = 40
	bytesPerDocument = 1 << 10
)

// The memory that a document has for what the executor keeps, in bytes.
const (
	roomPerPart     = 400
	roomPerDocument = 4 << 10
)

func roomOf(m *limits.Document) int64 { return roomPerDocument + roomPerPart*m.Expanded }

func sizeOf(text string, tokens int, m *limits.Document) int64 {
	return 2*int64(len(text)) + bytesPerToken*int64(tokens) + bytesPerStep*m.Steps + bytesPerDocument
}
