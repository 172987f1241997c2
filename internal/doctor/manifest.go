package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"breakwater/internal/redact"
	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"

	"github.com/opencontainers/go-digest"
)

// maxManifest is the distribution specification's limit of a manifest, in bytes.
const maxManifest = 4 << 20

// manifest prints what a HEAD of one tag brings, and returns the tag.
func (v *visit) manifest(ctx context.Context, name string) (tag string, ok bool) {
	tag, ok = v.tag(ctx, name)
	if !ok {
		return "", false
	}
	r := registry.Request{Kind: registry.KindManifest, Method: http.MethodHead, Name: name, Tag: tag}
	resp, err := v.read(ctx, r)
	if err == nil && resp.StatusCode != http.StatusOK {
		// A HEAD's answer has no body that says why.
		upstream.Drop(resp)
		r.Method = http.MethodGet
		resp, err = v.read(ctx, r)
	}
	if err != nil {
		seen, todo := v.explain(err)
		v.Fail("manifest", seen, todo)
		return "", false
	}
	if resp.StatusCode != http.StatusOK {
		said := refusalOf(resp)
		v.Fail("manifest", fmt.Sprintf("%s:%s is listed, and answered with %s", name, tag, said), advice(said))
		return "", false
	}
	defer upstream.Drop(resp)
	digest := resp.Header.Get("Docker-Content-Digest")
	kind, ok := registry.ManifestType(resp.Header.Get("Content-Type"))
	if !ok {
		v.Fail("manifest", fmt.Sprintf("%s:%s is %q, which is no manifest", name, tag, kind), "look at what stands between here and the registry")
		return "", false
	}
	if digest == "" {
		digest = "without a digest, which a GET will tell"
	}
	v.OK("manifest", fmt.Sprintf("%s:%s is there: %s (%s)", name, tag, digest, kind))
	return tag, true
}

// blob prints where blobs come from: the registry itself, or a storage that it
// redirects to and that must be reachable as well. It asks for the smallest one
// that each image has, its config.
func (v *visit) blob(ctx context.Context, name, tag string) {
	config, err := v.config(ctx, registry.Request{Kind: registry.KindManifest, Method: http.MethodGet, Name: name, Tag: tag})
	if err != nil {
		seen, todo := v.explain(err)
		v.Fail("blob", "the manifest cannot be read: "+seen, todo)
		return
	}
	resp, err := v.read(ctx, registry.Request{Kind: registry.KindBlob, Method: http.MethodHead, Name: name, Digest: config})
	if err != nil {
		seen, todo := v.explain(err)
		v.Fail("blob", seen, todo)
		return
	}
	if resp.StatusCode != http.StatusOK {
		said := refusalOf(resp)
		v.Fail("blob", fmt.Sprintf("the config of %s:%s is answered with %s", name, tag, said), advice(said))
		return
	}
	defer upstream.Drop(resp)
	if from := resp.Request.URL; from.Host != v.URL.Host {
		from.Path = ""
		v.OK("blob", "the config is there, by a redirect to "+redact.URL(from))
		return
	}
	v.OK("blob", "the config is there, from the registry itself")
}

// config finds the digest of an image's config in its manifest, or in the first
// one that an index lists.
func (v *visit) config(ctx context.Context, r registry.Request) (digest.Digest, error) {
	type descriptor struct{ Digest string }
	for range 2 { // an index lists images; deeper ones are not followed
		var document struct {
			Config    descriptor
			Manifests []descriptor
		}
		if err := v.decode(ctx, r, &document); err != nil {
			return "", err
		}
		if d, ok := registry.ParseDigest(document.Config.Digest); ok {
			return d, nil
		}
		if len(document.Manifests) == 0 {
			break
		}
		d, ok := registry.ParseDigest(document.Manifests[0].Digest)
		if !ok {
			break
		}
		r.Tag, r.Digest = "", d
	}
	return "", fmt.Errorf("%s names neither a config nor an image", r.Reference())
}

// decode reads a JSON document of the registry.
func (v *visit) decode(ctx context.Context, r registry.Request, into any) error {
	resp, err := v.read(ctx, r)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered with %s", r.Reference(), refusalOf(resp))
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxManifest)).Decode(into); err != nil {
		return fmt.Errorf("%s is no JSON document", r.Reference())
	}
	return nil
}

// tag finds a tag by end-8. It prints why there is none.
func (v *visit) tag(ctx context.Context, name string) (string, bool) {
	resp, err := v.read(ctx, registry.Request{Kind: registry.KindTags, Method: http.MethodGet, Name: name, N: "1"})
	if err != nil {
		seen, todo := v.explain(err)
		v.Fail("manifest", seen, todo)
		return "", false
	}
	if resp.StatusCode != http.StatusOK {
		said := refusalOf(resp)
		if said.status == http.StatusNotFound {
			v.Note("manifest", "none to be looked at: "+said.String())
			return "", false
		}
		v.Fail("manifest", "the tags of "+name+" are answered with "+said.String(), advice(said))
		return "", false
	}
	defer resp.Body.Close()
	var list struct{ Tags []string }
	switch err := json.NewDecoder(io.LimitReader(resp.Body, maxList)).Decode(&list); {
	case err != nil:
		v.Fail("manifest", "the tags of "+name+" are no list that the registry API knows", "look at what stands between here and the registry")
		return "", false
	case len(list.Tags) == 0 || !registry.ValidTag(list.Tags[0]):
		v.Note("manifest", "none to be looked at: "+name+" has no tags")
		return "", false
	}
	return list.Tags[0], true
}
