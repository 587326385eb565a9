//go:build unix

package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/server/certtest"
)

// TestCertificatePipe has a pipe that nobody writes to in place of the certificate or the key, and a link to one: no
// handshake waits for it.
func TestCertificatePipe(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cert.pem", "key.pem"} {
		dir := t.TempDir()
		cert, key := certtest.New(t, 1)
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		putFiles(t, map[string][]byte{certFile: cert, keyFile: key})
		s := secure(t, certFile, keyFile)
		pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, name)
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(pipe, file); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.pass(2 * time.Second)
			if got := s.serial(t); got != 1 {
				t.Errorf("%s: got certificate %d, want 1", name, got)
			}
		}
		if log := s.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "it is not a regular file") {
			t.Errorf("%s: got the log %q, want one line with the reason", name, log)
		}
	}
}
