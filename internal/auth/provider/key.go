package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
)

// A Key signs tokens.
type Key struct {
	ID        string // empty: tokens and the published key have none
	Algorithm string // such as ES256
	// Private is an *rsa.PrivateKey, an *ecdsa.PrivateKey, an ed25519.PrivateKey, or the []byte of a secret.
	Private any
}

// NewKey makes a key for an algorithm.
func NewKey(tb testing.TB, algorithm, id string) *Key {
	tb.Helper()
	k := &Key{ID: id, Algorithm: algorithm}
	var err error
	switch algorithm {
	case "ES256":
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k.Private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		k.Private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	case "HS256":
		k.Private = []byte(rand.Text() + rand.Text())
	default:
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// Secret returns the bytes of a secret. It is nil for other keys.
func (k *Key) Secret() []byte {
	secret, _ := k.Private.([]byte)
	return secret
}

// Public returns the members of the published key (RFC 7517, 7518 and 8037).
func (k *Key) Public() map[string]any {
	jwk := map[string]any{"use": "sig", "alg": k.Algorithm}
	if k.ID != "" {
		jwk["kid"] = k.ID
	}
	switch key := k.Private.(type) {
	case *rsa.PrivateKey:
		jwk["kty"], jwk["n"] = "RSA", encode(key.N.Bytes())
		jwk["e"] = encode(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		size := len(point) / 2
		jwk["kty"], jwk["crv"] = "EC", key.Params().Name
		jwk["x"], jwk["y"] = encode(point[1:1+size]), encode(point[1+size:])
	case ed25519.PrivateKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(key[ed25519.SeedSize:])
	case []byte:
		jwk["kty"], jwk["k"] = "oct", encode(key)
	}
	return jwk
}

// Token returns a token with claims.
func (k *Key) Token(claims map[string]any) string {
	header := map[string]any{"alg": k.Algorithm, "typ": "at+jwt"}
	if k.ID != "" {
		header["kid"] = k.ID
	}
	return k.Sign(text(header), text(claims))
}

// Sign returns a token with any texts as its header and its payload. The signature is that of the key's algorithm.
func (k *Key) Sign(header, payload string) string {
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	return input + "." + encode(k.signature([]byte(input)))
}

func (k *Key) signature(input []byte) (signature []byte) {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[k.Algorithm[2:]]
	var digest []byte
	if hash != 0 {
		h := hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	var err error
	switch key := k.Private.(type) {
	case *rsa.PrivateKey:
		if k.Algorithm[:2] == "PS" {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			signature, err = rsa.SignPSS(rand.Reader, key, hash, digest, options)
		} else {
			signature, err = rsa.SignPKCS1v15(nil, key, hash, digest)
		}
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, key, digest)
		size := (key.Params().BitSize + 7) / 8
		signature, err = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), signErr
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, input)
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		signature = mac.Sum(nil)
	}
	if err != nil {
		panic(err)
	}
	return signature
}

func text(members map[string]any) string {
	data, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
