package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"breakwater/internal/harbortest"
)

// hidden are the header fields that are between Breakwater and Harbor: no client
// may get them.
var hidden = [...]string{"Set-Cookie", "Www-Authenticate", "Authorization", "X-Harbor-Csrf-Token"}

// promised pulls the image and holds the notes of it against what Breakwater
// promises of every pull, and then of this one.
func (s *Stage) promised(ctx context.Context, address string, promise func(*pull) error) (*pull, error) {
	p, err := s.pull(ctx, address)
	if err != nil {
		return p, err
	}
	secrets := s.Harbor.Secrets()
	var broken []error
	for _, step := range p.steps {
		broken = append(broken, step.hides(secrets))
	}
	return p, errors.Join(append(broken, p.guarded(), promise(p))...)
}

// hides is an error where the answer shows what is not the client's: header
// fields, or anywhere one of the secrets that Harbor knows or gave out.
func (s *step) hides(secrets []string) error {
	for _, field := range hidden {
		if s.header.Values(field) != nil {
			return fmt.Errorf("GET %s: the client was shown Harbor's %s", s.path, field)
		}
	}
	var answer bytes.Buffer
	if err := s.header.Write(&answer); err != nil {
		return err
	}
	answer.Write(s.body)
	for _, secret := range secrets {
		if bytes.Contains(answer.Bytes(), []byte(secret)) {
			return fmt.Errorf("GET %s: the client was shown a secret", s.path)
		}
	}
	return nil
}

// guarded is an error where credentials went to Harbor that do not belong there: the
// password anywhere but to the token service, or anything else to that.
func (p *pull) guarded() error {
	for r := range p.seen {
		if r.Scheme != "" && r.IsToken() != (r.Scheme == "Basic") {
			return fmt.Errorf("credentials where they do not belong: %s to %s", r.Scheme, r.Path)
		}
	}
	return nil
}

// authenticated is an error unless Harbor saw what it had to see of a first pull: the
// robot's password, and every part of the image asked for with a token of the robot.
func (p *pull) authenticated() error {
	content := 0
	for r := range p.seen {
		if r.Method == http.MethodGet && r.Scheme == "Bearer" && r.Account == robot && r.Status == http.StatusOK && (r.IsManifest() || r.IsBlob()) {
			content++
		}
	}
	switch want := 2 + len(p.manifest.Layers); {
	case p.passwords() == 0:
		return errors.New("the token service did not see the robot's password")
	case content < want:
		return fmt.Errorf("only %d of the %d parts of the image came from Harbor", content, want)
	}
	return nil
}

// unseen is an error if Harbor saw anything of a pull that came right after another.
func (p *pull) unseen() error {
	for r := range p.seen {
		return fmt.Errorf("Harbor was asked again for what is held: %s %s", r.Method, r.Path)
	}
	return nil
}

// stale is an error unless the pull came from what is held, and the client was told
// that Harbor could not confirm the tag.
func (p *pull) stale() error {
	for r := range p.seen {
		if r.Status == http.StatusOK {
			return fmt.Errorf("Harbor is not down: it answered %s %s", r.Method, r.Path)
		}
	}
	if status := p.cacheStatus(); !strings.HasSuffix(status, "; detail=stale") {
		return fmt.Errorf("the client was not told that the tag is not confirmed: its Cache-Status is %q", status)
	}
	return nil
}

// cacheStatus is what the answer to the tag says of the cache (RFC 9211).
func (p *pull) cacheStatus() string {
	for _, step := range p.steps {
		if strings.HasSuffix(step.path, "/manifests/"+tag) {
			return step.header.Get("Cache-Status")
		}
	}
	return ""
}

// seen yields what Harbor saw of the pull.
func (p *pull) seen(yield func(harbortest.Request) bool) {
	for _, step := range p.steps {
		for _, r := range step.seen {
			if !yield(r) {
				return
			}
		}
	}
}

// passwords counts how often the password was sent.
func (p *pull) passwords() int {
	n := 0
	for r := range p.seen {
		if r.Scheme == "Basic" {
			n++
		}
	}
	return n
}
