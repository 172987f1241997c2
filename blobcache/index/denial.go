package index

// A denial is what must not be lost: it takes something away. The same value is
// applied to memory, written to the journal, and applied again by the next start.
type denial struct {
	seq        uint64 // counts denials, without gaps
	operation  operation
	repository Repository
	epoch      Epoch // that begins
	kind       Kind
	key        key
	tag        string
}

// An operation is one byte in the journal: never renumbered.
type operation byte

const (
	revoke operation = 1 + iota
	forget
	suspendLink
	suspendTag
	block
	unblock // no denial, but it must follow its block
	forgetDigest
)

// apply does what a denial says. To apply one twice is to apply it once.
func (s *state) apply(d denial) {
	switch r := s.repositories[d.repository]; d.operation {
	case revoke:
		s.revoke(d.repository, d.epoch)
	case forget:
		if r != nil {
			s.renumber(r)
		}
	case suspendLink:
		if r != nil {
			s.suspendLink(r, d.kind.of(d.key))
		}
	case suspendTag:
		if r != nil {
			s.suspendTag(r, d.tag)
		}
	case block:
		s.blocks[d.key] = struct{}{}
		s.batch.put(blockRecord(d.key))
	case unblock:
		delete(s.blocks, d.key)
		s.batch.delete(blocksBucket, string(d.key))
	case forgetDigest:
		s.forgetDigest(d.key)
	}
}

// revoke begins an epoch. Where there are too many repositories to remember one
// more, every repository of which nothing is kept begins it.
func (s *state) revoke(name Repository, epoch Epoch) {
	r := s.repository(name)
	if r == nil {
		s.floor = max(s.floor, epoch)
		return
	}
	if epoch > r.epoch {
		r.epoch = epoch
		s.renumber(r)
	}
}

func (s *state) suspendLink(r *repository, lk linkKey) {
	if l, known := r.links[lk]; known {
		l.suspended = true
		r.links[lk] = l
		s.batch.put(linkRecord(r.id, lk, l))
	}
}

func (s *state) suspendTag(r *repository, name string) {
	if t, known := r.tags[name]; known {
		t.suspended = true
		r.tags[name] = t
		s.batch.put(tagRecord(r.id, name, t))
	}
}

func (s *state) forgetDigest(k key) {
	for _, r := range s.repositories {
		s.deleteLink(r, Manifest.of(k))
		s.deleteLink(r, Blob.of(k))
		for name, t := range r.tags {
			if t.digest == k || t.next == k {
				s.deleteTag(r, name)
			}
		}
	}
}
