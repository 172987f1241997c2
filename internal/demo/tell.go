package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"breakwater/internal/harbortest"
)

// Tell has a client pull an image from the registry at an address (host:port),
// where Breakwater serves what its robot may pull from s.URL, and prints what
// happened on both sides of it. It returns an error when the pull fails, or
// breaks one of Breakwater's promises.
func (s *Stage) Tell(ctx context.Context, w io.Writer, address string) error {
	out := &printer{w: w}
	out.printf("Harbor      %-23s a stand-in in this process; all its images are private\n", s.URL)
	out.printf("Breakwater  %-23s holds the password of %s\n\n", "http://"+address, s.Username)
	without, err := s.withoutBreakwater(ctx)
	if err != nil {
		return err
	}
	out.printf("A client without credentials wants %s:%s.\n%s", repository, tag, without)
	out.printf("From Breakwater it pulls %s/%s:%s:\n\n", address, repository, tag)
	p, err := s.pull(ctx, address)
	p.table(out)
	if err == nil {
		err = s.broken(p)
	}
	if err != nil {
		return errors.Join(err, out.err)
	}
	out.printf(`
  got     manifest, config and %d layers, %d bytes; each has its digest
  secret  the password went to Harbor's token service only (%d×), a token elsewhere
  hidden  no challenge, cookie, token or password in the %d answers to the client
`, len(p.manifest.Layers), p.size(), p.passwords(), len(p.steps))
	return out.err
}

// withoutBreakwater is what the same client gets from Harbor itself.
func (s *Stage) withoutBreakwater(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("the demo's Harbor does not answer: %w", err)
	}
	defer resp.Body.Close()
	challenge, _, _ := strings.Cut(resp.Header.Get("Www-Authenticate"), " ")
	cookies := "no cookie"
	if len(resp.Cookies()) > 0 {
		cookies = "a cookie"
	}
	return fmt.Sprintf("Harbor itself answers %s, with a %s challenge and %s.\n", resp.Status, challenge, cookies), nil
}

// table prints, for every request of the client, the answer and what Harbor saw
// meanwhile.
func (p *pull) table(out *printer) {
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(columns, "  the client asked\t\t\t  Harbor saw\n")
	for _, s := range p.steps {
		left := fmt.Sprintf("  GET %s\t%d\t%s\t  ", short(s.path), s.status, p.part(s.path))
		for _, r := range s.seen {
			fmt.Fprintf(columns, "%s%s %s\t%d\t%s\n", left, r.Method, short(r.Path), r.Status, credentials(r))
			left = "  \t\t\t  "
		}
		if len(s.seen) == 0 {
			fmt.Fprintf(columns, "%snothing\n", left)
		}
	}
	_ = columns.Flush() // out keeps the error
}

// short is a path without the repository that it is all about, and with as much
// of a digest as tells it from the others.
func short(path string) string {
	path = strings.Replace(path, "/v2/"+repository+"/", "", 1)
	if before, hex, ok := strings.Cut(path, "sha256:"); ok {
		const enough = 6
		path = before + "sha256:" + hex[:min(enough, len(hex))]
	}
	return path
}

// part says which part of the image a path names.
func (p *pull) part(path string) string {
	switch {
	case strings.Contains(path, "/manifests/"):
		return "manifest"
	case p.manifest == nil:
		return ""
	case strings.HasSuffix(path, p.manifest.Config.Digest.String()):
		return "config"
	}
	for i, layer := range p.manifest.Layers {
		if strings.HasSuffix(path, layer.Digest.String()) {
			return fmt.Sprintf("layer %d", i+1)
		}
	}
	return ""
}

// credentials says what a request to Harbor carried.
func credentials(r harbortest.Request) string {
	switch r.Scheme {
	case "":
		return "anonymous"
	case "Basic":
		return "password"
	case "Bearer":
		return "token"
	}
	return r.Scheme
}

// Invite prints what to try while Breakwater serves the registry at one address,
// and its metrics at another ("" is nowhere).
func (s *Stage) Invite(w io.Writer, registry, admin string) error {
	out := &printer{w: w}
	out.printf("\nBoth run until Ctrl-C. In another terminal, try:\n\n")
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	base := "http://" + registry + "/v2/"
	for _, line := range [][2]string{
		{"curl " + base, "the registry is there"},
		{"curl " + base + "_catalog", "repositories"},
		{"curl " + base + repository + "/tags/list", "tags"},
		{"curl " + base + repository + "/manifests/" + tag, "its manifest"},
		{"curl " + base + ledger + "/tags/list", "404: not for the robot"},
		{"curl " + s.URL + "/v2/" + repository + "/tags/list", "401: Harbor itself"},
		{"crane manifest " + registry + "/" + multi + ":" + tag, "an index of two architectures"},
		{"crane manifest " + registry + "/" + repository + ":" + sbom, "an artifact that refers to the image"},
		{"docker pull " + registry + "/" + repository + ":" + tag, "the image whole"},
	} {
		fmt.Fprintf(columns, "  %s\t# %s\n", line[0], line[1])
	}
	if admin != "" {
		fmt.Fprintf(columns, "  curl http://%s/metrics\t# what Breakwater counted\n", admin)
	}
	_ = columns.Flush() // out keeps the error
	return out.err
}

// printer keeps the first error, so that a story is told without asking after
// every sentence.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.err = err
	return n, err
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }
