package auth_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// FuzzVerify signs any header and payload, and also takes the text as a token. A token that is accepted must be signed,
// and must say the same to encoding/json.
func FuzzVerify(f *testing.F) {
	secret := provider.NewKey(f, "HS256", "")
	v := start(f, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	const header = `{"alg":"HS256"}`
	claims := text(f, valid())
	f.Add(header, claims, "")
	f.Add(`{"alg":"HS256","typ":"at+jwt","kid":"a"}`, claims, secret.Token(valid()))
	f.Add(`{"alg":"none"}`, `{"sub":"a","sub":"b"}`, "..")
	f.Add(`{"alg":"HS256","crit":["x"]}`, strings.Replace(claims, "alice", "\u2028", 1), "a.b.c")
	f.Add(header, strings.Replace(claims, `"exp":`, `"exp":1e`, 1), "e30.e30.")
	f.Fuzz(func(t *testing.T, header, payload, token string) {
		for _, token := range []string{secret.Sign(header, payload), token} {
			got, err := v.Verify(t.Context(), token)
			if err != nil {
				var invalid *auth.InvalidError
				if !errors.As(err, &invalid) || invalid.Description == "" || strings.ContainsAny(err.Error(), "\r\n\x00") {
					t.Fatalf("got %v, want an InvalidError of one line", err)
				}
				continue
			}
			parts := strings.Split(token, ".")
			mac := hmac.New(sha256.New, secret.Secret())
			mac.Write([]byte(parts[0] + "." + parts[1]))
			if signature := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); parts[2] != signature {
				t.Fatalf("%s: got a valid token, want the signature %s", token, signature)
			}
			data, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(data, &want); err != nil || want["sub"] != got.Subject || want["iss"] != issuer {
				t.Fatalf("%s: got %+v, %v, want %v", token, got, err, want)
			}
			if again, err := v.Verify(t.Context(), token); err != nil || again.Subject != got.Subject {
				t.Fatalf("%s: got %+v, %v the second time, want %+v", token, again, err, got)
			}
		}
	})
}

func FuzzParseAPIKey(f *testing.F) {
	secret := newAPIKey(f, bytes.NewReader(make([]byte, 20))).Secret()
	f.Add(secret)
	f.Add(secret[:20])
	f.Add(strings.ToUpper(secret))
	f.Fuzz(func(t *testing.T, text string) {
		key, err := auth.ParseAPIKey(text)
		if err != nil {
			return
		}
		if key.Secret() != text || key.Hash() != sha256.Sum256([]byte(text)) || !strings.HasPrefix(text, key.Prefix()) {
			t.Fatalf("%q: got %s, want the same key", text, key.Secret())
		}
	})
}
