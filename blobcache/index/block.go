package index

import "github.com/opencontainers/go-digest"

// Block refuses a digest to everybody. It returns when that is durable.
func (x *Index) Block(d digest.Digest) error { return x.denyDigest(denial{operation: block}, d) }

// Unblock ends a block. It returns when that is durable.
func (x *Index) Unblock(d digest.Digest) error { return x.denyDigest(denial{operation: unblock}, d) }

// Blocked tells whether a digest is refused to everybody.
func (x *Index) Blocked(d digest.Digest) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.state.blocks) == 0 {
		return false
	}
	k, _ := keyOf(d)
	_, blocked := x.state.blocks[k]
	return blocked
}

// Blocks returns all blocked digests, in no order.
func (x *Index) Blocks() []digest.Digest {
	x.mu.RLock()
	defer x.mu.RUnlock()
	blocks := make([]digest.Digest, 0, len(x.state.blocks))
	for k := range x.state.blocks {
		blocks = append(blocks, k.digest())
	}
	return blocks
}

// blockKeys are those of Blocks.
func (x *Index) blockKeys() (keys []key) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for k := range x.state.blocks {
		keys = append(keys, k)
	}
	return keys
}
