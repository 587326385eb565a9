package database

import (
	"context"
	"database/sql"
	"strings"

	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/record"
)

// explaining begins a statement that explains another one.
const explaining = "EXPLAIN "

// Explain returns the plan of each statement, in the form of the engine and without values. The engine plans the statements, and
// does not run them. Each has a transaction of its own, which is rolled back. The plan is empty for a statement that the engine
// does not explain, and for those after the end of ctx.
func (db *DB) Explain(ctx context.Context, statements []record.Statement) []string {
	ctx = record.WithOperation(ctx, nil) // what explains is no statement of the operation
	plans := make([]string, len(statements))
	for i := range statements {
		if ctx.Err() != nil {
			break
		}
		var err error
		if plans[i], err = db.explain(ctx, &statements[i]); err != nil {
			db.options.Logger.DebugContext(ctx, "a statement cannot be explained", "statement", statements[i].Text, "error", err)
		}
	}
	return plans
}

func (db *DB) explain(ctx context.Context, s *record.Statement) (string, error) {
	verb, _, _ := strings.Cut(s.Text, " ")
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH":
	default: // such as SAVEPOINT and COPY
		return "", nil
	}
	args := s.Arguments
	if args == nil {
		args = []any{}
	}
	query, mode := db.engine.explaining(s.Text)
	session := db.Session(mode)
	defer session.Rollback()
	var lines []string
	err := Each(ctx, session, query, args, func(row *entsql.Rows) error {
		names, err := row.Columns()
		if err != nil {
			return err
		}
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := row.Scan(into...); err != nil {
			return err
		}
		lines = append(lines, db.engine.planLine(names, values))
		return nil
	})
	return db.engine.withoutValues(strings.Join(lines, "\n")), err
}

func (base) explaining(query string) (string, Mode) { return explaining + query, Snapshot }

func (base) withoutValues(plan string) string { return plan }

// planLine returns the columns that are not NULL, with their names.
func (base) planLine(names []string, values []sql.NullString) string {
	var parts []string
	for i, v := range values {
		if v.Valid && v.String != "" {
			parts = append(parts, names[i]+"="+v.String)
		}
	}
	return strings.Join(parts, " ")
}
