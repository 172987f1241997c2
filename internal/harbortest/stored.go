package harbortest

import (
	"encoding/json"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A proxy-cache project stores what it fetched in the background: an image this
// long after its first GET, with the blobs that nobody asked for; an index much
// later, cut down to the images that were stored by then.
const (
	storeImageAfter = 20 * time.Second
	storeIndexAfter = 7 * time.Minute
)

// pending is a manifest that was fetched and is not stored yet.
type pending struct {
	key repositoryDigest
	tag string // "" if it was asked for by digest
	m   manifest
	due time.Time
}

// StoreProxied lets every proxy-cache project store at once what it fetched so
// far, as if the time for it had come.
func (h *Harbor) StoreProxied() { h.storeAll(true) }

func (h *Harbor) storeAll(everything bool) {
	h.mu.Lock()
	var all []project
	for _, p := range h.projects {
		all = append(all, *p)
	}
	h.mu.Unlock()
	for _, p := range all {
		if p.proxy != nil {
			h.storeDue(p, everything)
		}
	}
}

// fetched notes that a manifest came from the upstream.
func (x *proxy) fetched(key repositoryDigest, reference string, m manifest) {
	p := pending{key: key, tag: reference, m: m, due: time.Now().Add(storeImageAfter)}
	if _, err := digest.Parse(reference); err == nil {
		p.tag = ""
	}
	index := types.MediaType(m.mediaType).IsIndex()
	if index {
		p.due = time.Now().Add(storeIndexAfter)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.indexes[key] = x.indexes[key] || index
	for _, known := range x.pending {
		if known.key == p.key && known.tag == p.tag {
			return
		}
	}
	x.pending = append(x.pending, p)
}

// hasIndex tells whether the index was fetched before and is not stored yet.
func (x *proxy) hasIndex(key repositoryDigest) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.indexes[key]
}

// storeDue stores what is due, or everything; what cannot be stored, because
// the upstream is down, waits. It is called by whoever looks.
func (h *Harbor) storeDue(p project, everything bool) {
	upstreamUp := !h.isDown(ProxyUpstream)
	now := time.Now()
	p.proxy.mu.Lock()
	defer p.proxy.mu.Unlock()
	// Images come first: an index is cut down to those that are stored.
	for _, indexes := range []bool{false, true} {
		var waiting []pending
		for _, m := range p.proxy.pending {
			due := everything || !now.Before(m.due)
			if types.MediaType(m.m.mediaType).IsIndex() != indexes || !due || !p.store(m, upstreamUp) {
				waiting = append(waiting, m)
			}
		}
		p.proxy.pending = waiting
	}
}

// store puts a pending manifest into the project. The caller holds proxy.mu.
func (p project) store(m pending, upstreamUp bool) bool {
	var list listed
	if err := json.Unmarshal(m.m.body, &list); err != nil {
		return true // such a manifest is never stored
	}
	if types.MediaType(m.m.mediaType).IsIndex() {
		return p.storeIndex(m, list)
	}
	remote := m.key.repository[len(p.Name)+1:]
	for _, b := range list.blobs() {
		if _, have := p.content.blob(m.key.repository, b.Digest); have {
			continue
		}
		content, ok := p.proxy.upstream.blob(remote, b.Digest)
		if !ok || !upstreamUp {
			return false
		}
		if _, err := p.content.PushBlob(m.key.repository, content); err != nil {
			return false
		}
	}
	_, err := p.content.PushManifest(m.key.repository, m.tag, m.m.mediaType, m.m.body)
	return err == nil
}

// storeIndex stores an index whole with its tag, or else what is left of it, as
// a Docker manifest list without a tag.
func (p project) storeIndex(m pending, list listed) bool {
	kept := []ocispec.Descriptor{}
	for _, child := range list.Manifests {
		if _, have := p.content.manifest(m.key.repository, child.Digest.String()); have {
			kept = append(kept, child)
		}
	}
	switch len(kept) {
	case 0:
		return true
	case len(list.Manifests):
		_, err := p.content.PushManifest(m.key.repository, m.tag, m.m.mediaType, m.m.body)
		delete(p.proxy.indexes, m.key)
		return err == nil
	}
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": types.DockerManifestList, "manifests": kept})
	if err != nil {
		return true
	}
	_, err = p.content.PushManifest(m.key.repository, "", string(types.DockerManifestList), body)
	return err == nil
}
