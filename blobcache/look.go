package blobcache

import "github.com/opencontainers/go-digest"

// Peek returns a manifest or small blob that is held, whole and verified, as
// [Cache.Document] does, and changes nothing: it counts as no use, and what is damaged
// is left for whoever is served. The caller must not change it.
func (c *Cache) Peek(d digest.Digest) ([]byte, bool) {
	if body, ok := c.memory.peek(d); ok {
		return body, true
	}
	if c.store == nil {
		return nil, false
	}
	body, err := c.store.Peek(d, MaxDocument)
	return body, err == nil && d.Algorithm().FromBytes(body) == d
}

// Underway tells how many bytes are here of a blob that is on its way, and how many
// there will be, -1 where that is not known: of the transfer that a source would join
// whose [Apart] says apart.
func (c *Cache) Underway(d digest.Digest, apart string) (arrived, size int64, ok bool) {
	c.mu.Lock()
	t, ok := c.fills[fillKey{digest: d, realm: apart}]
	c.mu.Unlock()
	if !ok {
		return 0, 0, false
	}
	arrived, size = t.Arrived()
	return arrived, size, true
}
