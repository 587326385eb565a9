package e2e

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roster/internal/server/certtest"
)

// TestReady asks servers whether they are ready, as the health check of a container does.
func TestReady(t *testing.T) {
	t.Parallel()
	binary, folder := build(t), t.TempDir()
	certificate, key := certtest.New(t, 1)
	certFile, keyFile := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for file, content := range map[string][]byte{certFile: certificate, keyFile: key} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, "roster.db")
	plain := start(t, binary, "sqlite:"+file, "SQLite ("+file+")")
	secure := start(t, binary, "sqlite:"+file, "SQLite ("+file+")", "--tls-cert="+certFile, "--tls-key="+keyFile)
	secret := filepath.Join(folder, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	named := start(t, binary, "sqlite:"+file, "SQLite ("+file+")", "--allowed-hosts=roster.example.com",
		"--auth-hs256-secret-file="+secret, "--auth-issuer=https://issuer.example.com", "--auth-audience=roster")
	strange := httptest.NewServer(http.NotFoundHandler())
	defer strange.Close()
	draining := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"status":"stopping"}`))
		}
	}))
	socket := filepath.Join(folder, "socket")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	_ = draining.Listener.Close()
	draining.Listener = listener
	draining.Start()
	defer draining.Close()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	port := func(url string) string { return url[strings.LastIndex(url, ":"):] }
	address := func(url string) string { return "127.0.0.1" + port(url) }
	empty := filepath.Join(folder, "empty")
	for _, test := range []struct {
		args        string
		environment []string
		code        int
		want        string
	}{
		{plain.URL, nil, 0, "ready\n"},
		{plain.URL + "/", nil, 0, "ready\n"},
		{"", []string{"ROSTER_LISTEN=" + address(plain.URL)}, 0, "ready\n"},
		{"--listen=" + port(plain.URL), nil, 0, "ready\n"},
		{"--listen=0.0.0.0" + port(plain.URL), nil, 0, "ready\n"},
		{"", []string{"ROSTER_LISTEN=" + address(secure.URL), "ROSTER_TLS_CERT=" + certFile}, 0, "ready\n"},
		{"", []string{"ROSTER_LISTEN=" + address(named.URL), "ROSTER_ALLOWED_HOSTS=roster.example.com"}, 0, "ready\n"},
		{named.URL, nil, 1, "roster: " + named.URL + " is not ready: it answers 403 Forbidden\n"},
		// A private CA is that of SSL_CERT_FILE. Without any file, the program has public CAs of its own.
		{secure.URL, []string{"SSL_CERT_FILE=" + certFile}, 0, "ready\n"},
		{secure.URL, []string{"SSL_CERT_FILE=" + empty, "SSL_CERT_DIR=" + empty}, 1, "roster: " + secure.URL +
			" does not answer: tls: failed to verify certificate: x509: certificate signed by unknown authority\n"},
		{"unix:" + socket, nil, 1, "roster: unix:" + socket + " is not ready: stopping\n"},
		{strange.URL, nil, 1, "roster: " + strange.URL + " is not ready: it answers 404 Not Found\n"},
		{"http://" + silent.Addr().String() + " --timeout=50ms", nil, 1, "roster: http://" + silent.Addr().String() + " does not answer: it took more than 50ms\n"},
		{"http://user:password@127.0.0.1:1", nil, 1, "roster: http://user:xxxxx@127.0.0.1:1 does not answer: connection refused\n"},
		{"unix:" + empty, nil, 1, "roster: unix:" + empty + " does not answer: no such file or directory\n"},
		{"--listen=127.0.0.1:0", nil, 2, "roster: --listen=127.0.0.1:0 takes a free port, which is not known here: give the URL of the server"},
		{"--listen=here", nil, 2, `roster: --listen must be HOST:PORT, such as 127.0.0.1:8080, not "here"`},
		{"ftp://127.0.0.1", nil, 2, "roster: the URL must be http://HOST:PORT, https://HOST:PORT or unix:PATH"},
		{"unix:", nil, 2, "roster: the URL unix: needs the path of a socket"},
		{"--timeout=0s", nil, 2, "roster: --timeout must be longer than 0s, not 0s"},
	} {
		cmd := exec.CommandContext(t.Context(), binary, append([]string{"ready"}, strings.Fields(test.args)...)...)
		cmd.Env = append(os.Environ(), test.environment...)
		out, err := cmd.CombinedOutput()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		if code != test.code || !strings.HasPrefix(string(out), test.want) || code < 2 && string(out) != test.want {
			t.Errorf("%v roster ready %s: got code %d, %s, want %d, %s", test.environment, test.args, code, out, test.code, test.want)
		}
	}
	for _, p := range []*process{plain, secure, named} {
		p.stop(t, syscall.SIGTERM)
	}
}
