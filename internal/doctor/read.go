package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"
)

// read asks upstream as a pull does: authenticated, with retries and redirects
// followed. The caller closes the body.
func (v *visit) read(ctx context.Context, r registry.Request) (*http.Response, error) {
	target := *v.URL
	asked := r.URL()
	target.Path, target.RawQuery = asked.Path, asked.RawQuery
	ctx, cancel := step(ctx)
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("User-Agent", v.UserAgent)
	if r.Kind == registry.KindManifest {
		req.Header.Set("Accept", registry.ManifestTypes)
	}
	resp, err := v.Client.Reading(r).RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &bodyOfStep{resp.Body, cancel}
	return resp, nil
}

// bodyOfStep ends its step when it is closed.
type bodyOfStep struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements [io.Closer].
func (b *bodyOfStep) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// refusal is what upstream's answer said in place of what was asked for.
type refusal struct {
	status  int
	code    registry.Code // of a registry error document; empty where there is none
	message string
}

func (r refusal) String() string {
	text := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	if r.code != "" {
		text += " " + string(r.code)
	}
	if r.message != "" {
		text += ": " + r.message
	}
	return text
}

// refusalOf reads the first error of the distribution specification's error
// document, and closes the answer.
func refusalOf(resp *http.Response) refusal {
	defer upstream.Drop(resp)
	code, message := registry.ReadError(resp.Body)
	return refusal{resp.StatusCode, code, message}
}
