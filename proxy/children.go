package proxy

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"breakwater/blobcache/index"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// mostChildren bounds what one manifest, which anybody who may push wrote, makes us
// do.
const mostChildren = 1024

// touchEvery is how often the blobs of a manifest that is hit count as used.
const touchEvery = 5 * time.Minute

// child is what a manifest lists. It is a hint and opens nothing.
type child struct {
	kind     index.Kind
	digest   digest.Digest
	size     int64        // bytes, as it is listed
	platform *v1.Platform // of an index's manifest
}

// children reads config, layers and manifests of an image or index, OCI or Docker.
func children(body []byte) []child {
	var document struct {
		Config    *v1.Descriptor  `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if json.Unmarshal(body, &document) != nil {
		return nil // it was verified to be JSON; its shape is not ours to judge
	}
	var found []child
	seen := make(map[digest.Digest]struct{})
	add := func(kind index.Kind, d v1.Descriptor) {
		parsed, ok := registry.ParseDigest(d.Digest.String())
		if _, again := seen[parsed]; !ok || again || len(found) == mostChildren {
			return
		}
		seen[parsed] = struct{}{}
		found = append(found, child{kind, parsed, d.Size, d.Platform})
	}
	if document.Config != nil {
		add(index.Blob, *document.Config)
	}
	for _, layer := range document.Layers {
		add(index.Blob, layer)
	}
	for _, manifest := range document.Manifests {
		add(index.Manifest, manifest)
	}
	return found
}

// became is called when a manifest is newly held. The held content that it lists is
// proven for its repository in the background, so that an outage finds it linked; of
// a project that is to be complete, what is missing is fetched.
func (o *origin) became(repo index.Repository, body []byte) {
	complete := o.settings(repo).Complete
	for _, c := range children(body) {
		o.remember(c)
		named := pair{repo, c.kind, c.digest}
		switch _, ok := o.linked(named); {
		case o.cache.Held(c.digest):
			if !ok {
				o.background.later(func(ctx context.Context) { o.proveChild(ctx, named) })
			}
		case complete && o.wanted(c):
			o.completing.later(func(ctx context.Context) { o.complete(ctx, named) })
		}
	}
}

// proveChild asks for a pair that nobody waits for. Its outcome is counted; whoever
// needs it asks again.
func (o *origin) proveChild(ctx context.Context, named pair) {
	if _, ok := o.linked(named); !ok {
		_, _ = o.prove(ctx, named)
	}
}

// remember keeps which platform a manifest is for.
func (o *origin) remember(c child) {
	if c.platform != nil {
		o.listed.put(c.digest.String(), platformName(c.platform), platformLife)
	}
}

// wanted tells whether clients run the platform of an index's manifest: one of them
// asked for such a manifest before.
func (o *origin) wanted(c child) bool {
	if c.platform == nil {
		return true
	}
	_, asked := o.platforms.get(platformName(c.platform))
	return asked
}

// platformName is "linux/arm64/v8".
func platformName(platform *v1.Platform) string {
	return platform.OS + "/" + platform.Architecture + "/" + platform.Variant
}

// poorer tells whether an index lost platforms.
func poorer(before, after []byte) bool {
	had, has := platforms(before), platforms(after)
	return slices.ContainsFunc(had, func(platform string) bool { return !slices.Contains(has, platform) })
}

// platforms are those of an index; none of an image.
func platforms(body []byte) []string {
	var found []string
	for _, c := range children(body) {
		if c.platform != nil {
			found = append(found, platformName(c.platform))
		}
	}
	return found
}

// platformLife is how long a platform counts as asked for.
const platformLife = 30 * 24 * time.Hour

// askedFor notes the platform of a manifest that a client pulls by digest, where an
// index that was seen lists it.
func (o *origin) askedFor(d digest.Digest) {
	if platform, ok := o.listed.get(d.String()); ok {
		o.platforms.put(platform, struct{}{}, platformLife)
	}
}

// complete fetches what nobody asked for yet. A failure is told by the log and
// metrics of what it uses; the next manifest, or a client, tries again.
func (o *origin) complete(ctx context.Context, named pair) {
	if named.kind == index.Manifest {
		_, _ = o.document(ctx, named) // its own children follow by became
		return
	}
	blob, _, err := o.cache.Join(ctx, named.digest, o.source(ctx, named))
	if err != nil {
		return
	}
	defer func() { _ = blob.Close() }()
	section := blob.Section(ctx, 0, -1, true)
	defer func() { _ = section.Close() }()
	_, _ = io.Copy(io.Discard, section)
}

// touch makes a manifest's blobs as recently used as itself, now and then.
func (o *origin) touch(named pair, body []byte) {
	if !o.touched.once(named.String(), touchEvery) {
		return
	}
	var digests []digest.Digest
	for _, c := range children(body) {
		o.remember(c)
		if _, ok := o.linked(pair{named.repo, c.kind, c.digest}); ok {
			digests = append(digests, c.digest)
		}
	}
	o.cache.Touch(digests)
}
