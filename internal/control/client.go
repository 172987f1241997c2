package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// maxAnswer bounds an answer that is not a stream, in bytes. A hundred thousand
// blocked digests have a quarter of it.
const maxAnswer = 32 << 20

// Client is the [Cache] of a running instance, which can be asked to explain, too.
type Client struct {
	ctx  context.Context // of everything that is asked
	http http.Client
}

var _ Cache = (*Client)(nil)

// Dial returns the Cache of the instance that runs on the folder dir, or
// [ErrNotRunning]. What is asked of it ends with ctx.
func Dial(ctx context.Context, dir string) (*Client, error) {
	probe, err := connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	return &Client{ctx: ctx, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx, dir) },
	}}}, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// List implements [Cache].
func (c *Client) List(ctx context.Context, repository string, yield func(Entry) error) error {
	body, err := c.ask(ctx, http.MethodGet, "/cache/entries", url.Values{"repository": {repository}})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return readLines(body, yield)
}

// Verify implements [Cache].
func (c *Client) Verify(ctx context.Context, rate int64, yield func(Result) error) error {
	body, err := c.ask(ctx, http.MethodPost, "/cache/verify", url.Values{"rate": {strconv.FormatInt(rate, 10)}})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return readLines(body, yield)
}

// Stat implements [Cache].
func (c *Client) Stat() (stat Stat, err error) {
	err = c.value(http.MethodGet, "/cache/stat", nil, &stat)
	return stat, err
}

// PurgeRepository implements [Cache].
func (c *Client) PurgeRepository(name string) (purged Purged, err error) {
	err = c.value(http.MethodPost, "/cache/purge", url.Values{"repository": {name}}, &purged)
	return purged, err
}

// PurgeDigest implements [Cache].
func (c *Client) PurgeDigest(d digest.Digest) (purged Purged, err error) {
	err = c.value(http.MethodPost, "/cache/purge", url.Values{"digest": {d.String()}}, &purged)
	return purged, err
}

// PurgeAll implements [Cache].
func (c *Client) PurgeAll() (purged Purged, err error) {
	err = c.value(http.MethodPost, "/cache/purge", url.Values{"all": {"true"}}, &purged)
	return purged, err
}

// Block implements [Cache].
func (c *Client) Block(d digest.Digest) error {
	return c.value(http.MethodPost, "/cache/block", url.Values{"digest": {d.String()}}, new(struct{}))
}

// Unblock implements [Cache].
func (c *Client) Unblock(d digest.Digest) error {
	return c.value(http.MethodPost, "/cache/unblock", url.Values{"digest": {d.String()}}, new(struct{}))
}

// Explain asks how the pull of an image would go now, and decodes what it is told: see
// [Explain]. Its error is a [Mistake] where that is what it was there.
func (c *Client) Explain(image, listener string, into any) error {
	return c.value(http.MethodGet, "/explain", url.Values{"image": {image}, "listener": {listener}}, into)
}

// value decodes a whole answer.
func (c *Client) value(method, path string, query url.Values, into any) error {
	body, err := c.ask(c.ctx, method, path, query)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the running instance broke off: %w", err)
	}
	return nil
}

// ask returns the body of an answer that is 200, and of any other its error.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "breakwater", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, errors.Unwrap(err) // of *url.Error, whose URL is no place that anybody knows
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	var said refusal
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&said); err != nil || said.Error == "" {
		return nil, fmt.Errorf("the running instance answers %s to %s: it is of another version, restart it with this one", resp.Status, path)
	}
	err = errors.New(said.Error)
	if resp.StatusCode == http.StatusBadRequest {
		err = Mistake{err}
	}
	return nil, err
}
