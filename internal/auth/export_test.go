package auth

import "net/http"

// SetTransport replaces the transport to the provider, before Run.
func (v *Verifier) SetTransport(transport http.RoundTripper) {
	v.keys.source.client.Transport = transport
}

// Cached returns the number of tokens in the cache.
func (v *Verifier) Cached() int { return v.verified.Len() }
