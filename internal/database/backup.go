package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
)

// backupsTable has the time of the last backup.
const backupsTable = "backups"

// ErrOwnTools is the error of a backup or a restore of a database that is not a file.
var ErrOwnTools = errors.New("only an SQLite database is backed up and restored by roster: use pg_dump or mariadb-dump, as docs/operations.md says")

// LastBackup returns the time as of which the last backup has the database, and whether one was recorded. The error is a
// Failure.
func (db *DB) LastBackup(ctx context.Context) (at time.Time, recorded bool, err error) {
	var micros entsql.NullInt64
	err = Each(ctx, db.Session(Single), "SELECT max(at) FROM "+backupsTable, nil, func(rows *entsql.Rows) error { return rows.Scan(&micros) })
	return time.UnixMicro(micros.Int64).UTC(), micros.Valid && err == nil, err
}

// RecordBackup records a complete backup, which has the database as of a time. It removes the times of earlier backups. The
// error is a Failure.
func (db *DB) RecordBackup(ctx context.Context, at time.Time) error {
	tx := db.Session(Write)
	defer tx.Rollback()
	if err := recordBackup(ctx, tx, at); err != nil {
		return err
	}
	return tx.Commit()
}

func recordBackup(ctx context.Context, tx dialect.Driver, at time.Time) error {
	d := entsql.Dialect(tx.Dialect())
	query, args := d.Delete(backupsTable).Where(entsql.LTE("at", at.UnixMicro())).Query()
	if _, err := Affected(ctx, tx, query, args...); err != nil {
		return err
	}
	query, args = d.Insert(backupsTable).Columns("at").Values(at.UnixMicro()).Query()
	_, err := Affected(ctx, tx, query, args...)
	return err
}

// Backup copies an SQLite database into an empty file, as of the moment when the copy begins, and checks the copy. Servers go
// on reading and writing meanwhile. Only the caller has the file, and Backup leaves it open. The copy needs no other file
// beside it, records itself as a backup, and is on the disk when Backup returns. progress gets the number of bytes that are
// copied, and of all bytes. The error is ErrOwnTools for another engine.
func (db *DB) Backup(ctx context.Context, to *os.File, progress func(done, total int64)) (at time.Time, err error) {
	e, ok := db.engine.(*sqliteEngine)
	if !ok {
		return time.Time{}, ErrOwnTools
	}
	if at, err = e.copy(ctx, to, progress); err == nil {
		err = seal(ctx, to, at)
	}
	if m, _ := e.classify(err); m.advice != "" {
		err = fmt.Errorf("%s: %w", m.advice, err)
	}
	if err != nil {
		return time.Time{}, err
	}
	if _, err := CheckBackup(ctx, to.Name()); err != nil {
		return time.Time{}, fmt.Errorf("check the copy: %w", err)
	}
	return at, nil
}
