// Package idempotency stores the answers of mutations under the keys that clients send with them. A request that is sent
// again gets the stored answer, and is not executed again. The first statement of a mutation's transaction claims the
// key, and the last one stores the answer. So both are committed or neither. The package knows neither HTTP nor the
// GraphQL schema.
package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Bounds of a key and of the data of an answer.
const (
	MaxKeyCharacters = 255
	MaxDataBytes     = 1 << 20
)

// ErrReused is the error of a key that was used for another request before.
var ErrReused = errors.New("the idempotency key was used for another request before")

// ErrTooLarge is the error of data that exceeds MaxDataBytes. It comes before the commit, because every committed answer
// must be repeatable.
var ErrTooLarge = errors.New("the data is larger than what is kept for an idempotency key")

// A Request is the request of a client. Requests are equal if their fields are equal, however they were sent: with the
// text of the document or its hash, and with the variables in any order.
type Request struct {
	Caller    string // each caller has its own keys
	Authority string // names the permissions of the caller; it may differ between equal requests
	Admin     bool   // the caller may get the answers of every authority
	Document  string
	Operation string // the name of the operation; may be empty
	Variables map[string]any
}

// ErrAuthority is the error of a key whose answer was stored for other permissions of the caller.
var ErrAuthority = errors.New("the answer of the idempotency key was stored for other permissions")

// An Entry is the row of a key. It has hashes of caller and key, and of the request, because they may be confidential.
type Entry struct {
	id, request [sha256.Size]byte
	authority   string
	admin       bool
}

// NewEntry returns the entry of a request under a key. The error says that the variables are not JSON.
func NewEntry(key string, r Request) (*Entry, error) {
	variables, err := json.Marshal(r.Variables) // sorts the names
	if err != nil {
		return nil, fmt.Errorf("idempotency: the variables: %w", err)
	}
	return &Entry{
		authority: r.Authority, admin: r.Admin,
		id:      hash([]byte(r.Caller), []byte(key)),
		request: hash([]byte(r.Document), []byte(r.Operation), variables),
	}, nil
}

// hash returns the hash of several texts. It includes their lengths, so that different lists have different hashes.
func hash(texts ...[]byte) [sha256.Size]byte {
	var all []byte
	for _, text := range texts {
		all = append(binary.BigEndian.AppendUint64(all, uint64(len(text))), text...)
	}
	return sha256.Sum256(all)
}
