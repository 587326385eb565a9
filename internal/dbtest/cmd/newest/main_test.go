package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"roster/internal/dbtest/servers"
)

// The downloads need the network, and so "make test-engines" tests them. These tests need none.

func TestMirror(t *testing.T) {
	t.Parallel()
	for targets, want := range map[string]string{
		"bookworm Debian http://mirror.example/debian/\nbookworm-updates Debian http://mirror.example/debian/\n": "http://mirror.example/debian/",
		"bookworm-security Debian http://security.example/\ntrixie Debian file:/srv/debian/\n":                   "file:/srv/debian/",
		"noble Ubuntu http://ubuntu.example/\n":                                                                  "",
		"nodistro  http://node.example/\n":                                                                       "",
		"":                                                                                                       "",
	} {
		if got, err := mirror(targets); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", targets, got, err, want)
		}
	}
}

func TestCache(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/home/ada/cache")
	for root, want := range map[bool]string{true: "/var/cache/roster-engines", false: "/home/ada/cache/roster-engines"} {
		if got, err := cache(root); got != want || err != nil {
			t.Errorf("root: %t: got %q, %v, want %q", root, got, err, want)
		}
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "cache")
	dir := filepath.Join(parent, "engine")
	calls := 0
	fill := func(fails error) func(string) error {
		return func(dir string) error {
			calls++
			return errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), fails)
		}
	}
	broken := errors.New("broken")
	if err := once(dir, fill(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	for range 2 {
		if err := once(dir, fill(nil)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil || calls != 2 {
		t.Errorf("got %v after %d calls, want the file after 2", err, calls)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want only the folder", left, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("got %v, %v, want a folder that other accounts can read", info.Mode(), err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
	if err := verify(path, sum); err != nil {
		t.Error(err)
	}
	if err := verify(path, sum+"x"); err == nil {
		t.Error("another checksum: got no error, want one")
	}
}

// TestLaunchers runs a program with the linker of a folder, after the folder got its name.
func TestLaunchers(t *testing.T) {
	t.Parallel()
	before := filepath.Join(t.TempDir(), "before")
	linker := map[string]string{"amd64": "usr/lib64/ld-linux-x86-64.so.2", "arm64": "usr/lib/ld-linux-aarch64.so.1"}[runtime.GOARCH]
	path := filepath.Join(before, "root", linker)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.MkdirAll(filepath.Join(before, "root/usr/lib/x86_64-linux-gnu"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	mysqld := launcher{"usr/sbin/mysql?", ` --plugin-dir="$root/plugin"`}
	if err := launchers(before, mysqld); err == nil {
		t.Error("without a linker: got no error, want one")
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(before, "root/usr/sbin/mysqld")
	if err := errors.Join(os.MkdirAll(filepath.Dir(program), 0o700), os.WriteFile(program, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := launchers(before, mysqld); err != nil {
		t.Fatal(err)
	}
	after := filepath.Join(filepath.Dir(before), "after")
	if err := os.Rename(before, after); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(after, "bin/mysqld"), "--no-defaults", "--a b").Output()
	root := filepath.Join(after, "root")
	want := strings.Join([]string{
		"--library-path", root + "/usr/lib/x86_64-linux-gnu", root + "/usr/sbin/mysqld", "--no-defaults", "--a b", "--plugin-dir=" + root + "/plugin", "",
	}, "\n")
	if err != nil || string(out) != want {
		t.Errorf("got %v, %q, want %q", err, out, want)
	}
}

// TestRun runs the program with engines that are downloaded already.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "newest")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	cached := filepath.Join(dir, "cache")
	if err := errors.Join(os.MkdirAll(filepath.Join(cached, "postgres-"+postgresVersion), 0o700), os.MkdirAll(filepath.Join(cached, "mysql-sid"), 0o700), os.MkdirAll(filepath.Join(cached, "postgres-clients-sid"), 0o700)); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, "-dir", cached, "--", "sh", "-c", "echo $"+servers.PostgresPrograms+" $"+servers.MySQLPrograms+" ${PATH%%:*}; exit 7")
	command.Stderr = t.Output()
	out, err := command.Output()
	want := filepath.Join(cached, "postgres-"+postgresVersion, "package/native/bin") + " " + filepath.Join(cached, "mysql-sid/bin") + " " + filepath.Join(cached, "postgres-clients-sid/bin") + "\n"
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 || string(out) != want {
		t.Errorf("got %v, %q, want the exit code 7 and %q", err, out, want)
	}
	var messages bytes.Buffer
	if err := run(t.Context(), []string{"-dir", cached, "--", "no-such-command"}, nil, &messages); err == nil {
		t.Error("no such command: got no error, want one")
	}
	if err := run(t.Context(), []string{"-dir", cached}, nil, &messages); err != nil {
		t.Errorf("without a command: got %v, want no error", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ended, []string{"-dir", filepath.Join(dir, "empty")}, nil, &messages); err == nil {
		t.Error("no download: got no error, want one")
	}
}
