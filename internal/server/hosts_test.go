package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"roster/internal/server"
)

// TestHosts sends the same request with other hosts, as bytes, to a server without authentication and to one with a list
// of hosts.
func TestHosts(t *testing.T) {
	t.Parallel()
	local, listed, open := testOptions(), testOptions(), testOptions()
	local.LocalOnly = true
	listed.Hosts = []string{"roster.example.com", "[2001:db8::1]"}
	addresses := map[string]string{}
	for name, o := range map[string]server.Options{"local": local, "listed": listed, "open": open} {
		addresses[name], _, _ = serve(t, server.New(o), server.Timeouts{})
	}
	const request = "GET /healthz HTTP/1.1\r\nConnection: close\r\n"
	for _, test := range []struct {
		name, request string
		allowed       string // the servers that allow it
	}{
		{"localhost", request + "Host: localhost\r\n", "local open"},
		{"localhost with a port", request + "Host: localhost:8080\r\n", "local open"},
		{"localhost with an empty port", request + "Host: localhost:\r\n", "local open"},
		{"localhost in another case", request + "Host: LocalHost:8080\r\n", "local open"},
		{"127.0.0.1", request + "Host: 127.0.0.1\r\n", "local open"},
		{"127.0.0.1 with a port", request + "Host: 127.0.0.1:80\r\n", "local open"},
		{"::1", request + "Host: [::1]\r\n", "local open"},
		{"::1 with a port", request + "Host: [::1]:8080\r\n", "local open"},
		{"HTTP/1.0", "GET /healthz HTTP/1.0\r\nHost: localhost\r\n", "local open"},
		{"another host", request + "Host: evil.example\r\n", "open"},
		{"another host with the port", request + "Host: evil.example:8080\r\n", "open"},
		{"a host below localhost", request + "Host: evil.localhost\r\n", "open"},
		{"a host that starts with localhost", request + "Host: localhost.evil.example\r\n", "open"},
		{"localhost with a dot", request + "Host: localhost.\r\n", "open"},
		{"another address of this machine", request + "Host: 127.0.0.2\r\n", "open"},
		{"an address in another form", request + "Host: 127.1\r\n", "open"},
		{"all addresses", request + "Host: 0.0.0.0:8080\r\n", "open"},
		{"::1 without brackets", request + "Host: ::1\r\n", "open"},
		{"::1 in another form", request + "Host: [0:0:0:0:0:0:0:1]\r\n", "open"},
		{"::1 with a zone", request + "Host: [::1%25lo]\r\n", "open"},
		{"an escaped host", request + "Host: loc%61lhost\r\n", "open"},
		{"a port that is none", request + "Host: localhost:evil\r\n", "open"},
		{"a list", request + "Host: localhost,evil.example\r\n", "open"},
		{"no host, empty", request + "Host:\r\n", "open"},
		{"no host, HTTP/1.0", "GET /healthz HTTP/1.0\r\n", "open"},
		{"a URL of localhost", "GET http://localhost/healthz HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n", "local open"},
		{"a URL of another host", "GET http://evil.example/healthz HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n", "open"},
		{"a URL with a user", "GET http://localhost@evil.example/healthz HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n", "open"},
		{"a listed host", request + "Host: roster.example.com\r\n", "listed open"},
		{"a listed host with a port", request + "Host: ROSTER.example.com:443\r\n", "listed open"},
		{"a listed address", request + "Host: [2001:DB8::1]:443\r\n", "listed open"},
		{"a host below a listed one", request + "Host: a.roster.example.com\r\n", "open"},
		{"Forwarded", request + "Host: localhost\r\nForwarded: for=192.0.2.1\r\n", "open"},
		{"X-Forwarded-For", request + "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n", "open"},
		{"X-Real-IP", request + "Host: localhost\r\nx-real-ip: 192.0.2.1\r\n", "open"},
		{"X-Forwarded-For, empty", request + "Host: localhost\r\nX-Forwarded-For:\r\n", "open"},
		{"a listed host and a proxy", request + "Host: roster.example.com\r\nX-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n", "listed open"},
	} {
		for name, address := range addresses {
			got := exchange(t, address, test.request+"\r\n")
			setting := map[string]string{"local": "ROSTER_INSECURE_NO_AUTH", "listed": "ROSTER_ALLOWED_HOSTS"}[name]
			if strings.Contains(test.allowed, name) {
				if _, answer, _ := strings.Cut(got, "\r\n\r\n"); !strings.Contains(got, " 200 OK\r\n") || answer != `{"status":"ok"}` {
					t.Errorf("%s, %s: got %q, want 200", name, test.name, got)
				}
			} else if _, answer, _ := strings.Cut(got, "\r\n\r\n"); !strings.Contains(got, " 403 Forbidden\r\n") ||
				onlyCode([]byte(answer)) != "FORBIDDEN" || !strings.Contains(answer, setting) || strings.Contains(answer, "evil") {
				t.Errorf("%s, %s: got %q, want 403, FORBIDDEN and %s", name, test.name, got, setting)
			}
		}
	}
	for name, request := range map[string]string{
		"two hosts":        request + "Host: localhost\r\nHost: evil.example\r\n",
		"twice localhost":  request + "Host: localhost\r\nHost: localhost\r\n",
		"no host":          request,
		"a host of a user": request + "Host: evil@localhost\r\n",
	} {
		if got := exchange(t, addresses["local"], request+"\r\n"); strings.Contains(got, " 200 ") || !strings.Contains(got, " 40") {
			t.Errorf("%s: got %q, want 400 or 403", name, got)
		}
	}
}

// TestHostsOfPaths asks for everything that the server has, for another host.
func TestHostsOfPaths(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.LocalOnly = true
	handler := server.New(o)
	for _, target := range []string{"/", "/graphql", "/graphql?query={echo}", "/schema.graphql", "/healthz", "/readyz", "/playground/x.js", "/nothing"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodDelete} {
			want := request{
				method: method, target: "http://evil.example" + target, status: http.StatusForbidden, code: "FORBIDDEN",
				answers: map[string]string{"X-Content-Type-Options": "nosniff", "X-Request-Id": "made-here"},
			}
			want.check(t, want.send(t, handler))
		}
	}
	address, _, _ := serve(t, handler, server.Timeouts{})
	for _, text := range []string{
		"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		"GET /graphql HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Protocol: graphql-transport-ws\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, len("HTTP/1.1 403"))
		if _, err := io.ReadFull(conn, head); err != nil || string(head) != "HTTP/1.1 403" {
			t.Errorf("%q: got %q, %v, want 403", text, head, err)
		}
		_ = conn.Close()
	}
}

// TestHostsOverHTTP2 has the host in :authority.
func TestHostsOverHTTP2(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.LocalOnly = true }, func(t *testing.T, s *site) {
		s.overHTTP2()
		for host, want := range map[string]int{"localhost": 200, "127.0.0.1:8080": 200, "evil.example": 403, "evil.example:8080": 403} {
			if got := s.askHost(t, host); got != want {
				t.Errorf("%s: got %d, want %d", host, got, want)
			}
		}
		if got := s.askHost(t, "localhost", "X-Forwarded-For", "192.0.2.1"); got != http.StatusForbidden {
			t.Errorf("from a proxy: got %d, want 403", got)
		}
	})
}

// askHost asks for the health of a site by a host, and returns the status.
func (s *site) askHost(t *testing.T, host string, headers ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://roster.test/healthz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.2:0": true, "[::1]:8080": true, "localhost:8080": true, "[::ffff:127.0.0.1]:80": true,
		":8080": false, "0.0.0.0:8080": false, "[::]:8080": false, "192.0.2.1:80": false, "[2001:db8::1]:80": false, "[::ffff:192.0.2.1]:80": false,
	} {
		if got, err := server.IsLoopback(t.Context(), address); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", address, got, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a lookup fails
	if got, err := server.IsLoopback(ctx, "roster.test:80"); got || err == nil {
		t.Errorf("a host that cannot be looked up: got %v, %v, want an error", got, err)
	}
}

// TestListenLocal has addresses that IsLoopback did not see: a name can have another address later.
func TestListenLocal(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"127.0.0.1:0": true, "localhost:0": true, ":0": false, "0.0.0.0:0": false} {
		listener, err := server.ListenLocal(t.Context(), address)
		if (err == nil) != want {
			t.Errorf("%s: got %v, want success %v", address, err, want)
		}
		if err == nil {
			_ = listener.Close()
		}
	}
}
