// Package limits measures GraphQL documents and their variables before anything expensive is done with them, and says
// which ask for too much. Measuring takes a number of steps that the limits bound, whatever a document says: each part
// of a document is looked at once, and again for each place at which a fragment puts it, but only when those are few.
//
// It knows the schema by its shape alone: no entities, no requests and no databases.
package limits

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// Limits bound a document and its variables. Tags give each limit its flag, default, bounds and meaning, as in package config.
// docs/limits.md explains them.
//
// A limit of 0 is no limit, except for MaxExpanded and MaxRepeats, which bound the work of measuring and validating. For them,
// 0 is the maximum of the flag.
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

// Default returns the default limits. They are far above the documents that people write, and low enough to check a document
// in a few milliseconds.
func Default() (l Limits) {
	fields := reflect.ValueOf(&l).Elem()
	for field, value := range fields.Fields() {
		n, _ := strconv.ParseInt(field.Tag.Get("default"), 10, 64) // a test compares them with those of the flags
		value.SetInt(n)
	}
	return l
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
