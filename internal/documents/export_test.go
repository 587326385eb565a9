package documents

import "github.com/vektah/gqlparser/v2/validator/rules"

// Cached returns the bytes of the documents in the cache, as the library counts them, and their number.
func (l *Library) Cached() (bytes int64, n int) { return l.cache.used, l.cache.documents.Len() }

// Size is what a document counts in the cache, without the room for what is kept with it.
func (d *Document) Size() int64 { return d.size - d.room }

// Room is what a document counts for what is kept with it and is not there yet.
func (d *Document) Room() int64 { return d.room }

// AllRules returns the names of all rules of the validator.
func AllRules() map[string]bool {
	names := map[string]bool{}
	for name := range rules.NewDefaultRules().GetInner() {
		names[name] = true
	}
	return names
}
