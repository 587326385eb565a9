package limits

import "math"

// inputs walks the values of variables as they were decoded from JSON: nil, booleans, numbers, strings, []any and
// map[string]any. It stops as soon as a limit is passed.
type inputs struct {
	limits   *Limits
	prices   map[string]int64
	values   int
	searches map[string]int64 // of the variables that have any
	price    int64            // of the variable that is walked
}

func (in *inputs) variables(variables map[string]any) error {
	for name, value := range variables {
		in.price = 0
		if err := in.value(value, 1); err != nil {
			return err
		}
		if in.price > 0 {
			if in.searches == nil {
				in.searches = map[string]int64{}
			}
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
	length := 0
	switch v := v.(type) {
	case []any:
		length = len(v)
	case map[string]any:
	default:
		return nil
	}
	deepest := in.limits.MaxInputDepth
	if deepest == 0 {
		deepest = math.MaxInt
	}
	if depth > deepest {
		return &ExceededError{Format: "a variable is %s levels deep", Allowed: int64(deepest)}
	}
	if err := over("a list in a variable has %s values", int64(length), in.limits.MaxInputList); err != nil {
		return err
	}
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			if err := in.value(element, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, field := range v {
			if field != nil {
				in.price = plus(in.price, in.prices[key])
			}
			if err := in.value(field, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
