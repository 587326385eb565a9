package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/ent/migrate"
	"roster/ent/query"
	"roster/graph"
	"roster/internal/dbtest/servers"
	"roster/internal/typeid"
)

// Rows of the filler. Row i of an entity was created i seconds after fillStart, and its ID has this time. Its texts are a hash of
// i, so they come in no order. The values of a row depend only on i: a database grows by further rows.
//
//   - The first rowsWithValue rows have a value in columns that may be NULL.
//   - Each row refers to one parent. Each of the first busy rows has postsPerUser children, so that W3 finds them; each of the
//     last busy*(postsPerUser-1) rows has none.
//   - One row in statusEvery has the second value of an enum.
const (
	fillStart     = 1_735_689_600 // seconds since 1970: 2025-01-01
	rowsWithValue = 10
	busy          = 50
	statusEvery   = 997
	hashFactor    = 2_654_435_761 // odd, so that hashes below hashSize differ
	hashSize      = 1 << 32
)

// few are the entities of which there are few, however many users there are.
func few() map[string]int { return map[string]int{"ApiKey": smallest} }

// filler fills a store by SQL. The rows do not pass the server: this takes a tenth of the time.
type filler struct {
	pool   *sql.DB
	db     *sql.Conn // its settings are those of the session
	schema *ast.Schema
}

func newFiller(ctx context.Context, st *store) (*filler, error) {
	pool, err := servers.Open(st.url)
	if err != nil {
		return nil, err
	}
	db, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	f := &filler{pool, db, served()}
	// Without the triggers of foreign keys: all rows refer to rows that exist.
	return f, f.exec(ctx, "SET session_replication_role = replica", "SET maintenance_work_mem = '512MB'")
}

// Close ends the session.
func (f *filler) Close() error { return errors.Join(f.db.Close(), f.pool.Close()) }

func (f *filler) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := f.db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// fill adds rows until there are n of each entity, with their changes.
func (f *filler) fill(ctx context.Context, n int) error {
	for _, table := range migrate.Tables {
		if err := f.table(ctx, table, n); err != nil {
			return err
		}
	}
	if err := f.changes(ctx, n); err != nil {
		return err
	}
	if err := f.count(ctx); err != nil {
		return err
	}
	return f.exec(ctx, "VACUUM (ANALYZE)", "CHECKPOINT")
}

// table adds rows to a table. Its indexes are made afterwards, which is faster than to keep them.
func (f *filler) table(ctx context.Context, t *schema.Table, n int) error {
	var columns, values []string
	if kind := kindOf(t); kind != nil {
		if most, ok := few()[kind.GraphQL]; ok {
			n = min(n, most)
		}
		for _, c := range t.Columns {
			value, err := f.valueOf(kind, t, c)
			if err != nil {
				return err
			}
			columns, values = append(columns, c.Name), append(values, value)
		}
	} else { // the pairs of an edge between many and many
		for _, c := range t.Columns {
			columns, values = append(columns, c.Name), append(values, idOf("i"))
		}
	}
	return f.grow(ctx, t.Name, n, func(from, to int) string {
		return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(%d::bigint, %d) i",
			t.Name, strings.Join(columns, ", "), strings.Join(values, ", "), from, to-1)
	})
}

// grow runs the statement that adds the rows from the present number of rows to n, without the indexes of the table.
func (f *filler) grow(ctx context.Context, table string, n int, statement func(from, to int) string) error {
	var from int
	if err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&from); err != nil {
		return err
	}
	if from >= n {
		return nil
	}
	rows, err := f.db.QueryContext(ctx, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = $1 AND indexname NOT LIKE '%_pkey'", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	var drop, create []string
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			return err
		}
		drop, create = append(drop, "DROP INDEX "+name), append(create, definition)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return f.exec(ctx, slices.Concat(drop, []string{statement(from, n)}, create)...)
}

// changes adds a change with a number for each user.
func (f *filler) changes(ctx context.Context, n int) error {
	err := f.grow(ctx, "changes", n, func(from, to int) string {
		return fmt.Sprintf("INSERT INTO changes (number, type, node_id, kind, version, fields, at) "+
			"SELECT i + 1, 'user', %s, 'created', 1, '', %d FROM generate_series(%d::bigint, %d) i", idOf("i"), time.Now().UnixMicro(), from, to-1)
	})
	if err != nil {
		return err
	}
	return f.exec(ctx, fmt.Sprintf("UPDATE feed SET last = %d", n))
}

// count stores the number of rows of each entity, as roster stats --recount does.
func (f *filler) count(ctx context.Context) error {
	for _, kind := range ent.Kinds() {
		err := f.exec(ctx, fmt.Sprintf("INSERT INTO counts (type, count) SELECT '%s', count(*) FROM %s "+
			"ON CONFLICT (type) DO UPDATE SET count = excluded.count", kind.Type, kind.Name))
		if err != nil {
			return err
		}
	}
	return f.exec(ctx, "UPDATE feed SET counted = last")
}

// kindOf returns the entity of a table, or nil.
func kindOf(t *schema.Table) *query.Kind {
	kinds := ent.Kinds()
	i := slices.IndexFunc(kinds, func(k *query.Kind) bool { return k.Name == t.Name })
	if i < 0 {
		return nil
	}
	return kinds[i]
}

// idOf returns the SQL of the ID of a row: a UUIDv7.
func idOf(i string) string {
	return fmt.Sprintf("(lpad(to_hex(%d + (%s) * 1000), 12, '0') || '70008000000000000000')::uuid", fillStart*1000, i)
}

// idAt returns the ID of row i.
func idAt(kind *query.Kind, i int) typeid.ID {
	id := uuid.UUID{}
	binary.BigEndian.PutUint64(id[:], uint64(fillStart*1000+i*1000)<<16) //nolint:gosec // G115: never negative
	id[6], id[8] = 0x70, 0x80
	return typeid.New(kind.Type, id)
}

// nameAt returns the text of row i.
func nameAt(i int) string { return fmt.Sprintf("n%08x", uint64(i)*hashFactor%hashSize) } //nolint:gosec // G115: never negative

// valueOf returns the SQL of the value of row i in a column.
func (f *filler) valueOf(kind *query.Kind, t *schema.Table, c *schema.Column) (string, error) {
	const name = "'n' || lpad(to_hex(i * %d %% %d), 8, '0')"
	value := ""
	switch parent := slices.ContainsFunc(t.ForeignKeys, func(key *schema.ForeignKey) bool { return key.Columns[0] == c }); {
	case parent:
		value = idOf(fmt.Sprintf("CASE WHEN i < %d THEN i / %d ELSE i - %d END", busy*postsPerUser, postsPerUser, busy*(postsPerUser-1)))
	case c.Name == kind.ID:
		value = idOf("i")
	case c.Name == "updated_at": // in another order than created_at
		value = fmt.Sprintf("to_timestamp(%d + 20000000 + i * 7919 %% 10000019)", fillStart)
	case c.Type == field.TypeTime:
		value = fmt.Sprintf("to_timestamp(%d + i)", fillStart)
	case c.Type == field.TypeInt:
		value = "1"
	case c.Type == field.TypeString && f.enum(kind, c) != nil:
		names := f.enum(kind, c)
		value = fmt.Sprintf("CASE WHEN i %% %d = 1 THEN '%s' ELSE '%s' END", statusEvery, names[len(names)-1], names[0])
	case c.Type == field.TypeString && strings.TrimSuffix(c.Name, "_key") == "email":
		value = fmt.Sprintf(name, uint64(hashFactor), uint64(hashSize)) + " || '@example.com'"
	case c.Type == field.TypeString:
		value = fmt.Sprintf(name, uint64(hashFactor), uint64(hashSize))
	default:
		return "", fmt.Errorf("%s.%s: the filler knows no values of its type: teach it in bench/filler.go", t.Name, c.Name)
	}
	if c.Nullable {
		value = fmt.Sprintf("CASE WHEN i < %d THEN %s END", rowsWithValue, value)
	}
	return value, nil
}

// enum returns the names of the enum whose values a column holds, or nil.
func (f *filler) enum(kind *query.Kind, c *schema.Column) (names []string) {
	for _, field := range f.schema.Types[kind.GraphQL].Fields {
		if def := f.schema.Types[field.Type.Name()]; def.Kind == ast.Enum && strings.EqualFold(field.Name, strings.ReplaceAll(c.Name, "_", "")) {
			for _, v := range def.EnumValues {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

// served returns the schema that Roster serves.
func served() *ast.Schema { return gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()}) }
