package auth_test

import (
	"context"
	"testing"
	"time"

	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// BenchmarkVerifyCached verifies the same token again.
func BenchmarkVerifyCached(b *testing.B) {
	p := provider.New(b)
	v := follow(b, p)
	token := p.Token("alice", "ADMIN")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyHMAC(b *testing.B) {
	key := provider.NewKey(b, "HS256", "")
	benchmarkVerify(b, key, start(b, auth.Options{Secrets: [][]byte{key.Secret()}}), issuer)
}

func BenchmarkVerifyECDSA(b *testing.B) { benchmarkProvider(b, "ES256") }

func BenchmarkVerifyRSA(b *testing.B) { benchmarkProvider(b, "RS256") }

func BenchmarkVerifyEdDSA(b *testing.B) { benchmarkProvider(b, "EdDSA") }

func benchmarkProvider(b *testing.B, algorithm string) {
	key := provider.NewKey(b, algorithm, "key 1")
	p := provider.New(b, key)
	benchmarkVerify(b, key, follow(b, p), p.Issuer)
}

// benchmarkVerify verifies many tokens, each once.
func benchmarkVerify(b *testing.B, key *provider.Key, v *auth.Verifier, issuer string) {
	b.Helper()
	claims := map[string]any{
		"iss": issuer, "aud": provider.Audience, "sub": "alice", "roles": []string{"ADMIN"},
		"exp": time.Now().Add(time.Hour).Unix(),
	}
	var tokens []string
	for i := 0; b.Loop(); i++ {
		if i == len(tokens) {
			b.StopTimer()
			for len(tokens) < 2*(i+50) {
				claims["jti"] = len(tokens)
				tokens = append(tokens, key.Token(claims))
			}
			b.StartTimer()
		}
		if _, err := v.Verify(context.Background(), tokens[i]); err != nil {
			b.Fatal(err)
		}
	}
}
