//go:build release

package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var platforms = flag.String("platforms", "linux/"+runtime.GOARCH, "platforms that TestRelease builds twice, separated by commas")

const (
	version = "v1.2.3"
	newer   = "v1.3.0"
	root    = "../.."
)

// builtAt is the time of the commit.
func builtAt() time.Time { return time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC) }

// TestRelease builds the release of one tree twice, in folders of different names, at different times and with other settings
// of the machine. All files are equal. Then it uses the files for this machine.
func TestRelease(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test installs packages into folders: run it as root")
	}
	dir := public(t)
	one, other := copyTree(t, filepath.Join(dir, "a")), copyTree(t, filepath.Join(dir, "another folder"))
	first := makeRelease(t, one, version, *platforms)
	second := makeRelease(t, other, version, *platforms, "TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8")
	files, again := contents(t, first), contents(t, second)
	for name, content := range files {
		if !bytes.Equal(content, again[name]) {
			t.Errorf("%s: got two files that differ, want equal ones", name)
		}
	}
	if len(files) != len(again) {
		t.Errorf("got %d files, then %d, want the same", len(files), len(again))
	}
	checkSums(t, files)
	var want []string
	for platform := range strings.SplitSeq(*platforms, ",") {
		name := "roster_" + version + "_" + strings.ReplaceAll(platform, "/", "_")
		checkArchive(t, files, name)
		checkBill(t, files[name+".cdx.json"], platform)
		want = append(want, name+".cdx.json")
		switch system, _, _ := strings.Cut(platform, "/"); system {
		case "windows":
			want = append(want, name+".zip")
		case "linux":
			want = append(want, name+".tar.gz", name+".deb", name+".rpm")
		default:
			want = append(want, name+".tar.gz")
		}
	}
	want = append(want, "SHA256SUMS")
	for _, name := range want {
		if len(files[name]) == 0 {
			t.Errorf("%s: got no such file, want one", name)
		}
	}
	if len(files) != len(want) {
		t.Errorf("got %d files, want %d: %v", len(files), len(want), want)
	}
	if t.Failed() {
		return
	}

	here := filepath.Join(first, "roster_"+version+"_linux_"+runtime.GOARCH)
	program := filepath.Join(dir, "roster")
	if err := os.WriteFile(program, archived(t, files, "roster_"+version+"_linux_"+runtime.GOARCH)["roster"].content, 0o755); err != nil {
		t.Fatal(err)
	}
	newerRelease := makeRelease(t, one, newer, "linux/"+runtime.GOARCH)
	next := filepath.Join(newerRelease, "roster_"+newer+"_linux_"+runtime.GOARCH)
	t.Run("Debian", func(t *testing.T) { debian(t, here+".deb", next+".deb") })
	t.Run("RPM", func(t *testing.T) { rpm(t, here+".rpm", next+".rpm") })
	t.Run("unit", func(t *testing.T) { unit(t, program) })
	t.Run("completion", func(t *testing.T) { complete(t, program) })
	t.Run("chroot", func(t *testing.T) { chroot(t, program) })
}

// public returns a temporary folder that every user may enter.
func public(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyTree copies the files of the project: neither what was built, nor what tools keep in hidden folders.
func copyTree(t *testing.T, to string) string {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"bin", "dist", "clients"}, name)) {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if !entry.Type().IsRegular() || strings.Contains(entry.Name(), ".db") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// makeRelease builds the release of a tree and returns its folder.
func makeRelease(t *testing.T, tree, version, platforms string, variables ...string) string {
	t.Helper()
	out := filepath.Join(tree, "dist", version)
	cmd := exec.CommandContext(t.Context(), "go", "run", "-trimpath", "-buildvcs=false", "./internal/release",
		"-version", version, "-time", fmt.Sprint(builtAt().Unix()), "-out", out, "-platforms", platforms)
	cmd.Dir = tree
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), variables...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the release: %v\n%s", err, output)
	}
	return out
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// checkSums compares SHA256SUMS with all other files.
func checkSums(t *testing.T, files map[string][]byte) {
	t.Helper()
	var want strings.Builder
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if name != "SHA256SUMS" && !yield(name) {
				return
			}
		}
	}) {
		fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	if got := string(files["SHA256SUMS"]); got != want.String() {
		t.Errorf("SHA256SUMS: got\n%s\nwant\n%s", got, &want)
	}
}

// file is a file of an archive.
type file struct {
	mode    fs.FileMode
	content []byte
	at      time.Time
}

// archived returns the files of an archive, by their paths in its only folder.
func archived(t *testing.T, files map[string][]byte, name string) map[string]file {
	t.Helper()
	found := map[string]file{}
	add := func(path string, f file, r io.Reader, err error) {
		inside, ok := strings.CutPrefix(path, name+"/")
		if err == nil {
			f.content, err = io.ReadAll(r)
		}
		if err != nil || !ok {
			t.Fatalf("%s: %s: got %v, want a file in the folder %s", name, path, err, name)
		}
		found[inside] = f
	}
	if archive, ok := files[name+".zip"]; ok {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.File {
			content, err := f.Open()
			add(f.Name, file{mode: f.Mode(), at: f.Modified}, content, err)
		}
		return found
	}
	zipped, err := gzip.NewReader(bytes.NewReader(files[name+".tar.gz"]))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: %s: got the owner %d (%s) and the group %d (%s), want 0 without names", name, h.Name, h.Uid, h.Uname, h.Gid, h.Gname)
		}
		add(h.Name, file{mode: fs.FileMode(h.Mode), at: h.ModTime}, r, nil)
	}
}

func checkArchive(t *testing.T, files map[string][]byte, name string) {
	t.Helper()
	program := "roster"
	want := []string{"README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "docs/operations.md"}
	if strings.Contains(name, "_windows_") {
		program = "roster.exe"
	} else {
		want = append(want, "man/roster.1", "completions/roster.bash", "completions/_roster", "completions/roster.fish")
	}
	if strings.Contains(name, "_linux_") {
		want = append(want, "systemd/roster.service", "systemd/roster.socket", "systemd/roster.env", "systemd/roster.sysusers")
	}
	found := archived(t, files, name)
	for _, path := range append(want, program) {
		mode := fs.FileMode(0o644)
		if path == program {
			mode = 0o755
		}
		f, ok := found[path]
		if !ok || f.mode.Perm() != mode || len(f.content) == 0 || !f.at.Equal(builtAt()) {
			t.Errorf("%s: %s: got %t, %v, %d bytes, %s, want a file with the mode %v and the time of the commit", name, path, ok, f.mode, len(f.content), f.at, mode)
		}
	}
	temporary := os.TempDir() + "/" // alone, it is also in a path of MySQL's driver
	for _, secret := range []string{filepath.Dir(must(os.Getwd())), temporary + "go-build", temporary + "roster-release", temporary + "TestRelease"} {
		if bytes.Contains(found[program].content, []byte(secret)) {
			t.Errorf("%s: got the path %s of this machine in the program, want none", name, secret)
		}
	}
	for _, part := range []string{"GraphiQL", version} {
		if !bytes.Contains(found[program].content, []byte(part)) {
			t.Errorf("%s: got no %q in the program, want the playground and the version", name, part)
		}
	}
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// checkBill checks that a bill of materials names the program, the standard library and the modules of the program.
func checkBill(t *testing.T, text []byte, platform string) {
	t.Helper()
	var bill struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}

		Components []struct {
			Name, Version, PURL string
			Hashes              []struct{ Alg, Content string }
		}
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatalf("%s: %v", platform, err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Name != "roster" || bill.Metadata.Component.Version != version {
		t.Errorf("%s: got %s of %+v, want CycloneDX of roster %s", platform, bill.BOMFormat, bill.Metadata.Component, version)
	}
	modules := map[string]bool{}
	for _, c := range bill.Components {
		modules[c.Name] = c.Version != "" && c.PURL != ""
	}
	for _, name := range []string{"std", "github.com/99designs/gqlgen", "modernc.org/sqlite", "github.com/lib/pq", "github.com/go-sql-driver/mysql"} {
		if !modules[name] {
			t.Errorf("%s: got no %s with a version among %d modules, want it", platform, name, len(modules))
		}
	}
}

// command runs a program and returns what it prints. The end of the program must be a success.
func command(ctx context.Context, t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}
