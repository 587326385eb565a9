// Command fetch downloads the files of the playground from npm into internal/playground/assets, to be embedded. It takes exact
// versions, and checks their checksums. If the files exist already, it does nothing. If npm is missing or does not answer, it says
// so, and the playground takes the files from a CDN. `make build` runs it.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"roster/internal/playground"
)

// folder is below the root of the project, where make runs.
const folder = "internal/playground/assets"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "playground: %v: GraphiQL is not built in, the page will load it from a CDN\n", err)
	}
}

func run(ctx context.Context) error {
	m, err := playground.ReadManifest()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // G301: public files
		return err
	}
	for _, p := range m.Packages {
		var missing []playground.File
		for _, f := range m.Files {
			have, err := os.ReadFile(filepath.Join(folder, f.Name))
			if f.Package == p.Name && (err != nil || !matches(f.Integrity, have)) {
				missing = append(missing, f)
			}
		}
		if len(missing) == 0 {
			continue
		}
		if err := get(ctx, p, missing); err != nil {
			return fmt.Errorf("%s@%s: %w", p.Name, p.Version, err)
		}
	}
	return nil
}

// get writes files of a package.
func get(ctx context.Context, p playground.Package, files []playground.File) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm was not found")
	}
	dir, err := os.MkdirTemp("", "roster-playground-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	// The arguments come from files.json, which is part of the program.
	pack := exec.CommandContext(ctx, npm, "pack", "--silent", "--pack-destination", dir, p.Name+"@"+p.Version) //nolint:gosec // G204
	if out, err := pack.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w: %s", err, bytes.TrimSpace(out))
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return errors.Join(errors.New("npm pack wrote no archive"), err)
	}
	archive, err := os.ReadFile(archives[0])
	if err != nil {
		return err
	}
	if !matches(p.Integrity, archive) {
		return errors.New("the archive is not the one of files.json")
	}
	content, err := unpack(archive)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !matches(f.Integrity, content[f.Path]) {
			return fmt.Errorf("%s is not the one of files.json", f.Path)
		}
		if err := os.WriteFile(filepath.Join(folder, f.Name), content[f.Path], 0o644); err != nil { //nolint:gosec // G306: public files
			return err
		}
	}
	return nil
}

// unpack returns the files of a package by their paths.
func unpack(archive []byte) (map[string][]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[strings.TrimPrefix(h.Name, "package/")], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// matches reports whether content has a checksum, in the form of Subresource Integrity.
func matches(integrity string, content []byte) bool {
	name, want, _ := strings.Cut(integrity, "-")
	switch name {
	case "sha384":
		sum := sha512.Sum384(content)
		return base64.StdEncoding.EncodeToString(sum[:]) == want
	case "sha512":
		sum := sha512.Sum512(content)
		return base64.StdEncoding.EncodeToString(sum[:]) == want
	}
	return false
}
