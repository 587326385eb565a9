package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// pointer is a JSON Pointer (RFC 6901): the names that lead from a document to a value.
type pointer []string

// parsePointer parses a pointer. The whole document is no value of a claim. The error has an example.
func parsePointer(text, example string) (pointer, error) {
	unescaped := strings.NewReplacer("~0", "", "~1", "").Replace(text)
	if !strings.HasPrefix(text, "/") || strings.Contains(unescaped, "~") {
		return nil, fmt.Errorf("must be a JSON Pointer such as %s, not %q", example, text)
	}
	names := strings.Split(text[1:], "/")
	for i, name := range names {
		names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return names, nil
}

// find returns the value at the pointer, or nil.
func (p pointer) find(value any) any {
	for _, name := range p {
		switch container := value.(type) {
		case map[string]any:
			value = container[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || strconv.Itoa(i) != name || i < 0 || i >= len(container) {
				return nil
			}
			value = container[i]
		default:
			return nil
		}
	}
	return value
}

// set sets the value at the pointer, and creates the objects on the way.
func (p pointer) set(object map[string]any, value any) error {
	for _, name := range p[:len(p)-1] {
		if object[name] == nil {
			object[name] = map[string]any{}
		}
		next, ok := object[name].(map[string]any)
		if !ok {
			return errors.New("a claim is below another claim that is no object")
		}
		object = next
	}
	last := p[len(p)-1]
	if object[last] != nil {
		return errors.New("two claims have the same place")
	}
	object[last] = value
	return nil
}
