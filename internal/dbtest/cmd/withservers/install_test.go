package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roster/internal/dbtest/servers"
)

// fakeAptGet writes a stand-in for apt-get that notes how it is called and whether services may start. It knows the
// packages only after an update; installing makes the file "installed".
const fakeAptGet = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$* $DEBIAN_FRONTEND $(./policy; echo $?)" >>calls
case "$*" in
*update*) touch lists ;;
*) [ -e lists ] && touch installed ;;
esac
`

// missing returns databases that are there once the file "installed" is in dir.
func missing(dir string) []database {
	find := func() error {
		if _, err := os.Stat(filepath.Join(dir, "installed")); err != nil {
			return &servers.MissingError{Software: "Some server", Program: "served"}
		}
		return nil
	}
	return []database{
		{variable: "TEST_POSTGRES_URL", packages: "postgresql", find: find},
		{variable: "TEST_MYSQL_URL", packages: "mariadb-server", find: find},
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	const (
		install = "-o DPkg::Lock::Timeout=120 -q install -y --no-install-recommends postgresql mariadb-server noninteractive 101\n"
		update  = "-o DPkg::Lock::Timeout=120 -q update noninteractive 101\n"
	)
	for name, c := range map[string]struct {
		prepared string // a file that is there
		calls    string
		failure  string // a part of the error
		policy   bool   // is there afterwards
	}{
		"fresh machine":  {calls: install + update + install},
		"known packages": {prepared: "lists", calls: install},
		"own policy":     {prepared: "policy", calls: strings.ReplaceAll(install+update+install, "101", "5"), policy: true},
		"broken":         {prepared: "broken", calls: install, failure: "apt-get update"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script, content := fakeAptGet, ""
			switch c.prepared {
			case "broken":
				script = "#!/bin/sh\nexit 9\n"
				c.calls = ""
			case "policy":
				content = "#!/bin/sh\nexit 5\n"
			}
			if c.prepared != "" {
				write(t, filepath.Join(dir, c.prepared), content)
			}
			write(t, filepath.Join(dir, "apt-get"), script)
			var messages bytes.Buffer
			h := host{
				root: true, aptGet: filepath.Join(dir, "apt-get"), policy: filepath.Join(dir, "policy"), messages: &messages,
			}
			err := ensure(t.Context(), missing(dir), h)
			if (err == nil) != (c.failure == "") || err != nil && !strings.Contains(err.Error(), c.failure) {
				t.Errorf("got %v, want %q", err, c.failure)
			}
			if !strings.Contains(messages.String(), "installing postgresql and mariadb-server with apt-get") {
				t.Errorf("got the messages %q, want one on the installation", &messages)
			}
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			if string(calls) != c.calls {
				t.Errorf("apt-get was called with\n%s, want\n%s", calls, c.calls)
			}
			if _, err := os.Stat(h.policy); (err == nil) != c.policy {
				t.Errorf("the policy for services: got %v, want a file: %t", err, c.policy)
			}
		})
	}
}

func TestCannotInstall(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]host{
		"another user":   {aptGet: "/usr/bin/apt-get"},
		"another system": {root: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := ensure(t.Context(), missing(t.TempDir()), h)
			if absent, ok := errors.AsType[*servers.MissingError](err); !ok || absent.Program != "served" {
				t.Fatalf("got %v, want a MissingError of served", err)
			}
			for _, part := range []string{
				"Some server is not installed", "\n    sudo apt-get install -y postgresql mariadb-server\n",
				"TEST_POSTGRES_URL and TEST_MYSQL_URL",
			} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want %q in it", err, part)
				}
			}
		})
	}
}

// write makes an executable file.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
