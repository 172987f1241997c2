package blobcache

import "github.com/opencontainers/go-digest"

// Filling tells whether d is on its way, and may be joined.
func (c *Cache) Filling(d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.fills {
		if key.digest == d {
			return true
		}
	}
	return false
}
