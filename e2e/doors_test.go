package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/server/certtest"
)

// TestTLS serves with a certificate, and then with another one in the same files, while the program runs.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, file := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "roster.db")
	roots := x509.NewCertPool()
	install := func(serial int64) {
		certificate, key := certtest.New(t, serial)
		roots.AppendCertsFromPEM(certificate)
		for name, data := range map[string][]byte{certFile: certificate, keyFile: key} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	install(1)
	p := start(t, build(t), "sqlite:"+file, "SQLite ("+file+")", "--tls-cert="+certFile, "--tls-key="+keyFile)
	if !strings.HasPrefix(p.URL, "https://127.0.0.1:") {
		t.Errorf("got the address %s, want one with https", p.URL)
	}
	// ask returns the protocol and the serial number of the certificate of a new connection.
	ask := func(ctx context.Context) (proto string, serial int64) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/graphql", strings.NewReader(`{"query":"{ users { totalCount } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"data":{"users":{"totalCount":0}}`) {
			t.Fatalf("got %s, %s, %v, want no users", response.Status, body, err)
		}
		return response.Proto, response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if proto, serial := ask(t.Context()); proto != "HTTP/2.0" || serial != 1 {
		t.Errorf("got %s and certificate %d, want HTTP/2.0 and 1", proto, serial)
	}
	install(2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for serial := int64(1); serial != 2; { // within a second
		_, serial = ask(ctx)
	}
	p.stop(t, syscall.SIGTERM)
	if log := p.Log.String(); !strings.Contains(log, "the TLS certificate has changed") {
		t.Errorf("got the log %q, want a line about the certificate", log)
	}
}

// TestShutDoors has requests that a page of another site, or the internet behind a proxy, sends to a server without
// authentication. --insecure-no-auth lets them in, and says so.
func TestShutDoors(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, open := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "roster.db")
		var flags []string
		if open {
			flags = []string{"--insecure-no-auth"}
		}
		p := start(t, binary, "sqlite:"+file, "SQLite ("+file+")", flags...)
		for name, change := range map[string]func(*http.Request){
			"another host": func(r *http.Request) { r.Host = "evil.example" },
			"a proxy":      func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") },
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/graphql?query={users{totalCount}}", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			response, err := (&http.Client{Timeout: time.Minute}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			refused := response.StatusCode == http.StatusForbidden && strings.Contains(string(body), "ROSTER_INSECURE_NO_AUTH")
			if err != nil || refused == open || response.StatusCode/100 != 2 && open {
				t.Errorf("%s, with --insecure-no-auth %v: got %s, %s, %v", name, open, response.Status, body, err)
			}
		}
		if open {
			line, err := p.Stdout.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "  WARNING     There is no authentication") || !strings.Contains(p.Log.String(), "NO AUTHENTICATION") {
				t.Errorf("got %q, %v, log %q, want warnings", line, err, p.Log)
			}
			continue
		}
		p.stop(t, syscall.SIGTERM)
	}
}

// TestProduction has a server in production with a secret in its environment, and tokens that the program mints with the
// same environment.
func TestProduction(t *testing.T) {
	t.Parallel()
	binary, file := build(t), filepath.Join(t.TempDir(), "roster.db")
	environment := append(os.Environ(), "ROSTER_AUTH_HS256_SECRET="+strings.Repeat("s", 32), "ROSTER_AUTH_ISSUER=https://idp.test/",
		"ROSTER_AUTH_AUDIENCE=roster", "ROSTER_ALLOWED_HOSTS=127.0.0.1,roster.example.com", "ROSTER_MODE=production")
	mint := exec.CommandContext(t.Context(), binary, "token", "mint", "--subject=ada", "--roles=ADMIN")
	mint.Env = environment
	token, err := mint.Output()
	if err != nil || strings.Count(string(token), ".") != 2 || strings.Count(string(token), "\n") != 1 {
		t.Fatalf("got %s, %v, want a token", token, err)
	}
	p := startIn(t, environment, binary, "sqlite:"+file, "SQLite ("+file+")")
	bearer := "Bearer " + strings.TrimSpace(string(token))
	for _, test := range []struct {
		name, path string
		headers    []string
		status     int
		says       string
	}{
		{"a token", "/graphql?query={viewer{subject,roles}}", []string{"Authorization", bearer}, 200, `"data":{"viewer":{"subject":"ada","roles":["ADMIN"]}}`},
		{"a token by a proxy", "/graphql?query={users{totalCount}}", []string{"Authorization", bearer, "X-Forwarded-For", "192.0.2.1"}, 200, `"totalCount":0`},
		{"an allowed host", "/graphql?query={users{totalCount}}", []string{"Authorization", bearer, "Host", "roster.example.com"}, 200, `"totalCount":0`},
		{"another host", "/graphql?query={users{totalCount}}", []string{"Authorization", bearer, "Host", "evil.example"}, 403, "ROSTER_ALLOWED_HOSTS"},
		{"localhost", "/healthz", []string{"Host", "localhost"}, 403, "ROSTER_ALLOWED_HOSTS"},
		{"no token", "/graphql?query={users{totalCount}}", nil, 401, "UNAUTHENTICATED"},
		{"a wrong token", "/graphql?query={viewer{subject}}", []string{"Authorization", bearer + "x"}, 401, "UNAUTHENTICATED"},
		{"introspection", "/graphql?query={__schema{queryType{name}}}", []string{"Authorization", bearer}, 200, "Introspection is switched off"},
		{"the playground", "/", nil, 404, "nothing is at this address"},
		{"the schema", "/schema.graphql", nil, 404, "nothing is at this address"},
		{"health", "/healthz", nil, 200, "ok"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+test.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for pair := range slices.Chunk(test.headers, 2) {
			if pair[0] == "Host" {
				r.Host = pair[1]
			}
			r.Header.Set(pair[0], pair[1])
		}
		response, err := (&http.Client{Timeout: time.Minute}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != test.status || !strings.Contains(string(body), test.says) {
			t.Errorf("%s: got %s, %s, %v, want %d with %s", test.name, response.Status, body, err, test.status, test.says)
		}
	}
	p.stop(t, syscall.SIGTERM)
}
