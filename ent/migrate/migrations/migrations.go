// Package migrations holds the versioned SQL of every engine, in the form of goose
// (https://pressly.github.io/goose/). `make migration NAME=…` writes the next files from package tables; a file that
// was released never changes its meaning. Of goose's annotations, Up and Down are understood. A statement ends with a
// semicolon. Each direction is one transaction; on MySQL and MariaDB it is taken up again after a kill, and a statement
// for which that is impossible is refused (internal/database/steps.go).
package migrations

import "embed"

// Files has a folder for each engine, by the name of ent's dialect.
//
//go:embed sqlite3/*.sql postgres/*.sql mysql/*.sql
var Files embed.FS
