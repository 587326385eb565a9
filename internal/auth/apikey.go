package auth

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/big"
	"strings"
)

// The form of API keys: a prefix, 160 random bits and their checksum, both in base 62. Scanners of source code find
// secrets of this form, and tell them from other texts by the checksum.
const (
	// APIKeyPrefix is the start of every API key, and of no token.
	APIKeyPrefix = "rost_"

	apiKeyBits     = 160
	apiKeyDigits   = 27 // of the random bits
	checksumDigits = 6
	shownDigits    = 6
)

// An APIKey is the secret of an API key. fmt and slog print only its first characters.
type APIKey struct {
	// A pointer, because fmt prints the fields of structs that contain an APIKey without its methods.
	secret *string
}

// NewAPIKey returns a new key with bits from random, which must be a cryptographic source. The error is that of random.
func NewAPIKey(random io.Reader) (APIKey, error) {
	bits := make([]byte, apiKeyBits/8)
	if _, err := io.ReadFull(random, bits); err != nil {
		return APIKey{}, fmt.Errorf("make an API key: %w", err)
	}
	digits := base62(new(big.Int).SetBytes(bits), apiKeyDigits)
	secret := APIKeyPrefix + digits + checksum(digits)
	return APIKey{&secret}, nil
}

// ParseAPIKey parses a key. The error is an *InvalidError.
func ParseAPIKey(text string) (APIKey, error) {
	digits, ok := strings.CutPrefix(text, APIKeyPrefix)
	if !ok || len(digits) != apiKeyDigits+checksumDigits || digits[apiKeyDigits:] != checksum(digits[:apiKeyDigits]) {
		return APIKey{}, refuse("the API key is malformed", len(text))
	}
	return APIKey{&text}, nil
}

// Secret returns the key itself.
func (k APIKey) Secret() string { return *k.secret }

// Hash returns the SHA-256 hash of the key, which is what the database stores. The key has so many random bits that a
// slow hash would not protect it better.
func (k APIKey) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(*k.secret)) }

// Prefix returns the first characters of the key, to tell keys apart.
func (k APIKey) Prefix() string { return (*k.secret)[:len(APIKeyPrefix)+shownDigits] }

// Format prints the prefix for every verb.
func (k APIKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.Prefix()+"…") }

// LogValue returns the prefix.
func (k APIKey) LogValue() slog.Value { return slog.StringValue(k.Prefix() + "…") }

func checksum(digits string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(digits)))), checksumDigits)
}

// base62 returns a number in base 62, with leading zeros.
func base62(n *big.Int, digits int) string {
	text := n.Text(62)
	return strings.Repeat("0", digits-len(text)) + text
}
