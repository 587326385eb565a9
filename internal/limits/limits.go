// Package limits measures GraphQL documents and their variables before anything expensive is done with them, and says
// which ask for too much. Measuring takes a number of steps that the limits bound, whatever a document says: each part
// of a document is looked at once, and again for each place at which a fragment puts it, but only when those are few.
//
// It knows the schema by its shape alone: no entities, no requests and no databases.
package limits

import (
	"fmt"
	"math"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// Limits are the most that a document and its variables may have. A limit of 0 is none, but for MaxExpanded and
// MaxRepeats, by which the work of measuring and validating is bounded: there 0 stands for the largest number that may
// be, 1,000,000 and 10,000,000.
type Limits struct {
	MaxDocumentBytes  int // bytes of the document
	MaxTokens         int // tokens of the document, comments included
	MaxDepth          int // selection sets inside one another, fragments put in their places
	MaxFields         int // fields, as they are written
	MaxExpanded       int // fields, fragments, directives and values, fragments put in their places
	MaxRepeats        int // pairs of fields that answer under one name in one place
	MaxAliases        int // aliases, as they are written
	MaxDirectives     int // directives, as they are written
	MaxVariables      int // variables that an operation declares
	MaxMutationFields int // fields of a mutation, of which each is run
	MaxInputDepth     int // lists and objects inside one another, in the document or a variable
	MaxInputList      int // values of one list, in the document or a variable
	MaxInputValues    int // values in all, once in the document and once in the variables
	MaxCost           int // cost of the operation
}

// Default returns the default limits of the server. They are far above the documents that people write, and low enough
// to check a document in a few milliseconds.
func Default() Limits {
	return Limits{
		MaxDocumentBytes:  256 << 10,
		MaxTokens:         10_000,
		MaxDepth:          25,
		MaxFields:         2_000,
		MaxExpanded:       20_000,
		MaxRepeats:        20_000,
		MaxAliases:        250,
		MaxDirectives:     250,
		MaxVariables:      500,
		MaxMutationFields: 100,
		MaxInputDepth:     30,
		MaxInputList:      2_000,
		MaxInputValues:    20_000,
		MaxCost:           100_000,
	}
}

// Ceilings of the limits that cannot be switched off.
const (
	ceilingExpanded = 1_000_000
	ceilingRepeats  = 10_000_000
)

// maxNesting is how deep the brackets of a document may be nested. It keeps the recursion of whatever reads the
// document shallow; the limits of depth, which say more, are lower.
const maxNesting = 200

// An ExceededError says which limit something is over. It repeats nothing of the document.
type ExceededError struct {
	// Format has a verb for Found, such as "the document has %s tokens".
	Format         string
	Found, Allowed int64
}

func (e *ExceededError) Error() string {
	if e.Found == math.MaxInt64 || e.Found <= e.Allowed { // where counting has stopped
		return fmt.Sprintf(e.Format, fmt.Sprintf("more than %d", e.Allowed))
	}
	return fmt.Sprintf(e.Format+"; the limit is %d", fmt.Sprint(e.Found), e.Allowed)
}

// over returns the error of a number that is over its limit.
func over(format string, found int64, limit int) error {
	if limit == 0 || found <= int64(limit) {
		return nil
	}
	return &ExceededError{Format: format, Found: found, Allowed: int64(limit)}
}

// firstOf returns the first error that is not nil.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A Checker checks documents for one schema. It can be used by several goroutines at once.
type Checker struct {
	schema *ast.Schema
	limits Limits
	prices Prices
	// batches are the types that mutations of many answer, by their names.
	batches map[string]bool
}

// New returns a checker for the documents of a schema, which gqlparser has loaded.
func New(schema *ast.Schema, l Limits, p Prices) *Checker {
	if l.MaxExpanded == 0 || l.MaxExpanded > ceilingExpanded {
		l.MaxExpanded = ceilingExpanded
	}
	if l.MaxRepeats == 0 || l.MaxRepeats > ceilingRepeats {
		l.MaxRepeats = ceilingRepeats
	}
	c := &Checker{schema: schema, limits: l, prices: p, batches: map[string]bool{}}
	if schema.Mutation != nil {
		for _, f := range schema.Mutation.Fields {
			if f.Type.Elem == nil && slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool { return a.Type.Elem != nil }) {
				c.batches[f.Type.Name()] = true
			}
		}
	}
	return c
}

// plus and times are arithmetic that ends at the largest number instead of beginning again at the smallest. They are
// for numbers from 0.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func times(a, b int64) int64 {
	if a != 0 && b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}
