package documents

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A cache keeps the documents that were used last. Its size in bytes is bounded.
type cache struct {
	budget int64

	mu        sync.Mutex
	used      int64                             // bytes
	documents *simplelru.LRU[string, *Document] // by their texts
	texts     map[hash]string
}

func newCache(budget int64) *cache {
	c := &cache{budget: budget, texts: map[hash]string{}}
	c.documents, _ = simplelru.NewLRU(math.MaxInt, func(text string, d *Document) { // its bytes bound it, not a number
		delete(c.texts, hashOf(text))
		c.used -= d.size
	})
	return c
}

func (c *cache) byText(text string) *Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, _ := c.documents.Get(text)
	return d
}

func (c *cache) byHash(id string) *Document {
	h := parseHash(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	d, _ := c.documents.Get(c.texts[h]) // no document has an empty text
	return d
}

// add adds a document, unless the document is larger than a quarter of the cache.
func (c *cache) add(d *Document) {
	if d.size > c.budget/4 {
		return
	}
	h := hashOf(d.Text)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.documents.Contains(d.Text) { // another request was faster
		return
	}
	c.documents.Add(d.Text, d)
	c.texts[h] = d.Text
	for c.used += d.size; c.used > c.budget; {
		c.documents.RemoveOldest()
	}
}
