// Package migrations holds the versioned SQL of every engine, in the form of goose
// (https://pressly.github.io/goose/). `make migration NAME=…` writes the next files from the ent schema; a file that
// was released is never changed.
package migrations

import "embed"

// Files has a folder for each engine, by the name of ent's dialect.
//
//go:embed sqlite3/*.sql postgres/*.sql mysql/*.sql
var Files embed.FS
