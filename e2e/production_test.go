package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"roster/e2e/program"
	"roster/internal/auth/provider"
	"roster/internal/dbtest"
	"roster/internal/server/certtest"
)

// TestReadmeProduction runs the ten lines of the README from make run to production. Only the names differ: the database,
// the provider and the certificate are on this machine.
func TestReadmeProduction(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)## From `make run` to production.*?```sh\n(make build\n.*?)```\n\n```json\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatal("got no block of commands with an answer in the README, want one")
	}
	lines, answer := strings.Split(strings.TrimSpace(string(found[1])), "\n"), string(found[2])
	if len(lines) != 10 {
		t.Fatalf("got %d lines, want 10", len(lines))
	}
	database, err := url.Parse(dbtest.Empty(t, dbtest.PostgreSQL))
	if err != nil {
		t.Fatal(err)
	}
	signer, folder := provider.NewKey(t, "RS256", "first"), t.TempDir()
	idp := provider.New(t, signer)
	certFile, keyFile := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	certificate, private := certtest.New(t, 1)
	for file, content := range map[string][]byte{certFile: certificate, keyFile: private} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := build(t)
	script := strings.NewReplacer(
		"postgres://roster:PASSWORD@db.example.com:5432/roster", database.String(),
		"ROSTER_LISTEN=:8443", "ROSTER_LISTEN=127.0.0.1:0",
		"/etc/roster/cert.pem", certFile, "/etc/roster/key.pem", keyFile,
		"https://login.example.com/realms/acme", idp.Issuer,
		"bin/roster serve --no-migrate &", `echo "key $KEY"; exec `+binary+` serve --no-migrate`,
		"bin/roster", binary,
	).Replace(strings.Join(lines[1:9], "\n"))
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
	cmd.Env = append(os.Environ(), "ROSTER_LOG_LEVEL=error")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr program.Transcript
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var key, address string
	for out := bufio.NewScanner(stdout); address == "" && out.Scan(); {
		line := strings.TrimSpace(out.Text())
		if after, is := strings.CutPrefix(line, "key "); is {
			key = after
		}
		if _, after, is := strings.Cut(line, "https://"); is {
			address, _, _ = strings.Cut(after, "/")
		}
	}
	if key == "" || address == "" {
		t.Fatalf("got the key %q and the address %q, want both; stderr: %s", key, address, stderr.String())
	}

	request := regexp.MustCompile(`^curl -s https://roster\.example\.com:8443(/\S+) -H "Authorization: Bearer \$KEY" -H 'Content-Type: (\S+)' -d '(.*)'$`).FindStringSubmatch(lines[9])
	if request == nil {
		t.Fatalf("got %s, want a request with the key", lines[9])
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	ask := func(credentials, body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+request[1], strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "roster.example.com"
		r.Header.Set("Authorization", "Bearer "+credentials)
		r.Header.Set("Content-Type", request[2])
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(got)
	}
	status, got := ask(key, request[3])
	if err := matches(decode(t, answer), decode(t, got), map[string]string{}); err != nil || status != http.StatusOK {
		t.Errorf("got %d, %s, want what the README says: %v", status, got, err)
	}
	claims := idp.Claims("grace")
	claims["typ"] = "Bearer" // as Keycloak does
	claims["realm_access"] = map[string]any{"roles": []string{"staff-admins", "others"}}
	status, got = ask(signer.Token(claims), request[3])
	if want := `{"data":{"viewer":{"subject":"grace","roles":["ADMIN"]}}}`; status != http.StatusOK || got != want {
		t.Errorf("a token of the provider: got %d, %s, want %s", status, got, want)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stdout)
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want the server to end by itself; stderr: %s", err, stderr.String())
	}
}
