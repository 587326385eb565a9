// Command fetch downloads the files of the playground from npm into internal/playground/assets, to be embedded. It
// takes exact versions, and checks the checksum of each file. It does nothing for files that exist. If npm is missing
// or does not answer, it says so, and the playground takes the files from a CDN. `make build` runs it.
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
		missing := map[string]playground.File{}
		for _, f := range m.Files {
			have, err := os.ReadFile(filepath.Join(folder, f.Name))
			if f.Package == p.Name && (err != nil || !matches(f, have)) {
				missing["package/"+f.Path] = f
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

// get writes files of a package. Their keys are their paths in npm's archive.
func get(ctx context.Context, p playground.Package, missing map[string]playground.File) error {
	dir, err := os.MkdirTemp("", "roster-playground-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	// The names come from files.json, which is part of the program.
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", dir, p.Name+"@"+p.Version) //nolint:gosec // G204: as said
	if out, err := pack.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w: %s", err, bytes.TrimSpace(out))
	}
	archive, err := os.ReadFile(filepath.Join(dir, p.Name+"-"+p.Version+".tgz")) //nolint:gosec // G304: npm wrote it there
	if err != nil {
		return err
	}
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	for r := tar.NewReader(zip); len(missing) > 0; {
		h, err := r.Next()
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		f, wanted := missing[h.Name]
		if !wanted {
			continue
		}
		delete(missing, h.Name)
		content, err := io.ReadAll(r)
		if err == nil && !matches(f, content) {
			err = errors.New("the checksum is not that of files.json")
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, f.Name), content, 0o644) //nolint:gosec // G306: public files
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

// matches reports whether content has the checksum of a file.
func matches(f playground.File, content []byte) bool {
	sum := sha512.Sum384(content)
	return f.Integrity == "sha384-"+base64.StdEncoding.EncodeToString(sum[:])
}
