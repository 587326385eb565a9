package query

// An Order sorts the rows of T by one field.
type Order[T any] struct {
	Field     OrderField[T]
	Direction OrderDirection
}

// An OrderField is a value of the GraphQL enum that orders the rows of T: a key of Orders in their table.
type OrderField[T any] string

// OrderDirection is the direction of an order.
type OrderDirection string

// The directions.
const (
	Asc  OrderDirection = "ASC"
	Desc OrderDirection = "DESC"
)
