//go:build release

package release

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// system is a folder that stands for the root of a machine.
type system struct {
	*testing.T
	root string
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t, public(t)}
	for _, dir := range []string{"etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write("var/lib/dpkg/status", "")
	return s
}

func (s *system) path(name string) string { return filepath.Join(s.root, name) }

func (s *system) write(name, content string) {
	s.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *system) read(name string) string {
	s.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		s.Fatal(err)
	}
	return string(content)
}

// has checks the modes of files. 0 stands for no file.
func (s *system) has(when string, modes map[string]fs.FileMode) {
	s.Helper()
	for name, want := range modes {
		info, err := os.Stat(s.path(name))
		if errors.Is(err, fs.ErrNotExist) && want == 0 {
			continue
		}
		if err != nil || info.Mode().Perm() != want {
			s.Errorf("%s: %s: got %v, %v, want the mode %v", when, name, info, err, want)
		}
	}
}

// asRoster runs the installed program as the user of the service, in its folder.
func (s *system) asRoster(args ...string) string {
	s.Helper()
	found := regexp.MustCompile(`(?m)^roster:[^:]*:(\d+):(\d+):`).FindStringSubmatch(s.read("etc/passwd"))
	if found == nil {
		s.Fatalf("got the users %q, want roster among them", s.read("etc/passwd"))
	}
	user, err := strconv.ParseUint(found[1], 10, 32)
	if err != nil {
		s.Fatal(err)
	}
	group, err := strconv.ParseUint(found[2], 10, 32)
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(s.Context(), s.path("usr/bin/roster"), args...)
	cmd.Dir = s.path("var/lib/roster")
	cmd.Env = append(os.Environ(), "DATABASE_URL=sqlite:roster.db")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(group)}}
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("roster %s: %v\n%s", strings.Join(args, " "), err, &log)
	}
	return string(out)
}

// installed are the files of every package.
func installed() map[string]fs.FileMode {
	return map[string]fs.FileMode{
		"usr/bin/roster":                                  0o755,
		"etc/roster/roster.env":                           0o600,
		"usr/lib/systemd/system/roster.service":           0o644,
		"usr/lib/systemd/system/roster.socket":            0o644,
		"usr/lib/sysusers.d/roster.conf":                  0o644,
		"usr/share/man/man1/roster.1.gz":                  0o644,
		"usr/share/bash-completion/completions/roster":    0o644,
		"usr/share/fish/vendor_completions.d/roster.fish": 0o644,
		"usr/share/doc/roster/README.md":                  0o644,
		"usr/share/doc/roster/CHANGELOG.md":               0o644,
		"usr/share/doc/roster/docs/operations.md":         0o644,
	}
}

// debian installs, upgrades, removes and purges the package in a folder. The scripts of the package run too, with DPKG_ROOT.
func debian(t *testing.T, deb, next string) {
	before, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t)
	dpkg := func(args ...string) string {
		t.Helper()
		return command(t.Context(), t, "dpkg", append([]string{"--root=" + s.root, "--force-script-chrootless", "--log=" + s.path("dpkg.log")}, args...)...)
	}
	status := func() string {
		t.Helper()
		return command(t.Context(), t, "dpkg-query", "--admindir="+s.path("var/lib/dpkg"), "--show", "--showformat=${db:Status-Status} ${Version}", "roster")
	}

	dpkg("--install", deb)
	files := installed()
	files["usr/share/zsh/vendor-completions/_roster"] = 0o644
	files["var/lib/roster"] = 0o750
	s.has("installed", files)
	if got, want := status(), "installed 1.2.3"; got != want {
		t.Errorf("got the status %q, want %q", got, want)
	}
	if got, want := s.asRoster("version"), "roster v1.2.3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	page := exec.CommandContext(t.Context(), "gzip", "-dc", s.path("usr/share/man/man1/roster.1.gz"))
	text, err := page.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.write("roster.1", string(text))
	if got := command(t.Context(), t, "mandoc", "-T", "lint", "-W", "error", s.path("roster.1")); got != "" {
		t.Errorf("the manual page: got %s, want no errors", got)
	}
	if got := command(t.Context(), t, "mandoc", "-T", "ascii", s.path("roster.1")); !strings.Contains(strings.ReplaceAll(got, "\b", ""), "keys") {
		t.Errorf("the manual page: got %.500s, want the commands", got)
	}

	s.asRoster("seed", "--users=3", "--posts-per-user=1")
	settings := s.read("etc/roster/roster.env") + "ROSTER_LISTEN=127.0.0.1:9090\n"
	s.write("etc/roster/roster.env", settings)
	dpkg("--install", next)
	s.has("upgraded", files)
	if got, want := status(), "installed 1.3.0"; got != want {
		t.Errorf("upgraded: got the status %q, want %q", got, want)
	}
	if got, want := s.asRoster("version"), "roster v1.3.0\n"; got != want {
		t.Errorf("upgraded: got %q, want %q", got, want)
	}
	if got := s.read("etc/roster/roster.env"); got != settings {
		t.Errorf("upgraded: got the settings %q, want those that were edited", got)
	}
	users := s.asRoster("export", "users")
	if got := strings.Count(users, "\n"); got != 4 {
		t.Errorf("upgraded: got the users %q, want a header and 3", users)
	}

	dpkg("--remove", "roster")
	s.has("removed", map[string]fs.FileMode{
		"usr/bin/roster": 0, "usr/lib/systemd/system/roster.service": 0, "usr/share/man/man1/roster.1.gz": 0,
		"etc/roster/roster.env": 0o600, "var/lib/roster": 0o750, "var/lib/roster/roster.db": 0o600,
	})
	if got := s.read("etc/roster/roster.env"); got != settings {
		t.Errorf("removed: got the settings %q, want those that were edited", got)
	}
	if got := dpkg("--purge", "roster"); !strings.Contains(got, "the data stay in /var/lib/roster") {
		t.Errorf("purged: got %q, want where the data are", got)
	}
	s.has("purged", map[string]fs.FileMode{"etc/roster/roster.env": 0, "etc/roster": 0, "var/lib/roster/roster.db": 0o600})
	if after, err := os.ReadFile("/etc/passwd"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the users of this machine: got %q, %v, want %q", after, err, before)
	}
}

// rpm installs, upgrades and removes the package in a folder. rpm runs scripts only in a root with a shell, so the test runs
// the script after the installation itself.
func rpm(t *testing.T, first, next string) {
	s := newSystem(t)
	rpm := func(args ...string) string {
		t.Helper()
		return command(t.Context(), t, "rpm", append([]string{"--root", s.root, "--dbpath", "/var/lib/rpm"}, args...)...)
	}
	if got := command(t.Context(), t, "rpm", "--checksig", first); !strings.Contains(got, "digests OK") {
		t.Errorf("got %q, want digests OK", got)
	}
	rpm("--install", "--noscripts", "--nodeps", first)
	files := installed()
	files["usr/share/zsh/site-functions/_roster"] = 0o644
	s.has("installed", files)
	if got, want := rpm("--query", "roster"), "roster-1.2.3-1."; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	script := rpm("--query", "--queryformat", "%{POSTIN}", "roster")
	run := exec.CommandContext(t.Context(), "sh", "-c", script, "postinstall", "1")
	run.Env = append(os.Environ(), "DPKG_ROOT="+s.root)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("the script after the installation: %v\n%s", err, out)
	}
	s.asRoster("seed", "--users=3", "--posts-per-user=1")
	settings := s.read("etc/roster/roster.env") + "ROSTER_LISTEN=127.0.0.1:9090\n"
	s.write("etc/roster/roster.env", settings)
	rpm("--upgrade", "--noscripts", "--nodeps", next)
	if got, want := s.asRoster("version"), "roster v1.3.0\n"; got != want {
		t.Errorf("upgraded: got %q, want %q", got, want)
	}
	if got := s.read("etc/roster/roster.env"); got != settings {
		t.Errorf("upgraded: got the settings %q, want those that were edited", got)
	}
	rpm("--erase", "--noscripts", "roster")
	s.has("removed", map[string]fs.FileMode{"usr/bin/roster": 0, "etc/roster/roster.env": 0, "etc/roster/roster.env.rpmsave": 0o600, "var/lib/roster/roster.db": 0o600})
}

// unit lets systemd read the units, and count what the service may do that it should not.
func unit(t *testing.T, program string) {
	dir := public(t)
	for _, name := range []string{"roster.service", "roster.socket"} {
		text, err := os.ReadFile(filepath.Join(root, "ops/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), bytes.ReplaceAll(text, []byte("/usr/bin/roster"), []byte(program)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	service := filepath.Join(dir, "roster.service")
	if got := command(t.Context(), t, "systemd-analyze", "verify", "--man=no", service, filepath.Join(dir, "roster.socket")); strings.Contains(got, "roster.") {
		t.Errorf("got %s, want no faults", got)
	}
	// 2.0 of 10: what remains is the network, which the service is for.
	command(t.Context(), t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", service)
}
