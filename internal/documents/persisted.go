package documents

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
)

// PersistedQuery is the extension of an automatic persisted query. It has the hash of a document, or the key of a
// trusted document: https://www.apollographql.com/docs/apollo-server/performance/apq.
const PersistedQuery = "persistedQuery"

// persisted returns the hash or the key in the extension PersistedQuery, or "" without the extension.
func persisted(extensions map[string]any) (string, *gqlerror.Error) {
	extension := extensions[PersistedQuery]
	if extension == nil {
		return "", nil
	}
	object, _ := extension.(map[string]any)
	id, _ := object["sha256Hash"].(string)
	if id == "" || object["version"] != json.Number("1") {
		return "", refuse(codes.BadRequest, "extensions.persistedQuery must have version 1 and a sha256Hash")
	}
	return id, nil
}

// withoutAlgorithm removes the name of the algorithm from the start of a key.
func withoutAlgorithm(id string) string {
	return strings.TrimPrefix(strings.TrimPrefix(id, "sha256:"), "sha1:")
}

type hash [sha256.Size]byte

func hashOf(text string) hash { return sha256.Sum256([]byte(text)) }

// parseHash reads a hash in hexadecimal digits. A wrong hash becomes the zero hash, which no document has.
func parseHash(id string) hash {
	var h hash
	id = withoutAlgorithm(id)
	if len(id) != hex.EncodedLen(len(h)) {
		return hash{}
	}
	if _, err := hex.Decode(h[:], []byte(id)); err != nil {
		return hash{}
	}
	return h
}
