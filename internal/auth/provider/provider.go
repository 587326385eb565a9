// Package provider is an identity provider for tests. It signs tokens and serves its keys over HTTP on a loopback
// address. It is independent of package auth and of its library, so that tests compare two implementations.
package provider

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Audience is the audience of the tokens.
const Audience = "roster"

// discoveryPath follows the issuer in the address of its configuration.
const discoveryPath = "/.well-known/openid-configuration"

// A Provider is an HTTP server with keys. Its methods may be called concurrently.
type Provider struct {
	// Issuer is the claim iss, and the address of discovery. Move changes it.
	Issuer string
	// KeysURL is the address of the key set.
	KeysURL string

	fetches, discoveries atomic.Int64

	mu        sync.Mutex
	signer    *Key
	people    []Person
	keys      []any
	behaviour http.HandlerFunc
}

// New starts a provider that publishes the keys; without keys, it makes one for ES256. It stops at the end of the test.
func New(tb testing.TB, keys ...*Key) *Provider {
	tb.Helper()
	if len(keys) == 0 {
		keys = []*Key{NewKey(tb, "ES256", "key 1")}
	}
	p := &Provider{}
	p.Publish(keys...)
	server := httptest.NewServer(p)
	tb.Cleanup(server.Close)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Issuer, p.KeysURL = server.URL, server.URL+"/keys"
	return p
}

// Move gives a provider that has just started another issuer: with a path after its address.
func (p *Provider) Move(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Issuer += path
}

// Publish replaces the published keys. The first one signs the next tokens.
func (p *Provider) Publish(keys ...*Key) {
	published := make([]any, len(keys))
	for i, key := range keys {
		published[i] = key.Public()
	}
	p.PublishMembers(published...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signer = keys[0]
}

// PublishMembers replaces the published keys by any values of JSON.
func (p *Provider) PublishMembers(keys ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// Become replaces the answers to all requests: see Die, Hang and Flood. nil is the usual behaviour.
func (p *Provider) Become(behaviour http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = behaviour
}

// Fetches returns the number of requests for the key set.
func (p *Provider) Fetches() int { return int(p.fetches.Load()) }

// Discoveries returns the number of requests for the configuration.
func (p *Provider) Discoveries() int { return int(p.discoveries.Load()) }

// Claims returns the claims of an access token that is valid for an hour.
func (p *Provider) Claims(subject string, roles ...string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": p.Issuer, "aud": Audience, "sub": subject, "roles": roles,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// Token returns a token with these claims.
func (p *Provider) Token(subject string, roles ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signer.Token(p.Claims(subject, roles...))
}

// ServeHTTP answers a request for the configuration or the key set.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var document any
	p.mu.Lock()
	behaviour := p.behaviour
	switch {
	case r.URL.Path == "/keys":
		p.fetches.Add(1)
		document = map[string]any{"keys": p.keys}
	case strings.HasSuffix(r.URL.Path, discoveryPath):
		p.discoveries.Add(1)
		issuer, err := url.Parse(p.Issuer)
		if err == nil && strings.TrimSuffix(issuer.Path, "/")+discoveryPath == r.URL.Path {
			document = map[string]any{"issuer": p.Issuer, "jwks_uri": p.KeysURL}
		}
	}
	p.mu.Unlock()
	switch {
	case behaviour != nil:
		behaviour(w, r)
	case strings.HasSuffix(r.URL.Path, grantPath):
		p.grant(w, r)
	case document == nil:
		http.NotFound(w, r)
	default:
		Say(document)(w, r)
	}
}

// Say returns a behaviour that answers with a document of JSON.
func Say(document any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(document); err != nil {
			panic(err)
		}
	}
}

// Die closes the connection without an answer.
func Die(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Hang answers nothing until the client gives up.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Flood answers with a key set that never ends.
func Flood(w http.ResponseWriter, _ *http.Request) {
	text := []byte(`{"keys":[` + strings.Repeat(" ", 1<<16))
	for {
		if _, err := w.Write(text); err != nil {
			return
		}
	}
}
