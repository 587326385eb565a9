package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/mysql"
	"ariga.io/atlas/sql/postgres"
	atlas "ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
)

// CheckTables returns an error that names all missing tables, columns, indexes and foreign keys of package tables: a
// Failure of kind Unusable. Additional ones are allowed, since servers of the next release may have added them. It
// takes a few milliseconds. It keeps no result, so the answer is always current; concurrent callers share one check.
func (db *DB) CheckTables(ctx context.Context) error {
	look := db.looks.DoChan("", func() (any, error) {
		// The first caller may leave before the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.options.ConnectTimeout)
		defer cancel()
		return nil, db.checkTables(ctx, db.read.db)
	})
	select {
	case result := <-look:
		if result.Err != nil {
			return fmt.Errorf("%v: %w", db, result.Err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *DB) checkTables(ctx context.Context, conn atlas.ExecQuerier) error {
	wanted, err := db.tables(db.Dialect())
	if err != nil {
		return err
	}
	lacks, err := missing(ctx, db.Dialect(), conn, wanted)
	if err != nil {
		return fmt.Errorf("look at the tables: %w", err)
	}
	if len(lacks) > 0 {
		return &Failure{Kind: Unusable, err: fmt.Errorf("the version says that the schema is complete, but it lacks %s: if a roster migrate down "+
			"was interrupted, run it again, then roster migrate up; otherwise restore a backup, or grant the user what it may not see", strings.Join(lacks, ", "))}
	}
	return nil
}

// inspect returns what the database has of the tables.
func inspect(ctx context.Context, d string, db atlas.ExecQuerier, wanted []*schema.Table) (*atlas.Schema, error) {
	open := map[string]func(atlas.ExecQuerier) (migrate.Driver, error){
		dialect.SQLite: sqlite.Open, dialect.Postgres: postgres.Open, dialect.MySQL: mysql.Open,
	}
	driver, err := open[d](bound{ctx, db})
	if err != nil {
		return nil, err
	}
	options := &atlas.InspectOptions{Mode: atlas.InspectTables}
	for _, t := range wanted {
		options.Tables = append(options.Tables, t.Name)
	}
	found, err := driver.InspectSchema(ctx, "", options)
	if atlas.IsNotExistError(err) {
		return nil, errors.New("the database has no schema of the name that the URL gives")
	}
	return found, err
}

// missing returns the missing parts of the tables, for people.
func missing(ctx context.Context, d string, db atlas.ExecQuerier, wanted []*schema.Table) (lacks []string, err error) {
	found, err := inspect(ctx, d, db, wanted)
	if err != nil {
		return nil, err
	}
	for _, t := range wanted {
		there, ok := found.Table(t.Name)
		if !ok {
			lacks = append(lacks, "the table "+t.Name)
			continue
		}
		lacks = append(lacks, missingOf(t, there)...)
		for _, key := range missingKeys(t, there) {
			hidden := false
			if d == dialect.MySQL {
				if hidden, err = hasHidden(ctx, db, t, key); err != nil {
					return nil, err
				}
			}
			if !hidden {
				lacks = append(lacks, "the foreign key "+key.Symbol+" of "+t.Name)
			}
		}
	}
	return lacks, nil
}

// foreign returns the tables of Roster's names in a database without migrations. MySQL and MariaDB have none: there, an earlier
// release may have been killed before it recorded its first migration. That migration refuses the tables of others.
func (db *DB) foreign(ctx context.Context, conn atlas.ExecQuerier) (found []string, err error) {
	if db.Dialect() == dialect.MySQL {
		return nil, nil
	}
	wanted, err := db.tables(db.Dialect())
	if err != nil {
		return nil, err
	}
	there, err := inspect(ctx, db.Dialect(), conn, wanted)
	if err != nil {
		return nil, err
	}
	for _, t := range wanted {
		if _, ok := there.Table(t.Name); ok {
			found = append(found, t.Name)
		}
	}
	return found, nil
}

// hasHidden looks for a foreign key in the definition of a table. MySQL and MariaDB list foreign keys only for users
// who may write the table, but show its definition to all who may read it.
func hasHidden(ctx context.Context, db atlas.ExecQuerier, t *schema.Table, key *schema.ForeignKey) (bool, error) {
	var definition string
	err := Each(ctx, entsql.Conn{ExecQuerier: db}, "SHOW CREATE TABLE "+quote(t.Name), nil, func(rows *entsql.Rows) error {
		return rows.Scan(new(string), &definition)
	})
	list := func(columns []*schema.Column) string {
		return "(`" + strings.Join(names(columns), "`, `") + "`)"
	}
	return strings.Contains(definition, "FOREIGN KEY "+list(key.Columns)+" REFERENCES "+quote(key.RefTable.Name)+" "+list(key.RefColumns)), err
}

// bound runs statements in a context. Atlas asks for the version of a server without one.
type bound struct {
	ctx context.Context
	db  atlas.ExecQuerier
}

func (b bound) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.db.QueryContext(b.ctx, query, args...) //nolint:contextcheck // see above
}

func (b bound) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return b.db.ExecContext(b.ctx, query, args...) //nolint:contextcheck // see above
}

// missingOf returns the missing parts of a table, except foreign keys. It compares indexes by their columns: names
// differ if ent's is too long for an engine.
func missingOf(wanted *schema.Table, there *atlas.Table) (lacks []string) {
	for _, c := range wanted.Columns {
		if _, ok := there.Column(c.Name); !ok {
			lacks = append(lacks, "the column "+wanted.Name+"."+c.Name)
		}
	}
	if there.PrimaryKey == nil || !slices.Equal(indexed(there.PrimaryKey), names(wanted.PrimaryKey)) {
		lacks = append(lacks, "the primary key of "+wanted.Name)
	}
	for _, index := range wanted.Indexes {
		if !slices.ContainsFunc(there.Indexes, func(i *atlas.Index) bool {
			return (i.Unique || !index.Unique) && slices.Equal(indexed(i), names(index.Columns))
		}) {
			lacks = append(lacks, "the index "+index.Name+" of "+wanted.Name)
		}
	}
	return lacks
}

func missingKeys(wanted *schema.Table, there *atlas.Table) (lacks []*schema.ForeignKey) {
	for _, key := range wanted.ForeignKeys {
		if !slices.ContainsFunc(there.ForeignKeys, func(k *atlas.ForeignKey) bool {
			return k.RefTable.Name == key.RefTable.Name && slices.EqualFunc(k.Columns, key.Columns, sameName) &&
				slices.EqualFunc(k.RefColumns, key.RefColumns, sameName)
		}) {
			lacks = append(lacks, key)
		}
	}
	return lacks
}

func sameName(there *atlas.Column, wanted *schema.Column) bool { return there.Name == wanted.Name }

func names(columns []*schema.Column) (names []string) {
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

// indexed returns the names of an index's columns, in order. An expression has an empty name.
func indexed(i *atlas.Index) (names []string) {
	for _, part := range i.Parts {
		name := ""
		if part.C != nil {
			name = part.C.Name
		}
		names = append(names, name)
	}
	return names
}
