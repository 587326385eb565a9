package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"roster/internal/server"
)

// logged returns a server with proxies, and its log.
func logged(o server.Options, proxies ...string) (http.Handler, *bytes.Buffer) {
	log := new(bytes.Buffer)
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, proxy := range proxies {
		o.Proxies = append(o.Proxies, netip.MustParsePrefix(proxy))
	}
	return server.New(o), log
}

// askFrom sends a request from a peer, with lines of X-Forwarded-For.
func askFrom(t *testing.T, handler http.Handler, peer string, lines ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, get("query", "{ echo }"), nil)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = lines
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	const peer = "10.0.0.1:4711" // a proxy
	for _, test := range []struct {
		name, peer string
		lines      []string
		want       string
	}{
		{"no header", peer, nil, "10.0.0.1"},
		{"one address", peer, []string{"192.0.2.1"}, "192.0.2.1"},
		{"what the client sent", peer, []string{"198.51.100.7, 192.0.2.1"}, "192.0.2.1"},
		{"two proxies", peer, []string{"198.51.100.7, 192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"two lines", peer, []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1"},
		{"the line of the client first", peer, []string{"198.51.100.7", "192.0.2.1"}, "192.0.2.1"},
		{"three lines", peer, []string{"198.51.100.7,192.0.2.1", "10.0.0.3", "10.0.0.2"}, "192.0.2.1"},
		{"a proxy as client", peer, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"spaces", peer, []string{" \t192.0.2.1 ,  10.0.0.2\t"}, "192.0.2.1"},
		{"a port", peer, []string{"192.0.2.1:51234"}, "192.0.2.1"},
		{"IPv6", peer, []string{"2001:DB8:0::1"}, "2001:db8::1"},
		{"IPv6 in brackets", peer, []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 with a port", peer, []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"a zone", peer, []string{"fe80::1%eth0"}, "fe80::1"},
		{"a zone and a port", peer, []string{"[fe80::1%25]:443"}, "fe80::1"},
		{"IPv4 in IPv6", peer, []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"a proxy as IPv4 in IPv6", peer, []string{"192.0.2.1, ::ffff:10.0.0.2"}, "192.0.2.1"},
		{"an IPv6 proxy", "[2001:db8:ffff::1]:4711", []string{"192.0.2.1"}, "192.0.2.1"},
		{"an IPv6 proxy with a zone", "[2001:db8:ffff::1%eth0]:4711", []string{"192.0.2.1"}, "192.0.2.1"},
		{"a peer as IPv4 in IPv6", "[::ffff:10.0.0.1]:4711", []string{"192.0.2.1"}, "192.0.2.1"},
		{"nothing", peer, []string{""}, "10.0.0.1"},
		{"nothing at the end", peer, []string{"192.0.2.1,"}, "10.0.0.1"},
		{"an empty line at the end", peer, []string{"192.0.2.1", ""}, "10.0.0.1"},
		{"no address", peer, []string{"unknown"}, "10.0.0.1"},
		{"no address before a proxy", peer, []string{"192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"half an address", peer, []string{"192.0.2"}, "10.0.0.1"},
		{"an octal number", peer, []string{"192.0.2.010"}, "10.0.0.1"},
		{"a half bracket", peer, []string{"[2001:db8::1"}, "10.0.0.1"},
		{"IPv4 in brackets", peer, []string{"[192.0.2.1]"}, "10.0.0.1"},
		{"a port too large", peer, []string{"192.0.2.1:65536"}, "10.0.0.1"},
		{"a network", peer, []string{"192.0.2.0/24"}, "10.0.0.1"},
		{"quotes", peer, []string{`"192.0.2.1"`}, "10.0.0.1"},
		{"line breaks", peer, []string{"192.0.2.1\n"}, "192.0.2.1"},
		{"a megabyte of proxies", peer, []string{"192.0.2.1" + strings.Repeat(",10.0.0.2", 1<<20/9)}, "192.0.2.1"},
		{"a megabyte of commas", peer, []string{strings.Repeat(",", 1<<20)}, "10.0.0.1"},
		{"an untrusted peer", "203.0.113.9:4711", []string{"192.0.2.1"}, "203.0.113.9"},
		{"an untrusted peer that names a proxy", "203.0.113.9:4711", []string{"10.0.0.1"}, "203.0.113.9"},
		{"a peer without an address", "@", []string{"192.0.2.1"}, `""`},
	} {
		handler, log := logged(testOptions(), "10.0.0.0/8", "2001:db8:ffff::/48")
		askFrom(t, handler, test.peer, test.lines...)
		if want := "msg=answered client=" + test.want + " method="; !strings.Contains(log.String(), want) {
			t.Errorf("%s: got %.400s, want %s", test.name, log, want)
		}
	}
}

// TestUntrustedProxyWarning tests that the log says once that clients share a budget.
func TestUntrustedProxyWarning(t *testing.T) {
	t.Parallel()
	unlimited, log := logged(testOptions(), "10.0.0.0/8")
	askFrom(t, unlimited, "192.0.2.1:1", "198.51.100.7") // no budgets, so nobody shares one
	o := testOptions()
	limited(&o, nil)
	handler, log2 := logged(o, "10.0.0.0/8")
	askFrom(t, handler, "10.0.0.1:1", "192.0.2.1")
	askFrom(t, handler, "192.0.2.1:1")
	if strings.Contains(log2.String(), "WARN") {
		t.Errorf("got %s, want no warning", log2)
	}
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("got %s, want no warning", log)
	}
	for i := range 3 {
		askFrom(t, handler, fmt.Sprintf("192.0.2.%d:1", i), "198.51.100.7")
	}
	if got := strings.Count(log2.String(), "level=WARN"); got != 1 || !strings.Contains(log2.String(), "ROSTER_TRUSTED_PROXIES") {
		t.Errorf("got %d warnings in %s, want one with the setting", got, log2)
	}
}
