package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"breakwater/internal/harbortest"
)

// Tell has a client pull an image three times from the registry at an address
// (host:port), where Breakwater serves what its robot may pull from s.URL: for the
// first time, again, and while Harbor is down. It prints what happened on both sides
// of Breakwater, and returns an error when a pull fails or breaks one of its promises.
func (s *Stage) Tell(ctx context.Context, w io.Writer, address string) error {
	out := &printer{w: w}
	out.printf("Harbor      %-23s a stand-in in this process; all its images are private\n", s.URL)
	out.printf("Breakwater  %-23s holds the password of %s\n\n", "http://"+address, s.Username)
	for _, act := range []func(context.Context, *printer, string) error{s.first, s.again, s.outage} {
		if err := errors.Join(act(ctx, out, address), out.err); err != nil {
			return err
		}
	}
	return nil
}

// first pulls what nobody pulled before.
func (s *Stage) first(ctx context.Context, out *printer, address string) error {
	without, err := s.withoutBreakwater(ctx)
	if err != nil {
		return err
	}
	challenge, _, _ := strings.Cut(without.Header.Get("Www-Authenticate"), " ")
	cookies := "no cookie"
	if len(without.Cookies()) > 0 {
		cookies = "a cookie"
	}
	out.printf("A client without credentials wants %s:%s.\n", repository, tag)
	out.printf("Harbor itself answers %s, with a %s challenge and %s.\n", without.Status, challenge, cookies)
	out.printf("From Breakwater it pulls %s/%s:%s:\n\n", address, repository, tag)
	p, err := s.promised(ctx, address, (*pull).authenticated)
	p.table(out)
	if err != nil {
		return err
	}
	out.printf(`
  got     manifest, config and %d layers, %d bytes; each has its digest
  secret  the password went to Harbor's token service only (%d×), a token elsewhere
  hidden  no challenge, cookie, token or password in the %d answers to the client
`, len(p.manifest.Layers), p.size(), p.passwords(), len(p.steps))
	return nil
}

// again pulls the same once more, at once.
func (s *Stage) again(ctx context.Context, out *printer, address string) error {
	p, err := s.promised(ctx, address, (*pull).unseen)
	if err != nil {
		p.table(out)
		return err
	}
	out.printf("\nThe same pull again: the same %d bytes, and Harbor saw nothing.\n", p.size())
	return nil
}

// outage pulls the same while Harbor is down, when it is time to ask about the tag.
func (s *Stage) outage(ctx context.Context, out *printer, address string) error {
	out.printf("\n%s later the tag is due to be asked about again, but now Harbor is down.\n", s.TagTTL)
	select {
	case <-time.After(s.TagTTL):
	case <-ctx.Done():
		return errors.New("the story was interrupted")
	}
	s.Harbor.SetDown(harbortest.Core, true)
	defer s.Harbor.SetDown(harbortest.Core, false)
	without, err := s.withoutBreakwater(ctx)
	if err != nil {
		return err
	}
	out.printf("Harbor itself answers %s. From Breakwater the client pulls as before:\n\n", without.Status)
	p, err := s.promised(ctx, address, (*pull).stale)
	p.table(out)
	if err != nil {
		return err
	}
	out.printf(`
  got     the same %d bytes, none of them from Harbor
  told    Cache-Status: %s
`, p.size(), p.cacheStatus())
	return nil
}

// withoutBreakwater is what the same client gets from Harbor itself; the body is
// closed.
func (s *Stage) withoutBreakwater(ctx context.Context) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("the demo's Harbor does not answer: %w", err)
	}
	return resp, resp.Body.Close()
}
