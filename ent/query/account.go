package query

import (
	"entgo.io/ent/dialect/sql"

	"roster/internal/budget"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// bytesPerRow is the approximate memory of a row without its texts, in bytes.
const bytesPerRow = 384

// account charges the rows of a statement to the budget of an answer while they are read.
type account struct {
	answer    *budget.Answer
	statement *statement.Select
	texts     []text
	n         map[typeid.ID]int // the rows of each parent so far; rows of different parents can alternate
}

// A text is the destination of a text. Clients do not see a hidden one.
type text struct {
	*sql.NullString

	hidden bool
}

// newAccount returns an account of rows that are scanned into values.
func newAccount(answer *budget.Answer, s *statement.Select, values []any) *account {
	a := &account{answer: answer, statement: s, n: map[typeid.ID]int{}}
	for i, value := range values {
		if destination, ok := value.(*sql.NullString); ok {
			column, _ := s.Table.Column(s.Columns[i])
			a.texts = append(a.texts, text{destination, column.Folded})
		}
	}
	return a
}

// row charges the row that was scanned last, and reports whether it belongs to the answer. The extra row of a page does
// not: it only tells that another page follows. A locked row may not become part of the answer, so its texts do not
// count as answered.
func (a *account) row(parent typeid.ID) (answered bool, err error) {
	answered = true
	if a.statement.Limit > 0 {
		a.n[parent]++
		answered = a.n[parent] < a.statement.Limit
	}
	if a.answer == nil {
		return answered, nil
	}
	var all, seen int64
	for _, t := range a.texts {
		n := int64(len(t.String)) // NULL has none
		all += n
		if answered && !a.statement.Lock && !t.hidden {
			seen += n
		}
	}
	return answered, a.answer.Row(bytesPerRow+all, seen)
}
