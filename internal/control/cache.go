package control

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
)

// Cache is what an operator may ask of a cache, running or stopped. A func
// yield may take as long as its reader likes, so it is called without a lock; its
// error ends the walk and is returned.
type Cache interface {
	// List yields what is held, of one repository (as upstream calls it, at every
	// origin) or, for "", of all.
	List(ctx context.Context, repository string, yield func(Entry) error) error
	// Stat returns what is there in numbers.
	Stat() (Stat, error)
	// Verify reads every blob once and yields whether it is what its digest says,
	// at rate bytes a second (0: as fast as the disk gives). What is not is removed.
	Verify(ctx context.Context, rate int64, yield func(Result) error) error
	// PurgeRepository forgets the tags and links of a repository at every origin,
	// and removes the content that no other repository has a link to.
	PurgeRepository(name string) (Purged, error)
	// PurgeDigest removes one blob or manifest, and all tags and links to it.
	PurgeDigest(d digest.Digest) (Purged, error)
	// PurgeAll removes all content and forgets all tags and links. Blocks stay.
	PurgeAll() (Purged, error)
	// Block has a digest refused to everybody, at once and until Unblock, whether
	// it is held or not. Unblock of one that is not blocked changes nothing.
	Block(d digest.Digest) error
	Unblock(d digest.Digest) error
}

// Entry is one blob or manifest that is held.
type Entry struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // bytes
	Used   time.Time     `json:"used"` // last, to within some minutes
	Links  []Link        `json:"links,omitempty"`
	Tags   []string      `json:"tags,omitempty"` // origin/repository:tag
}

// Link says that upstream gave a repository's content out to Breakwater's
// account, so that it may be served under that repository's name.
type Link struct {
	Origin     string `json:"origin"` // https://harbor.example.com:443
	Repository string `json:"repository"`
	Kind       string `json:"kind"` // manifest or blob
	MediaType  string `json:"media_type,omitempty"`
	Suspended  bool   `json:"suspended,omitempty"` // upstream has taken that back
}

// Stat is a cache in numbers.
type Stat struct {
	Bytes    int64 `json:"bytes"` // held on disk, in whole blocks
	Objects  int   `json:"objects"`
	Budget   int64 `json:"budget,omitempty"` // bytes that may be held now: max_size, or less where min_free asks for it; 0 of a stopped cache, which has no limit
	Free     int64 `json:"free"`             // bytes that the file system has left
	Promised int64 `json:"promised"`         // bytes of transfers under way
	Pinned   int   `json:"pinned"`           // objects that are being read

	Oldest time.Time `json:"oldest,omitzero"` // last use of what goes next; zero when nothing is held

	Links        int             `json:"links"`
	Tags         int             `json:"tags"`
	Repositories int             `json:"repositories"`
	Blocked      []digest.Digest `json:"blocked,omitempty"`
}

// Result is what was found of one blob. Err is "" if it is right.
type Result struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // bytes
	Err    string        `json:"error,omitempty"`
}

// Purged is what a purge took away.
type Purged struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
	Links   int   `json:"links"`
}
