package auth

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // unlike encoding/json, it distinguishes case and refuses doubled members
)

const (
	// minRSABits is the least size of RSA keys (RFC 7518, section 3.3). The library refuses more than 4096 bits.
	minRSABits = 2048
	// maxTries is the number of keys to try for one token.
	maxTries = 8
)

// keySet has the keys that verify tokens. It is immutable.
type keySet struct {
	keys     []key             // those with an ID first
	document [sha256.Size]byte // hash of the document that has them
}

// token is a token whose signature is not verified.
type token struct {
	jws       *jose.JSONWebSignature
	algorithm jose.SignatureAlgorithm
	keyID     string // empty if the header has none
}

// key is a key that verifies signatures.
type key struct {
	id         string // empty if the key has none
	algorithms []jose.SignatureAlgorithm
	material   any
}

// secretKeys returns the keys of secrets.
func secretKeys(secrets [][]byte) *keySet {
	s := &keySet{}
	for _, secret := range secrets {
		s.keys = append(s.keys, key{algorithms: []jose.SignatureAlgorithm{jose.HS256}, material: secret})
	}
	return s
}

// parseKeys parses a JSON Web Key Set (RFC 7517). It leaves out the keys that cannot verify tokens.
func parseKeys(data []byte) (*keySet, error) {
	var document struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil || document.Keys == nil {
		return nil, errors.New("the answer is no key set")
	}
	s := &keySet{document: sha256.Sum256(data)}
	for _, text := range *document.Keys {
		if k, ok := parseKey(text); ok {
			s.keys = append(s.keys, k)
		}
	}
	slices.SortStableFunc(s.keys, func(a, b key) int { return cmp.Compare(b.id, a.id) })
	return s, nil
}

// parseKey parses a public key for signatures. Certificates are left out: Go refuses some of them, and a bad one would
// disable a good key.
func parseKey(text []byte) (key, bool) {
	var members map[string]*json.RawMessage // pointers: Marshal writes other raw messages in base64
	if json.Unmarshal(text, &members) != nil {
		return key{}, false
	}
	for _, name := range []string{"x5c", "x5u", "x5t", "x5t#S256"} {
		delete(members, name)
	}
	if list := members["key_ops"]; list != nil {
		var operations []string
		if json.Unmarshal(*list, &operations) != nil || !slices.Contains(operations, "verify") {
			return key{}, false
		}
	}
	bare, err := json.Marshal(members)
	if err != nil {
		return key{}, false
	}
	var k jose.JSONWebKey
	if k.UnmarshalJSON(bare) != nil || k.Use != "" && k.Use != "sig" {
		return key{}, false
	}
	algorithms := algorithmsOf(k.Key)
	if k.Algorithm != "" {
		algorithms = slices.DeleteFunc(algorithms, func(a jose.SignatureAlgorithm) bool { return string(a) != k.Algorithm })
	}
	return key{id: k.KeyID, algorithms: algorithms, material: k.Key}, len(algorithms) > 0
}

// algorithmsOf returns the algorithms of a public key. Private and symmetric keys have none: a provider that publishes
// one has leaked it.
func algorithmsOf(material any) []jose.SignatureAlgorithm {
	switch k := material.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
		}
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []jose.SignatureAlgorithm{jose.ES256}
		case 384:
			return []jose.SignatureAlgorithm{jose.ES384}
		case 521:
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// verify returns the payload of a token, or nil if no key verifies it. known says that newer keys would not help: a key
// verifies the token, or a key has its ID.
func (s *keySet) verify(t token) (payload []byte, known bool) {
	if s == nil {
		return nil, false
	}
	tries := 0
	for _, k := range s.keys {
		if t.keyID != "" && k.id == t.keyID {
			known = true
		} else if t.keyID != "" && k.id != "" {
			continue
		}
		if tries == maxTries || !slices.Contains(k.algorithms, t.algorithm) {
			continue
		}
		tries++
		if payload, err := t.jws.Verify(k.material); err == nil {
			return payload, true
		}
	}
	return nil, known
}
