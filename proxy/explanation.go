package proxy

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Explanation is how one pull would go, as of a moment: what is known of it, and what
// follows. Its words are closed sets: the constants of this file.
type Explanation struct {
	At    time.Time `json:"at"`
	Route Routed    `json:"route"`
	// What follows is empty where no route leads anywhere.
	Right    Right     `json:"right,omitzero"`
	Tag      *Tagged   `json:"tag,omitempty"`      // nil where the pull is by digest
	Manifest *Object   `json:"manifest,omitempty"` // nil where it is not known which
	Outlooks []Outlook `json:"outlooks,omitempty"` // of each platform, or of the one image
}

// Why a route was taken.
const (
	ByName    = "name"    // the registry that the client names
	ByPath    = "path"    // the first component of the repository's name
	ByDefault = "default" // of the listener
)

// Routed is where a name leads.
type Routed struct {
	Refused string   `json:"refused,omitempty"` // why it leads nowhere; then Open alone is set
	Open    []string `json:"open,omitempty"`    // the routes that there are

	Name       string   `json:"name,omitempty"`
	By         string   `json:"by,omitempty"`
	Upstream   string   `json:"upstream,omitempty"`   // its name in the configuration
	Origin     string   `json:"origin,omitempty"`     // https://harbor.example.com:443
	Repository string   `json:"repository,omitempty"` // as upstream calls it
	Names      []string `json:"names,omitempty"`      // all that clients have for it, route first
	ProxyCache bool     `json:"proxy_cache,omitempty"`
	Complete   bool     `json:"complete,omitempty"`
}

// What the token that is held grants.
const (
	GrantUnasked = "unasked" // no token is held: nothing is known
	GrantOpen    = "open"    // upstream asks for none
	GrantPull    = "pull"    // the pull
	GrantNothing = "nothing" // no pull
	GrantUnknown = "unknown" // it does not say
)

// Why upstream would refuse what it is asked for, unless our right there changes.
const (
	DeniedNothing    = "nothing"    // the token that is held grants no pull
	DeniedCredential = "credential" // the account's own credential is refused
	DeniedRevoked    = "revoked"    // upstream took back what it gave
)

// Right is what our account may do with the repository, as far as is known without
// asking.
type Right struct {
	Scope   string    `json:"scope"`
	Grant   string    `json:"grant"`
	Account string    `json:"account,omitempty"` // ours; "" is nobody's
	Since   time.Time `json:"since,omitzero"`    // as of when it is proven
	Until   time.Time `json:"until,omitzero"`    // the token's own end; zero: none
	Due     bool      `json:"due,omitempty"`     // older than access_ttl: a hit has it proven anew
	// Credential is the state of the account's own credential: a word of package
	// tokencache. Fault is why no token can be had, as long as nobody is asked again.
	Credential string `json:"credential"`
	Fault      string `json:"fault,omitempty"`
	Suspected  bool   `json:"suspected,omitempty"` // access was refused once, and is asked for again soon
	Revoked    bool   `json:"revoked,omitempty"`   // upstream took it back, and gave nothing since
	// Denied is why upstream would refuse whatever it is asked for now. Empty is no
	// promise. It says nothing of what is served from here.
	Denied string `json:"denied,omitempty"`
}

// What a tag's record is worth.
const (
	RecordUnknown   = "unknown"   // there is none: upstream is asked
	RecordFresh     = "fresh"     // it is served from, and nobody asked
	RecordStale     = "stale"     // upstream is asked; where it cannot be, it is served from
	RecordExpired   = "expired"   // upstream is asked; where it cannot be, there is no answer
	RecordSuspended = "suspended" // as expired: upstream refused it, and again when it was asked anew
)

// Tagged is the record of a tag.
type Tagged struct {
	Name      string        `json:"name"`
	State     string        `json:"state"`
	Digest    digest.Digest `json:"digest,omitempty"`
	MediaType string        `json:"media_type,omitempty"`
	Checked   time.Time     `json:"checked,omitzero"`     // upstream confirmed it
	Fresh     time.Time     `json:"fresh_until,omitzero"` // or was
	Stale     time.Time     `json:"stale_until,omitzero"` // the end of stale_if_error; zero: never, or it has none
	Suspected bool          `json:"suspected,omitempty"`  // refused once, and asked again soon
	Refused   string        `json:"refused,omitempty"`    // upstream's last answer, where that is remembered

	// Next is what upstream names now, and NextAt when that is taken over unless
	// upstream thinks better of it.
	Next      digest.Digest `json:"next,omitempty"`
	NextSince time.Time     `json:"next_since,omitzero"`
	NextAt    time.Time     `json:"next_at,omitzero"`
}

// Where an object is.
const (
	ObjectHit       = "hit"       // held, and linked to the repository: served from here
	ObjectUnlinked  = "unlinked"  // held, but upstream is asked for this very pair first
	ObjectSuspended = "suspended" // as unlinked: upstream took back what it gave
	ObjectFilling   = "filling"   // on its way for somebody
	ObjectMiss      = "miss"      // not here
	ObjectBlocked   = "blocked"   // refused to everybody by the operator
)

// What an object is.
const (
	KindOfManifest = "manifest"
	KindOfBlob     = "blob"
)

// Object is a manifest or a blob that the pull takes.
type Object struct {
	Kind      string        `json:"kind"`
	Digest    digest.Digest `json:"digest"`
	Platform  string        `json:"platform,omitempty"` // linux/arm64/v8
	MediaType string        `json:"media_type,omitempty"`
	Size      int64         `json:"size"` // bytes; -1: not known
	State     string        `json:"state"`
	Held      bool          `json:"held"`
	Linked    bool          `json:"linked"`
	Arrived   int64         `json:"arrived,omitempty"` // bytes, of one on its way
	Suspected bool          `json:"suspected,omitempty"`
	Refused   string        `json:"refused,omitempty"` // upstream's last answer, where that is remembered

	// Children are what a held manifest lists, up to a bound; of an index's manifests
	// theirs, too.
	Children []Object `json:"children,omitempty"`
	More     int      `json:"more_children,omitempty"` // beyond the bound
}

// Outlook is what the next pull comes to.
type Outlook struct {
	Platform string `json:"platform,omitempty"`
	Blocked  bool   `json:"blocked,omitempty"` // it fails: the operator wants it so
	Here     bool   `json:"here"`              // upstream is not needed
	Down     bool   `json:"down"`              // it works while upstream cannot be asked
	Denied   bool   `json:"denied,omitempty"`  // it fails unless our right changes: see [Right]
	Needs    []Need `json:"needs,omitempty"`   // what upstream is asked for
}

// NeedTag stands for the question what a tag is now; other needs are kinds of objects.
const NeedTag = "tag"

// Need is what upstream is asked for.
type Need struct {
	What  string `json:"what"`  // NeedTag, or a kind of object
	State string `json:"state"` // why: that of the tag, or of the objects
	Count int    `json:"count"`
	Size  int64  `json:"size,omitempty"` // bytes that have to come; what is not known is left out
	Must  bool   `json:"must"`           // without an answer the pull fails
}
