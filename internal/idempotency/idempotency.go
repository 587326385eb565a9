// Package idempotency keeps the answers of mutations under the keys that clients gave them, so that a request which is
// sent again is answered and not done again. A key is claimed by the first statement of the mutation's transaction and
// its answer stored by the last one: both are there after the commit, and neither is after a rollback. It knows neither
// HTTP nor the schema that the mutations are of.
package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// The most that a key and the data of its answer may have.
const (
	MaxKeyCharacters = 255
	MaxDataBytes     = 1 << 20
)

// ErrReused says that a key was used for another request before.
var ErrReused = errors.New("the idempotency key was used for another request before")

// ErrTooLarge says that the data is more than is kept for a key. It comes before the commit: an answer that cannot be
// repeated must not become true.
var ErrTooLarge = errors.New("the data is larger than what is kept for an idempotency key")

// A Request is what a client asks for, whatever way it was sent: by the text of the document or by its hash, with its
// variables in any order.
type Request struct {
	Caller    string // whose key it is; another caller's same key is another one
	Document  string
	Operation string // its name in the document; empty where it has none
	Variables map[string]any
}

// An Entry is the row of a key: the hash of caller and key, and the hash of the request. Keys may tell things about
// those who chose them, and requests do, so neither is kept itself.
type Entry struct{ id, request [sha256.Size]byte }

// NewEntry returns the entry of a request under a key. The error says that the variables are no JSON.
func NewEntry(key string, r Request) (*Entry, error) {
	variables, err := json.Marshal(r.Variables) // with sorted keys
	if err != nil {
		return nil, fmt.Errorf("idempotency: the variables: %w", err)
	}
	return &Entry{
		id:      hash([]byte(r.Caller), []byte(key)),
		request: hash([]byte(r.Document), []byte(r.Operation), variables),
	}, nil
}

// hash is the hash of several texts, each with its length, so that no two lists of texts are taken for one.
func hash(texts ...[]byte) [sha256.Size]byte {
	var all []byte
	for _, text := range texts {
		all = append(binary.BigEndian.AppendUint64(all, uint64(len(text))), text...)
	}
	return sha256.Sum256(all)
}
