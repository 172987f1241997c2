package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"breakwater/internal/harbortest"
)

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
