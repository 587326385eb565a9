// Package limits measures GraphQL documents and their variables before they are validated or executed, and refuses
// those that are too large. The limits bound the number of steps of the measurement. It visits each part of a document
// once, and then once for each place where a fragment puts it, if there are not too many.
//
// The package does not depend on entities, requests or databases. It recognises pages and batches by the shape of the
// schema.
package limits

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// Limits bound a document and its variables. Tags give each limit its flag, default, bounds and meaning, as in package
// config. docs/limits.md explains them.
//
// A limit of 0 is no limit, except for MaxExpanded and MaxRepeats, which bound the work of measuring and validating.
// For them, 0 is the maximum of the flag.
type Limits struct {
	MaxDocumentBytes  int `default:"262144" min:"0" placeholder:"BYTES" help:"Maximum size of a document, in bytes. 0: only the size of the body limits it."`
	MaxTokens         int `default:"10000" min:"0" placeholder:"NUMBER" help:"Maximum number of tokens of a document. 0: no limit."`
	MaxDepth          int `default:"25" min:"0" placeholder:"NUMBER" help:"Maximum depth of nested selection sets. 0: no limit."`
	MaxFields         int `default:"2000" min:"0" placeholder:"NUMBER" help:"Maximum number of fields of a document. 0: no limit."`
	MaxExpanded       int `default:"20000" min:"1" max:"1000000" placeholder:"NUMBER" help:"Maximum number of fields, fragments, directives and values of a document. A fragment counts at each use. At most 1000000."`
	MaxRepeats        int `default:"20000" min:"1" max:"10000000" placeholder:"NUMBER" help:"Maximum number of pairs of fields that have the same response name in the same place. At most 10000000."`
	MaxAliases        int `default:"250" min:"0" placeholder:"NUMBER" help:"Maximum number of aliases of a document. 0: no limit."`
	MaxDirectives     int `default:"250" min:"0" placeholder:"NUMBER" help:"Maximum number of directives of a document. 0: no limit."`
	MaxVariables      int `default:"500" min:"0" placeholder:"NUMBER" help:"Maximum number of variables of an operation. 0: no limit."`
	MaxMutationFields int `default:"100" min:"0" placeholder:"NUMBER" help:"Maximum number of fields of a mutation. Each field is a change. 0: no limit."`
	MaxInputDepth     int `default:"30" min:"0" placeholder:"NUMBER" help:"Maximum depth of nested lists and objects in an argument or a variable. 0: no limit."`
	MaxInputList      int `default:"2000" min:"0" placeholder:"NUMBER" help:"Maximum number of values of a list in an argument or a variable. 0: no limit."`
	MaxInputValues    int `default:"20000" min:"0" placeholder:"NUMBER" help:"Maximum number of values in all arguments, and in all variables. 0: no limit."`
	MaxCost           int `group:"Used most:" default:"100000" min:"0" placeholder:"NUMBER" help:"Maximum cost of an operation: the objects that it can return, and surcharges. 0: no limit."`
}

// Default returns the default limits. They are far above the documents that people write, and low enough to check a
// document in a few milliseconds.
func Default() (l Limits) {
	fields := reflect.ValueOf(&l).Elem()
	for field, value := range fields.Fields() {
		n, _ := strconv.ParseInt(field.Tag.Get("default"), 10, 64) // a test compares them with those of the flags
		value.SetInt(n)
	}
	return l
}

// The maximums of the limits that cannot be turned off.
const (
	ceilingExpanded = 1_000_000
	ceilingRepeats  = 10_000_000
)

// maxNesting is the maximum depth of nested brackets. It bounds the recursion of all code that reads the document. The
// other limits of depth are lower, and their errors say more.
const maxNesting = 200

// An ExceededError says which limit is exceeded. It repeats nothing of the document.
type ExceededError struct {
	// Format has a verb for Found, such as "the document has %s tokens".
	Format         string
	Found, Allowed int64
}

func (e *ExceededError) Error() string {
	if e.Found == math.MaxInt64 || e.Found <= e.Allowed { // counting has stopped at the limit
		return fmt.Sprintf(e.Format, fmt.Sprintf("more than %d", e.Allowed))
	}
	return fmt.Sprintf(e.Format+"; the limit is %d", fmt.Sprint(e.Found), e.Allowed)
}

// over returns an *ExceededError if a number is above its limit. A limit of 0 is no limit.
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
	// batches has the names of the types that mutations of many return.
	batches map[string]bool
}

// New returns a checker of documents for a schema.
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

// plus adds numbers of at least 0. A sum that overflows is math.MaxInt64. times multiplies in the same way.
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
