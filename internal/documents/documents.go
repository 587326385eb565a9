// Package documents decides which GraphQL document a request executes. It finds the document by its text, by its hash or
// by the key of a trusted one, and lets nothing through that is not within the limits and valid: the cheap checks come
// first, and what has passed all of them is kept, in as many bytes as it is given. It knows no HTTP and nothing of what
// documents ask for.
package documents

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"roster/internal/limits"
)

// Options are what a library stands on.
type Options struct {
	// Schema is what documents are valid for.
	Schema *ast.Schema
	// Limits checks documents for Schema.
	Limits *limits.Checker
	// CacheBytes is how much memory the documents take that are kept; 0 keeps none.
	CacheBytes int64
	// Introspection says that documents may ask for the schema. Without it, errors do not tell about the schema either.
	Introspection bool
	// Trusted are the only documents that are executed, by their keys; nil lets clients send others.
	Trusted map[string]string
}

// A Library has the documents that may be executed. It can be used by several goroutines at once.
type Library struct {
	Options
	rules   []validator.Rule
	suggest []validator.Rule // the same with suggestions, which take time for long words
	cache   *cache
	trusted map[string]*Document // by their keys and by their texts
}

// New returns a library. The error says which of the trusted documents cannot be executed, and why.
func New(o Options) (*Library, error) {
	l := &Library{Options: o, cache: newCache(o.CacheBytes)}
	l.rules, l.suggest = ruleSets(o.Introspection)
	if o.Trusted == nil {
		return l, nil
	}
	l.trusted = make(map[string]*Document, 2*len(o.Trusted))
	for _, key := range slices.Sorted(maps.Keys(o.Trusted)) {
		text := o.Trusted[key]
		d := l.trusted[textKey(text)]
		if d == nil {
			var errs gqlerror.List
			if d, errs = l.prepare(text); len(errs) > 0 {
				return nil, fmt.Errorf("trusted document %.100q: %s", key, describe(errs[0]))
			}
			l.trusted[textKey(text)] = d
		}
		if l.trusted[idKey(key)] != nil {
			return nil, fmt.Errorf("trusted document %.100q: another one has the same key", key)
		}
		l.trusted[idKey(key)] = d
	}
	return l, nil
}

// describe is an error for the operator.
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
	size     int64 // in memory, about
}

// Cost is the cost of one operation of the document, by its name, with the variables as they came, by package limits.
// The error has the code COST_LIMIT.
func (d *Document) Cost(operationName string, variables map[string]any) (int64, *gqlerror.Error) {
	cost, err := d.measured.Cost(d.Parsed.Operations.ForName(operationName), variables)
	if err != nil {
		return cost, refuse(CostLimit, err.Error())
	}
	return cost, nil
}

// Find returns the document of a request by its text and its extensions, of which one may be left out. The errors, at
// most [MaxErrors], have one of the codes in their extensions.
func (l *Library) Find(text string, extensions map[string]any) (*Document, gqlerror.List) {
	id, err := persisted(extensions)
	if err != nil {
		return nil, gqlerror.List{err}
	}
	if text == "" && id == "" {
		return nil, gqlerror.List{refuse(BadRequest, "the request has no document")}
	}
	if l.trusted != nil {
		return l.findTrusted(text, id)
	}
	if text == "" {
		if d := l.cache.byHash(id); d != nil {
			return d, nil
		}
		return nil, gqlerror.List{refuse(PersistedQueryNotFound, "PersistedQueryNotFound")}
	}
	if id != "" && hashOf(text) != parseHash(id) {
		return nil, gqlerror.List{refuse(BadRequest, "the hash in extensions.persistedQuery is not that of the document")}
	}
	if d := l.cache.byText(text); d != nil {
		return d, nil
	}
	d, errs := l.prepare(text)
	if len(errs) > 0 {
		return nil, errs
	}
	l.cache.add(d)
	return d, nil
}

func (l *Library) findTrusted(text, id string) (*Document, gqlerror.List) {
	keys := []string{textKey(text), idKey(id)}
	if text == "" {
		keys = keys[1:]
	} else if id == "" {
		keys = keys[:1]
	}
	d := l.trusted[keys[0]]
	for _, key := range keys {
		if l.trusted[key] == nil || l.trusted[key] != d {
			return nil, gqlerror.List{refuse(Forbidden, "only trusted documents are executed here, and this is none of them")}
		}
	}
	return d, nil
}

// textKey and idKey keep the texts and the keys of trusted documents apart.
func textKey(text string) string { return "text " + text }
func idKey(id string) string     { return "id " + withoutAlgorithm(id) }

// prepare checks a document that is not known yet, the cheapest first.
func (l *Library) prepare(text string) (*Document, gqlerror.List) {
	found, err := l.Limits.Text(text)
	if err != nil {
		return nil, gqlerror.List{refuse(CostLimit, err.Error())}
	}
	if err := wholeCharacters(text); err != nil {
		return nil, gqlerror.List{err}
	}
	parsed, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		return nil, gqlerror.List{notParsed(err)}
	}
	if len(parsed.Operations) == 0 {
		return nil, gqlerror.List{refuse(ValidationFailed, "no operation provided")}
	}
	measured, err := l.Limits.Document(parsed)
	if err != nil {
		return nil, gqlerror.List{refuse(CostLimit, err.Error())}
	}
	if c := measured.Cycle; c != nil {
		err := refuse(ValidationFailed, fmt.Sprintf("Cannot spread fragment %q within itself.", c.Name))
		err.Locations = []gqlerror.Location{{Line: c.Position.Line, Column: c.Position.Column}}
		return nil, gqlerror.List{Tidy(err)}
	}
	if errs := l.validate(parsed, found.Longest); len(errs) > 0 {
		return nil, errs
	}
	return &Document{Text: text, Parsed: parsed, measured: measured, size: sizeOf(text, found.Tokens, measured)}, nil
}

// In memory, a document takes about as much for each token and for each step of measuring.
const (
	bytesPerToken = 120
	bytesPerStep  = 40
)

func sizeOf(text string, tokens int, m *limits.Document) int64 {
	return int64(len(text)) + bytesPerToken*int64(tokens) + bytesPerStep*m.Steps + 1<<10
}
