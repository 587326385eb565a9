package statement

import "entgo.io/ent/dialect/sql"

// The tables of the change feed, by which a Select counts all rows of a type.
const (
	ChangesTable = "changes"
	FeedTable    = "feed"
	CountsTable  = "counts"
)

// Net is the expression for the number of rows by which a selection of changes raises the count of their type.
const Net = "SUM(CASE kind WHEN 'created' THEN 1 WHEN 'deleted' THEN -1 ELSE 0 END)"

// countsAll reports whether the Select counts all rows of its table.
func (s *Select) countsAll() bool {
	return s.Count && s.Parents == nil && s.IDs == nil && s.Among == nil && s.Filter == nil
}

// kept writes the statement that counts all rows of a type without reading them. The table of counts has them up to the
// number counted of the feed. To this, the statement adds the changes with higher numbers and those without a number. All
// are of one snapshot, and so is the sum. It reads the rows only if the database does not know their count: they were
// never counted, or changes after the number counted are deleted.
//
// Each row has its change in the same transaction. But a transaction writes its changes last, so the count of a statement
// in the transaction itself lacks them.
func (s *Select) kept(b *sql.Builder) {
	label := "'" + s.Table.Type + "'" // a name in the schema of ent
	changes := func(where string) {
		b.WriteString(" + COALESCE((SELECT " + Net + " FROM " + of(b).changes() + " WHERE " + where + " AND type = " + label + "), 0)")
	}
	b.WriteString("SELECT CASE WHEN f.counted >= f.pruned THEN COALESCE((SELECT count FROM " + CountsTable + " WHERE type = " + label + "), 0)")
	changes("number > f.counted AND number <= f.last")
	changes("number IS NULL")
	b.WriteString(" ELSE ")
	of(b).countRows(b, s.Table.Name)
	b.WriteString(" END FROM " + FeedTable + " AS f WHERE f.id = 1")
}
