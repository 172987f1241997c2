package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

const (
	patience = 30 * time.Second // for the whole pull, which takes milliseconds
	maxBody  = 4 << 20          // bytes; no image of the demo has that much
)

// step is one request of a client, the answer to it, and what Harbor saw
// meanwhile.
type step struct {
	path   string
	status int
	header http.Header // of the answer
	body   []byte      // as far as it came
	seen   []harbortest.Request
}

// pull is one image as a client got it, and how.
type pull struct {
	client *http.Client
	base   string // URL of the registry, without a slash at the end
	harbor *harbortest.Harbor
	noted  int // requests to Harbor that are in the notes, or came before

	steps    []*step
	manifest *v1.Manifest // nil if the client got none
}

// pull pulls the image from the registry at an address, as a client does that
// has no credentials: end-1, the manifest by its tag (end-3), config and layers
// by their digests (end-2), one after the other. Each digest is verified, the
// manifest's against what was pushed. What happened until an error is returned
// with it.
func (s *Stage) pull(ctx context.Context, address string) (*pull, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	transport := &http.Transport{} // no proxy: the registry is on this machine
	defer transport.CloseIdleConnections()
	p := &pull{
		client: &http.Client{Transport: transport, CheckRedirect: stay},
		base:   "http://" + address,
		harbor: s.Harbor,
		noted:  len(s.Harbor.Requests()),
	}
	if err := p.image(ctx, s.digest); err != nil {
		return p, fmt.Errorf("the pull failed: %w", err)
	}
	return p, nil
}

// stay follows no redirect: Breakwater follows those of upstream itself.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (p *pull) image(ctx context.Context, pushed v1.Hash) error {
	if _, err := p.get(ctx, "/v2/", ""); err != nil {
		return err
	}
	manifest, err := p.verified(ctx, "manifests/"+tag, types.OCIManifestSchema1, pushed)
	if err != nil {
		return err
	}
	if p.manifest, err = v1.ParseManifest(bytes.NewReader(manifest)); err != nil {
		return err
	}
	for _, d := range append([]v1.Descriptor{p.manifest.Config}, p.manifest.Layers...) {
		if _, err := p.verified(ctx, "blobs/"+d.Digest.String(), "", d.Digest); err != nil {
			return err
		}
	}
	return nil
}

// verified gets a part of the image and makes sure that it has its digest.
func (p *pull) verified(ctx context.Context, part string, accept types.MediaType, want v1.Hash) ([]byte, error) {
	body, err := p.get(ctx, "/v2/"+repository+"/"+part, accept)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(body).String(); got != want.String() {
		return nil, fmt.Errorf("GET %s: the content has the digest %s, not %s", part, got, want)
	}
	return body, nil
}

// get asks and takes notes. An answer that is not 200 is an error.
func (p *pull) get(ctx context.Context, path string, accept types.MediaType) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", string(accept))
	}
	resp, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	s := &step{path: path, status: resp.StatusCode, header: resp.Header}
	p.steps = append(p.steps, s)
	s.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	s.seen = p.harbor.Requests()[p.noted:]
	p.noted += len(s.seen)
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET %s: %w", path, err)
	case s.status != http.StatusOK:
		return nil, fmt.Errorf("GET %s: %s: %.200s", path, resp.Status, bytes.TrimSpace(s.body))
	}
	return s.body, nil
}

// size is what the client got of the image, in bytes.
func (p *pull) size() int {
	n := 0
	for _, s := range p.steps {
		if s.path != "/v2/" {
			n += len(s.body)
		}
	}
	return n
}
