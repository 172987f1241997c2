package proxy

import (
	"fmt"
	"io"
	"net/http"

	"breakwater/proxy/registry"
)

// maxHeld is the memory, in bytes, for all manifests and lists that are being
// read, or wait for a slow client to take them.
const maxHeld = 256 << 20

// readDocument reads a manifest or a list of at most that many bytes whole: it is
// verified before its header goes out, and a slow client holds memory, which is
// bounded, in place of one of the few connections that tokens and manifests need.
func (x *exchange) readDocument(resp *http.Response, most int64) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	tooLarge := registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
		"upstream %s answered with more than %d MiB: ask for a list in parts, with n", x.Upstream.Name(), most>>20)
	size := resp.ContentLength
	switch {
	case size > most:
		return nil, tooLarge
	case size < 0:
		size = most
	}
	if err := x.documents.Acquire(resp.Request.Context(), size); err != nil {
		return nil, x.unavailable(0).Because(fmt.Errorf("too many manifests and lists wait for slow clients: %w", err))
	}
	x.held = size
	var (
		body []byte
		err  error
	)
	if resp.ContentLength >= 0 {
		body = make([]byte, size)
		_, err = io.ReadFull(resp.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	}
	switch {
	case err != nil:
		return nil, x.unavailable(0).Because(fmt.Errorf("upstream broke off in the middle: %w", err))
	case int64(len(body)) > most:
		return nil, tooLarge
	}
	x.documents.Release(size - int64(len(body)))
	x.held = int64(len(body))
	return body, nil
}
