package auth

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFetchTimeout checks how long a provider may be silent. The connection is a pipe, because the time of a bubble does
// not pass while a goroutine waits for the network.
func TestFetchTimeout(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"nothing":          "",
		"headers":          "HTTP/1.1 200 OK\r\nX: ",
		"a part of a body": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := newSource("http://127.0.0.1/keys", "")
				if err != nil {
					t.Fatal(err)
				}
				transport, _ := s.client.Transport.(*http.Transport)
				transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					go func() {
						defer server.Close()
						if _, err := server.Read(make([]byte, 4096)); err != nil {
							return
						}
						if _, err := strings.NewReader(answer).WriteTo(server); err != nil {
							return
						}
						server.Read(make([]byte, 1)) //nolint:errcheck // it waits until the client gives up
					}()
					return client, nil
				}
				start := time.Now()
				set, err := s.fetch(t.Context())
				if got := time.Since(start); err == nil || got != 5*time.Second {
					t.Errorf("got %v, %v after %v, want an error after 5s", set, err, got)
				}
			})
		})
	}
}

// TestProxy checks that the environment does not choose the way to the provider.
func TestProxy(t *testing.T) {
	t.Parallel()
	s, err := newSource("https://id.example.com/keys", "")
	if err != nil {
		t.Fatal(err)
	}
	if transport, ok := s.client.Transport.(*http.Transport); !ok || transport.Proxy != nil {
		t.Errorf("got %+v, want a transport without a proxy", s.client.Transport)
	}
}
