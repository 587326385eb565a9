package query

import (
	"entgo.io/ent/dialect/sql"

	"roster/internal/budget"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// bytesPerRow is how many bytes of memory a row takes beside its texts, about.
const bytesPerRow = 384

// account counts the rows of a statement on the budget of an answer while they are read.
type account struct {
	answer        *budget.Answer
	statement     *statement.Select
	texts, hidden []*sql.NullString // the destinations of texts; hidden are those that clients do not see
	parent        typeid.ID
	n             int // rows of the parent
}

// newAccount counts rows that are scanned into values.
func newAccount(answer *budget.Answer, s *statement.Select, values []any) *account {
	a := &account{answer: answer, statement: s}
	for i, value := range values {
		text, ok := value.(*sql.NullString)
		if !ok {
			continue
		}
		if column, _ := s.Table.Column(s.Columns[i]); column.Folded {
			a.hidden = append(a.hidden, text)
		} else {
			a.texts = append(a.texts, text)
		}
	}
	return a
}

// row counts the row that was scanned last, and reports whether it is answered: the last row of a page only tells that there
// are more. A locked row need not be answered.
func (a *account) row(parent typeid.ID) (answered bool, err error) {
	if parent != a.parent {
		a.parent, a.n = parent, 0
	}
	a.n++
	answered = a.n != a.statement.Limit
	if a.answer == nil {
		return answered, nil
	}
	seen := size(a.texts)
	all := seen + size(a.hidden)
	if a.statement.Lock || !answered {
		seen = 0
	}
	return answered, a.answer.Row(bytesPerRow+all, seen)
}

// size is how many bytes texts have; those that are NULL are empty.
func size(texts []*sql.NullString) (n int64) {
	for _, t := range texts {
		n += int64(len(t.String))
	}
	return n
}
