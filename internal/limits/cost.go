package limits

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// Cost returns the cost of an operation of the document with variables that are not coerced yet. The error is an
// *ExceededError, for the cost or for the size of the variables. If o is nil, only the variables are checked.
func (d *Document) Cost(o *ast.OperationDefinition, variables map[string]any) (int64, error) {
	in := inputs{limits: &d.checker.limits, prices: d.checker.prices.Conditions}
	if err := in.variables(variables); err != nil {
		return 0, err
	}
	tree := d.operations[o]
	if tree == nil {
		return 0, nil
	}
	e := evaluation{operation: tree, prices: &d.checker.prices, variables: variables, searches: in.searches}
	below := e.below(&tree.root, 0)
	cost := plus(below/priceOfObject, e.extra)
	if below%priceOfObject > 0 {
		cost = plus(cost, 1)
	}
	return cost, over("the operation costs %s", cost, d.checker.limits.MaxCost)
}

// evaluation computes the cost of one operation with its variables.
type evaluation struct {
	*operation
	prices    *Prices
	variables map[string]any
	searches  map[string]int64 // the surcharges in the values of variables
	extra     int64            // the surcharges so far
}

// node returns the price of a node for each object above it, in values.
func (e *evaluation) node(n *node, page int64) int64 {
	return times(e.largest(n.count, page), plus(priceOfObject, e.below(n, e.largest(n.page, page))))
}

// below returns the price of what is below a node, in values. It adds the surcharges to extra.
func (e *evaluation) below(n *node, page int64) int64 {
	sum := times(n.values, priceOfValue)
	for i := range n.below {
		sum = plus(sum, e.node(&n.below[i], page))
	}
	e.extra = plus(e.extra, plus(n.extra, e.largest(n.inputs, 0)))
	for _, variable := range n.searches {
		e.extra = plus(e.extra, e.search(variable))
	}
	return sum
}

func (e *evaluation) largest(counts []count, page int64) int64 {
	largest := int64(0)
	for _, c := range counts {
		n := c.fixed
		switch c.of {
		case fixedCount:
		case pageAbove:
			n = page
		case pageVariable:
			n = e.page(c)
		case valueVariable:
			n = e.length(c.variable)
		}
		largest = max(largest, n)
	}
	return largest
}

// page returns the page size in a variable.
func (e *evaluation) page(c count) int64 {
	value, given := e.variables[c.variable]
	if !given {
		v := e.defaults[c.variable].value
		switch {
		case v == nil:
			return c.fixed
		case v.Kind == ast.NullValue:
			return int64(e.prices.Page)
		}
		return pageSize(v.Raw, c.most)
	}
	switch n := value.(type) {
	case nil:
		return int64(e.prices.Page)
	case json.Number:
		return pageSize(string(n), c.most)
	}
	return c.most
}

// pageSize returns the page size for a number. It is the maximum if the text is no number, or too large.
func pageSize(number string, most int64) int64 {
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		return clamp(n, most)
	}
	n, err := strconv.ParseFloat(number, 64) // 1e1 and 10.0 are 10
	if err != nil || math.Abs(n) > float64(most) {
		return most
	}
	return clamp(int64(n), most)
}

func clamp(n, most int64) int64 { return min(max(n, 0), most) }

// length returns the number of values of the list in a variable.
func (e *evaluation) length(variable string) int64 {
	value, given := e.variables[variable]
	if list, ok := value.([]any); ok {
		return int64(len(list))
	}
	if v := e.defaults[variable].value; !given && v != nil && v.Kind == ast.ListValue {
		return int64(len(v.Children))
	}
	return 1 // a single value stands for a list with this value
}

// search returns the surcharges in a variable.
func (e *evaluation) search(variable string) int64 {
	if _, given := e.variables[variable]; given {
		return e.searches[variable]
	}
	return e.defaults[variable].extra
}
