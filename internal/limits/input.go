package limits

import "math"

// inputs walks the values of variables as they were decoded from JSON: nil, booleans, numbers, strings, []any and
// map[string]any. It stops at the first limit that is exceeded.
type inputs struct {
	limits   *Limits
	prices   map[string]int64
	values   int
	searches map[string]int64 // the surcharges of the variables that have any
	price    int64            // the surcharges of the current variable
}

func (in *inputs) variables(variables map[string]any) error {
	in.searches = map[string]int64{}
	for name, value := range variables {
		in.price = 0
		if err := in.value(value, 1); err != nil {
			return err
		}
		if in.price > 0 {
			in.searches[name] = in.price
		}
	}
	return nil
}

func (in *inputs) value(v any, depth int) error {
	in.values++
	if in.values > in.limits.MaxInputValues && in.limits.MaxInputValues > 0 {
		return &ExceededError{Format: "the variables have %s values", Allowed: int64(in.limits.MaxInputValues)}
	}
	list, isList := v.([]any)
	object, isObject := v.(map[string]any)
	if !isList && !isObject {
		return nil
	}
	deepest := in.limits.MaxInputDepth
	if deepest == 0 {
		deepest = math.MaxInt
	}
	if depth > deepest {
		return &ExceededError{Format: "a variable is %s levels deep", Allowed: int64(deepest)}
	}
	if err := over("a list in a variable has %s values", int64(len(list)), in.limits.MaxInputList); err != nil {
		return err
	}
	for _, element := range list {
		if err := in.value(element, depth+1); err != nil {
			return err
		}
	}
	for key, field := range object {
		if field != nil {
			in.price = plus(in.price, in.prices[key])
		}
		if err := in.value(field, depth+1); err != nil {
			return err
		}
	}
	return nil
}
