package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"roster/internal/cli"
	"roster/internal/playground"
)

// release is one release while it is built. Paths without a folder are below the working directory, the root of the tree.
type release struct {
	version   string
	time      time.Time
	out, work string
	platforms []platform
	stdout    io.Writer
}

// platform is an operating system and an architecture, as Go names them.
type platform struct{ system, architecture string }

func (p platform) String() string { return p.system + "/" + p.architecture }

// everyPlatform returns the platforms that have a release.
func everyPlatform() []string {
	return []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}
}

func parsePlatform(name string) (platform, error) {
	if !slices.Contains(everyPlatform(), name) {
		return platform{}, fmt.Errorf("there is no release for the platform %q: use %s", name, strings.Join(everyPlatform(), ", "))
	}
	system, architecture, _ := strings.Cut(name, "/")
	return platform{system, architecture}, nil
}

// name returns the name of a file of the release, without its extension.
func (r *release) name(p platform) string {
	return fmt.Sprintf("roster_%s_%s_%s", r.version, p.system, p.architecture)
}

// make builds all files of the release.
func (r *release) make(ctx context.Context) error {
	if err := checkPlayground(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil { //nolint:gosec // G301: public files
		return err
	}
	documents, err := r.documents()
	if err != nil {
		return err
	}
	manuals, err := r.manuals(ctx)
	if err != nil {
		return err
	}
	for _, p := range r.platforms {
		if err := r.makePlatform(ctx, p, documents, manuals); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		fmt.Fprintf(r.stdout, "%s: done\n", p)
	}
	return r.checksums()
}

// checkPlayground fails if a file of the playground is missing, because the program would take it from a CDN.
func checkPlayground() error {
	m, err := playground.ReadManifest()
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		if _, err := os.Stat(filepath.Join("internal/playground/assets", f.Name)); err != nil {
			return fmt.Errorf("the playground has no %s: install npm and run go run ./internal/playground/fetch", f.Name)
		}
	}
	return nil
}

// entry is a file of an archive or a package.
type entry struct {
	name    string // with slashes
	mode    os.FileMode
	content []byte
}

// documents returns the texts for people. A file LICENSE is among them if the tree has one.
func (r *release) documents() ([]entry, error) {
	names := []string{"README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"}
	for _, pattern := range []string{"LICENSE*", "docs/*.md", "docs/*.svg"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	var all []entry
	for _, name := range names {
		content, err := os.ReadFile(name) //nolint:gosec // G304: a file of the tree
		if err != nil {
			return nil, err
		}
		all = append(all, entry{filepath.ToSlash(name), 0o644, content})
	}
	return all, nil
}

// The names of the files that the commands write about themselves.
const (
	manualPage     = "man/roster.1"
	bashCompletion = "completions/roster.bash"
	zshCompletion  = "completions/_roster"
	fishCompletion = "completions/roster.fish"
)

// manuals returns the manual page and the completion scripts.
func (r *release) manuals(ctx context.Context) ([]entry, error) {
	var all []entry
	for _, file := range []struct {
		name string
		args []string
	}{
		{manualPage, []string{"man"}},
		{bashCompletion, []string{"completion", "bash"}},
		{zshCompletion, []string{"completion", "zsh"}},
		{fishCompletion, []string{"completion", "fish"}},
	} {
		var text, problem bytes.Buffer
		none := func(string) string { return "" }
		if code := cli.Run(ctx, file.args, none, strings.NewReader(""), &text, &problem, r.version); code != 0 {
			return nil, fmt.Errorf("roster %s: exit code %d: %s", strings.Join(file.args, " "), code, &problem)
		}
		all = append(all, entry{file.name, 0o644, text.Bytes()})
	}
	return all, nil
}

// makePlatform builds the program, its bill of materials, its archive and its packages.
func (r *release) makePlatform(ctx context.Context, p platform, documents, manuals []entry) error {
	program := filepath.Join(r.work, r.name(p))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+r.version, //nolint:gosec // G204: the version is that of the caller
		"-o", program, ".")
	// Variables of the machine that would change the program have their default.
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.architecture,
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFLAGS=", "GOWORK=off")
	if err := output(build); err != nil {
		return err
	}
	if err := r.tool(ctx, "cyclonedx-gomod", "bin", "-json", "-noserial", "-notimestamp", "-std", "-version", r.version,
		"-output", filepath.Join(r.out, r.name(p)+".cdx.json"), program); err != nil {
		return err
	}
	binary, err := os.ReadFile(program) //nolint:gosec // G304: built above
	if err != nil {
		return err
	}
	files := slices.Clone(documents)
	if p.system == "windows" {
		return r.archive(p, append(files, entry{"roster.exe", 0o755, binary}))
	}
	files = append(append(files, manuals...), entry{"roster", 0o755, binary})
	if p.system != "linux" {
		return r.archive(p, files)
	}
	units, err := units()
	if err != nil {
		return err
	}
	if err := r.archive(p, append(files, units...)); err != nil {
		return err
	}
	return errors.Join(r.pack(ctx, p, "deb", program, documents, manuals), r.pack(ctx, p, "rpm", program, documents, manuals))
}

// units returns the files of the service, for those who install it without a package.
func units() ([]entry, error) {
	names, err := filepath.Glob("ops/systemd/*")
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, name := range names {
		content, err := os.ReadFile(name) //nolint:gosec // G304: a file of the tree
		if err != nil {
			return nil, err
		}
		all = append(all, entry{"systemd/" + filepath.Base(name), 0o644, content})
	}
	return all, nil
}

// tool runs a tool of tools/release/go.mod.
func (r *release) tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "-modfile=tools/release/go.mod", name}, args...)...) //nolint:gosec // G204: tools of go.mod
	// A bill of materials has the checksum of the tool that wrote it, so the tool is equal on all machines too.
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
	return output(cmd)
}

// output runs a command. The error has what the command prints.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[:3], " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// checksums writes SHA256SUMS, in the form that sha256sum --check reads.
func (r *release) checksums() error {
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), f.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), sums.Bytes(), 0o644) //nolint:gosec // G306: a public file
}
