package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/internal/server"
	"roster/internal/server/certtest"
)

// secured is a server with a certificate in files, and a clock.
type secured struct {
	address, certFile, keyFile string
	log                        *lockedBuffer

	mu  sync.Mutex
	now time.Time
}

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Buffer.Reset()
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func (s *secured) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *secured) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// putFiles puts contents into files.
func putFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// secure starts a server with the certificate in two files.
func secure(t *testing.T, certFile, keyFile string) *secured {
	t.Helper()
	s := &secured{certFile: certFile, keyFile: keyFile, log: new(lockedBuffer), now: time.Unix(1, 0)}
	certificate, err := server.NewCertificate(certFile, keyFile, s.clock, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	o := testOptions()
	o.LocalOnly = true
	o.Streams = server.NewStreams(server.StreamOptions{MaxStreams: 1, PingInterval: time.Minute, InitTimeout: time.Minute})
	go func() {
		done <- server.Serve(ctx, listener, certificate.Config(), server.New(o), o.Streams, server.Timeouts{Shutdown: time.Minute}, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want no error", err)
		}
	})
	return s
}

// serial returns the serial number of the certificate that a new connection gets.
func (s *secured) serial(t *testing.T) int64 {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64() //nolint:errcheck // it is what the Dialer returns
}

// TestCertificateChanges changes the files of a running server. Old connections go on.
func TestCertificateChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert1, key1 := certtest.New(t, 1)
	cert2, key2 := certtest.New(t, 2)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	putFiles(t, map[string][]byte{certFile: cert1, keyFile: key1})
	s := secure(t, certFile, keyFile)
	// want checks the certificate, and that the log has one line with all parts, or none.
	want := func(what string, serial int64, parts ...string) {
		t.Helper()
		for range 3 { // the log has no more lines for more connections
			if got := s.serial(t); got != serial {
				t.Errorf("%s: got certificate %d, want %d", what, got, serial)
			}
			s.pass(time.Second)
		}
		log := s.log.String()
		if lines := min(len(parts), 1); strings.Count(log, "\n") != lines || strings.Contains(log, "PRIVATE") {
			t.Errorf("%s: got the log %q, want %d lines without a key", what, log, lines)
		}
		for _, part := range parts {
			if !strings.Contains(log, part) {
				t.Errorf("%s: got the log %q, want %q", what, log, part)
			}
		}
	}
	const kept, changed = "cannot be loaded: the old one remains in use", "the TLS certificate has changed"
	want("at first", 1)
	putFiles(t, map[string][]byte{certFile: cert2})
	want("a certificate without its key", 1, kept, "private key does not match")
	putFiles(t, map[string][]byte{keyFile: key2})
	if got := s.serial(t); got != 2 {
		t.Errorf("the key, too: got certificate %d, want 2", got)
	}
	putFiles(t, map[string][]byte{certFile: cert1, keyFile: key1})
	if got := s.serial(t); got != 2 {
		t.Errorf("in the same second: got certificate %d, want 2", got)
	}
	s.log.Reset()
	s.pass(time.Second)
	want("a second later", 1, changed, "expires=")
	s.log.Reset()
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("text"), "large": bytes.Repeat([]byte("\n"), 2<<20)} {
		putFiles(t, map[string][]byte{certFile: data})
		want(name, 1, kept)
		s.log.Reset()
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	want("no file", 1, kept)
	s.log.Reset()
	if err := os.Mkdir(certFile, 0o700); err != nil {
		t.Fatal(err)
	}
	want("a directory", 1, kept, "is a directory")
	s.log.Reset()
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	putFiles(t, map[string][]byte{certFile: cert2, keyFile: key2})
	want("files again", 2, changed)
}

// TestCertificateLinks has the files in a directory that a symbolic link names, as Kubernetes mounts them.
func TestCertificateLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "current")
	for name, serial := range map[string]int64{"old": 1, "new": 2} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := certtest.New(t, serial)
		putFiles(t, map[string][]byte{filepath.Join(dir, name, "cert.pem"): cert, filepath.Join(dir, name, "key.pem"): key})
	}
	if err := os.Symlink("old", link); err != nil {
		t.Fatal(err)
	}
	s := secure(t, filepath.Join(link, "cert.pem"), filepath.Join(link, "key.pem"))
	if got := s.serial(t); got != 1 {
		t.Errorf("got certificate %d, want 1", got)
	}
	if err := os.Symlink("new", link+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+"2", link); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Second)
	if got := s.serial(t); got != 2 {
		t.Errorf("after the link changed: got certificate %d, want 2", got)
	}
}

// TestTLS has clients of each version of HTTP and TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certtest.New(t, 1)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	putFiles(t, map[string][]byte{certFile: cert, keyFile: key})
	s := secure(t, certFile, keyFile)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	_, port, _ := net.SplitHostPort(s.address)
	for name, test := range map[string]struct {
		http2 bool
		most  uint16 // version of TLS
		proto string
	}{
		"HTTP/1.1": {proto: "HTTP/1.1"}, "HTTP/2": {http2: true, proto: "HTTP/2.0"},
		"HTTP/2 over TLS 1.2": {http2: true, most: tls.VersionTLS12, proto: "HTTP/2.0"},
		"TLS 1.1":             {most: tls.VersionTLS11},
	} {
		var protocols http.Protocols
		protocols.SetHTTP1(!test.http2)
		protocols.SetHTTP2(test.http2)
		client := &http.Client{Transport: &http.Transport{
			Protocols:         &protocols,
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: test.most},
		}}
		for host, hsts := range map[string]string{"127.0.0.1": "max-age=31536000", "localhost": ""} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+net.JoinHostPort("127.0.0.1", port)+"/graphql",
				strings.NewReader(`{"query":"{ echo(text: \"hi\") }"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			r.Header.Set("Content-Type", typeJSON)
			response, err := client.Do(r)
			if test.proto == "" {
				if err == nil {
					_ = response.Body.Close()
					t.Errorf("%s: got %s, want no connection", name, response.Status)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || string(text) != `{"data":{"echo":"hi"}}` || response.Proto != test.proto {
				t.Errorf("%s: got %s, %q, %v, want the echo by %s", name, response.Proto, text, err, test.proto)
			}
			if got := response.Header.Get("Strict-Transport-Security"); got != hsts {
				t.Errorf("%s, %s: got Strict-Transport-Security %q, want %q", name, host, got, hsts)
			}
		}
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots}}
	conn, err := dialer.DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 101"))
	if _, readErr := io.ReadFull(conn, head); err != nil || readErr != nil || string(head) != "HTTP/1.1 101" {
		t.Errorf("a WebSocket: got %q, %v, %v, want 101", head, err, readErr)
	}
	if got := exchange(t, s.address, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 400 ") {
		t.Errorf("without TLS: got %q, want 400", got)
	}
}

func TestWrongCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certtest.New(t, 1)
	_, other := certtest.New(t, 2)
	at := func(name string) string { return filepath.Join(dir, name) }
	putFiles(t, map[string][]byte{at("cert"): cert, at("key"): key, at("other"): other, at("text"): []byte("text"), at("large"): make([]byte, 2<<20)})
	for _, test := range []struct{ cert, key, says string }{
		{"missing", "key", "missing"},
		{"cert", "missing", "missing"},
		{"cert", "other", "does not match"},
		{"text", "key", "PEM"},
		{"cert", "text", "PEM"},
		{"large", "key", "more than 1048576 bytes"},
		{"key", "cert", "PEM"},
	} {
		_, err := server.NewCertificate(at(test.cert), at(test.key), time.Now, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("%s, %s: got %v, want an error with %q", test.cert, test.key, err, test.says)
		}
	}
}
