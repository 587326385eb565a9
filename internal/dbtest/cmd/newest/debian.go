package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// suite is the suite of Debian that has the newest versions.
const suite = "sid"

// unpack returns a folder with programs of a package of Debian, which run with all that the package depends on. Debian has one
// version in the suite, so the folder has the first one that was downloaded, until somebody deletes it.
func unpack(ctx context.Context, cache, title, name string, programs ...launcher) (string, error) {
	dir := filepath.Join(cache, title+"-"+suite)
	err := once(dir, func(dir string) error {
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil { //nolint:gosec // G301: other accounts run what is there
			return err
		}
		packages, err := download(ctx, dir, name)
		if err != nil {
			return err
		}
		for _, p := range packages {
			if _, err := output(ctx, dir, "dpkg-deb", "--extract", p, root); err != nil {
				return err
			}
		}
		return errors.Join(launchers(dir, programs...), os.RemoveAll(filepath.Join(dir, "apt")))
	})
	if err != nil {
		return "", fmt.Errorf("%s from the packages of Debian %s: %w", name, suite, err)
	}
	return filepath.Join(dir, "bin"), nil
}

// download returns the files of a package and of all that it depends on, whatever is installed. apt-get works on a
// configuration and a state of its own, in the folder apt.
func download(ctx context.Context, dir, name string) ([]string, error) {
	targets, err := output(ctx, dir, "apt-get", "indextargets", "--format", "$(CODENAME) $(ORIGIN) $(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	source, err := mirror(targets)
	if err != nil {
		return nil, err
	}
	apt := filepath.Join(dir, "apt")
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc"} {
		if err := os.MkdirAll(filepath.Join(apt, d), 0o755); err != nil { //nolint:gosec // G301: deleted soon
			return nil, err
		}
	}
	files := map[string]string{
		"state/status": "", // nothing is installed
		"etc/sources":  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " + source + " " + suite + " main\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(apt, name), []byte(content), 0o644); err != nil { //nolint:gosec // G306: nothing secret
			return nil, err
		}
	}
	options := []string{
		"-q", "-y", "-o", "Dir::State=" + apt + "/state", "-o", "Dir::State::status=" + apt + "/state/status", "-o", "Dir::Cache=" + apt + "/cache",
		"-o", "Dir::Etc::SourceList=" + apt + "/etc/sources", "-o", "Dir::Etc::SourceParts=/dev/null", "-o", "Dir::Etc::PreferencesParts=/dev/null",
		"-o", "Dir::Etc::Preferences=/dev/null", "-o", "APT::Install-Recommends=false", "-o", "APT::Sandbox::User=",
	}
	if _, err := output(ctx, dir, "apt-get", append(options, "update", "--error-on=any")...); err != nil {
		return nil, err
	}
	if _, err := output(ctx, dir, "apt-get", append(options, "install", "--download-only", name)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(apt, "cache", "archives", "*.deb"))
}

// mirror returns the address of the archive of Debian from which this machine gets its packages. Each line of targets
// has the code name and the origin of a list of packages, and the address of its archive.
func mirror(targets string) (string, error) {
	for line := range strings.Lines(targets) {
		fields := strings.Fields(line)
		// The archive of security updates has a code name such as trixie-security, and no unstable packages.
		if len(fields) == 3 && fields[1] == "Debian" && !strings.Contains(fields[0], "-") {
			return fields[2], nil
		}
	}
	return "", errors.New("apt-get knows no archive of Debian: this needs Debian, and apt-get update once")
}

// launchers writes a script for each program of root, which runs it with the libraries that were unpacked with it. Each program
// is a path in the folder root.
func launchers(dir string, programs ...launcher) error {
	linker, ok := map[string]string{"amd64": "usr/lib64/ld-linux-x86-64.so.2", "arm64": "usr/lib/ld-linux-aarch64.so.1"}[runtime.GOARCH]
	if _, err := os.Stat(filepath.Join(dir, "root", linker)); !ok || err != nil {
		return fmt.Errorf("the packages have no dynamic linker %q for %s", linker, runtime.GOARCH)
	}
	libraries, err := one(dir, "usr/lib/*-linux-gnu")
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil { //nolint:gosec // G301: other accounts run what is there
		return err
	}
	for _, p := range programs {
		path, err := one(dir, p.path)
		if err != nil {
			return err
		}
		// The folder still gets its name, so all paths are relative to the script.
		script := `#!/bin/sh
root=$(dirname "$(dirname "$0")")/root
exec "$root/` + linker + `" --library-path "$root/` + libraries + `" "$root/` + path + `" "$@"` + p.more + "\n"
		if err := os.WriteFile(filepath.Join(bin, filepath.Base(path)), []byte(script), 0o755); err != nil { //nolint:gosec // G306: as above
			return err
		}
	}
	return nil
}

// launcher describes the script of a program.
type launcher struct {
	path string // in the folder root, as a pattern that matches one file
	more string // arguments after those of the caller, in the shell's syntax; $root is the folder root
}

// one returns the path in the folder root that matches a pattern.
func one(dir, pattern string) (string, error) {
	root := filepath.Join(dir, "root")
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the packages have %q as %s: want one", found, pattern)
	}
	return filepath.Rel(root, found[0])
}
