package auth

import (
	"net/http"
)

// SetTransport replaces the transport to the provider, before Run.
func (v *Verifier) SetTransport(transport http.RoundTripper) {
	v.keys.source.client.Transport = transport
}
