package documents

import (
	"container/list"
	"sync"
)

// A cache keeps the documents that were used last, as many as its bytes hold.
type cache struct {
	budget int64

	mu     sync.Mutex
	used   int64
	order  *list.List // of *kept; the one used last is the first
	texts  map[string]*list.Element
	hashes map[hash]*list.Element
}

type kept struct {
	*Document
	hash hash
}

func newCache(budget int64) *cache {
	return &cache{budget: budget, order: list.New(), texts: map[string]*list.Element{}, hashes: map[hash]*list.Element{}}
}

func (c *cache) byText(text string) *Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use(c.texts[text])
}

func (c *cache) byHash(id string) *Document {
	h := parseHash(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use(c.hashes[h])
}

func (c *cache) use(e *list.Element) *Document {
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept).Document //nolint:errcheck,forcetypeassert // nothing else is in the list
}

// add keeps a document, unless it would take the place of most others.
func (c *cache) add(d *Document) {
	if d.size > c.budget/4 {
		return
	}
	k := &kept{Document: d, hash: hashOf(d.Text)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.texts[d.Text] != nil { // another request was faster
		return
	}
	e := c.order.PushFront(k)
	c.texts[d.Text], c.hashes[k.hash] = e, e
	for c.used += d.size; c.used > c.budget; {
		last := c.order.Back()
		k := c.order.Remove(last).(*kept) //nolint:errcheck,forcetypeassert // nothing else is in the list
		delete(c.texts, k.Text)
		delete(c.hashes, k.hash)
		c.used -= k.size
	}
}
