package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"testing"

	"roster/internal/auth/provider"
)

// FuzzParseKeys checks that only strong public keys are kept.
func FuzzParseKeys(f *testing.F) {
	for _, algorithm := range []string{"RS256", "ES256", "ES512", "EdDSA", "HS256"} {
		data, err := json.Marshal(map[string]any{"keys": []any{provider.NewKey(f, algorithm, "key 1").Public()}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""},null,1]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","key_ops":["verify"],"x5c":["AA"]}],"keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeys(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q: got %d keys, want an error", data, len(set.keys))
		}
		for i, k := range set.keys {
			switch public := k.material.(type) {
			case *rsa.PublicKey:
				if public.Size() < 256 {
					t.Errorf("%q: got a key of %d bytes, want 256 or more", data, public.Size())
				}
			case *ecdsa.PublicKey:
				if _, err := public.Bytes(); err != nil {
					t.Errorf("%q: got %v, want a point on the curve", data, err)
				}
			case ed25519.PublicKey:
				if len(public) != ed25519.PublicKeySize {
					t.Errorf("%q: got %d bytes, want %d", data, len(public), ed25519.PublicKeySize)
				}
			default:
				t.Errorf("%q: got a %T, want a public key", data, public)
			}
			if len(k.algorithms) == 0 || i > 0 && k.id != "" && set.keys[i-1].id == "" {
				t.Errorf("%q: got %+v, want keys with algorithms, those with an ID first", data, set.keys)
			}
		}
	})
}
