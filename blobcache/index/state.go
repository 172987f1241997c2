package index

import (
	"time"
	"unique"
)

// state is the unlocked core: all that is known, and what of it the file does not
// have yet. Index locks it.
type state struct {
	repositories map[Repository]*repository
	blocks       map[key]struct{}
	blobs        []blob // as the file remembered them, until Blobs has read them

	// floor is the epoch of a repository of which nothing is kept. It is at least
	// that of every repository that was dropped, so that what was begun under an
	// epoch that was revoked since cannot be taken for current.
	floor  Epoch
	nextID uint32
	seq    uint64 // of the newest denial

	links, tags int
	limits      limits
	discarded   uint64 // puts beyond the limits

	batch batch
}

// limits bound the memory. Each is a number of entries.
type limits struct{ links, tags, repositories, pending int }

func newState(l limits) *state {
	return &state{
		repositories: make(map[Repository]*repository),
		blocks:       make(map[key]struct{}),
		nextID:       1,
		limits:       l,
	}
}

// A repository holds what is known of one repository in its current epoch.
type repository struct {
	name  Repository
	epoch Epoch
	id    uint32 // of this repository in this epoch, never given again
	links map[linkKey]link
	tags  map[string]tag
}

type link struct {
	size      int64
	reported  int64 // Unix nanoseconds, 0: never
	mediaType unique.Handle[string]
	proven    uint32 // Unix seconds
	suspended bool
}

type tag struct {
	digest, next key
	mediaType    unique.Handle[string]
	size         int64
	checked      int64 // Unix nanoseconds
	nextSince    int64 // Unix nanoseconds
	suspended    bool
}

type blob struct {
	key                  key
	size, modified, used int64 // bytes, Unix nanoseconds twice
}

// epoch returns that of a repository, known or not.
func (s *state) epoch(name Repository) Epoch {
	if r := s.repositories[name]; r != nil {
		return r.epoch
	}
	return s.floor
}

// repository returns the named one, a new one where nothing is known of it; nil
// where there are too many.
func (s *state) repository(name Repository) *repository {
	if r := s.repositories[name]; r != nil {
		return r
	}
	if len(s.repositories) >= s.limits.repositories {
		s.discarded++
		return nil
	}
	r := &repository{name: name, epoch: s.floor}
	s.repositories[name] = r
	s.renumber(r)
	return r
}

// renumber forgets all links and tags of a repository: what the file has under
// the old id is void, and is removed with the next batch.
func (s *state) renumber(r *repository) {
	if r.id != 0 {
		s.batch.void(r.id)
	}
	s.links -= len(r.links)
	s.tags -= len(r.tags)
	r.links, r.tags = nil, nil
	r.id = s.nextID
	s.nextID++
	s.batch.put(repositoryRecord(r))
}

// drop forgets a repository of which nothing is kept.
func (s *state) drop(r *repository) {
	if s.repositories[r.name] != r {
		return
	}
	s.floor = max(s.floor, r.epoch)
	delete(s.repositories, r.name)
	s.batch.void(r.id)
}

// putLink keeps a link, unless there are too many.
func (s *state) putLink(r *repository, lk linkKey, l link) bool {
	if _, known := r.links[lk]; !known {
		if s.links >= s.limits.links {
			s.discarded++
			return false
		}
		s.links++
	}
	if r.links == nil {
		r.links = make(map[linkKey]link)
	}
	r.links[lk] = l
	s.batch.put(linkRecord(r.id, lk, l))
	return true
}

func (s *state) deleteLink(r *repository, lk linkKey) {
	if _, known := r.links[lk]; known {
		delete(r.links, lk)
		s.links--
		s.batch.delete(linksBucket, numbered(r.id, string(lk)))
	}
}

// putTag keeps a tag, unless there are too many.
func (s *state) putTag(r *repository, name string, t tag) bool {
	if _, known := r.tags[name]; !known {
		if s.tags >= s.limits.tags {
			s.discarded++
			return false
		}
		s.tags++
	}
	if r.tags == nil {
		r.tags = make(map[string]tag)
	}
	r.tags[name] = t
	s.batch.put(tagRecord(r.id, name, t))
	return true
}

func (s *state) deleteTag(r *repository, name string) {
	if _, known := r.tags[name]; known {
		delete(r.tags, name)
		s.tags--
		s.batch.delete(tagsBucket, numbered(r.id, name))
	}
}

// dropGrants forgets all links and tags, for want of knowing what was denied.
func (s *state) dropGrants() {
	for _, r := range s.repositories {
		s.renumber(r)
	}
}

// nanoseconds is a time as it is kept; the zero time is 0.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanoseconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
