//go:build !unix

package database

import "os"

// lockFile does nothing: here, a file that another process has open cannot be renamed.
func lockFile(*os.File) error { return nil }

// SyncDir does nothing: directories cannot be opened here.
func SyncDir(string) error { return nil }
