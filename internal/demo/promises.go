package demo

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"breakwater/internal/harbortest"
)

// hidden are the header fields that are between Breakwater and Harbor: no client
// may get them.
var hidden = [...]string{"Set-Cookie", "Www-Authenticate", "Authorization", "X-Harbor-Csrf-Token"}

// broken tells which of Breakwater's promises a pull broke; nil is none.
func (s *Stage) broken(p *pull) error {
	secrets := s.Harbor.Secrets()
	var found []error
	for _, step := range p.steps {
		found = append(found, step.hides(secrets))
	}
	return errors.Join(append(found, p.authenticated())...)
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

// authenticated is an error unless Harbor saw what it had to see: the robot's
// password at the token service and nowhere else, and every part of the image
// asked for with a token of the robot.
func (p *pull) authenticated() error {
	content := 0
	for r := range p.seen {
		switch {
		case r.IsToken() != (r.Scheme == "Basic") && r.Scheme != "":
			return fmt.Errorf("credentials where they do not belong: %s to %s", r.Scheme, r.Path)
		case r.Scheme == "Bearer" && r.Account == robot && r.Status == http.StatusOK && (r.IsManifest() || r.IsBlob()):
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
