package query

import (
	"io"
	"strconv"

	"roster/ent/rules"
)

// An Order sorts the rows of T by one field.
type Order[T any] struct {
	Field     OrderField[T]
	Direction OrderDirection
}

// An OrderField is a value of the GraphQL enum that sorts the rows of T: a key of the Orders of their table.
type OrderField[T any] string

// UnmarshalGQL reads the name of a field; the page checks it.
func (f *OrderField[T]) UnmarshalGQL(v any) error {
	s, _ := v.(string)
	*f = OrderField[T](s)
	return nil
}

// MarshalGQL writes the name of a field.
func (f OrderField[T]) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, strconv.Quote(string(f))) // gqlgen's writer is a buffer
}

// OrderDirection is the direction of an order.
type OrderDirection string

// The directions.
const (
	Asc  OrderDirection = "ASC"
	Desc OrderDirection = "DESC"
)

// UnmarshalGQL reads a direction.
func (d *OrderDirection) UnmarshalGQL(v any) error {
	s, _ := v.(string)
	*d = OrderDirection(s)
	if *d != Asc && *d != Desc {
		return &rules.Fault{Code: rules.Invalid, Message: "must be ASC or DESC"}
	}
	return nil
}

// MarshalGQL writes a direction.
func (d OrderDirection) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, strconv.Quote(string(d))) // gqlgen's writer is a buffer
}
