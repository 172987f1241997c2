package tokencache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"breakwater/internal/redact"
)

const (
	// questionLimit bounds a question of our own, headers and body. Harbor takes
	// 20 ms for a robot's token, 1.5 s to refuse a password, and some seconds
	// while its Redis is down.
	questionLimit = 10 * time.Second
	// answerLimit bounds an answer's body. A token of 200 scopes has 17 kB.
	answerLimit = 1 << 20
)

// An answer is what upstream or its token service said to a question of our own.
type answer struct {
	status     int
	header     http.Header
	body       []byte
	retryAfter time.Duration
}

// get asks a question: no redirect is followed, no cookie kept. The error is
// ctx's own or an [*UnavailableError].
func (c *Cache) get(ctx context.Context, u *url.URL, creds Credentials) (*answer, error) {
	limited, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	got, err := c.ask(limited, u, creds)
	switch {
	case err == nil:
		return got, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, c.unavailable("GET %s: no answer within %s", redact.URL(u), questionLimit)
	}
	return nil, c.unavailable("GET %s: %v", redact.URL(u), err)
}

func (c *Cache) ask(ctx context.Context, u *url.URL, creds Credentials) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if !creds.anonymous() {
		req.SetBasicAuth(creds.Username, creds.Password.Reveal())
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return nil, err
	}
	if len(body) > answerLimit {
		return nil, fmt.Errorf("the answer is longer than %d bytes", answerLimit)
	}
	return &answer{resp.StatusCode, resp.Header, body, retryAfter(resp.Header, time.Now())}, nil
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); what it cannot read is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

func (c *Cache) unavailable(format string, args ...any) *UnavailableError {
	return &UnavailableError{Upstream: c.origin, Reason: fmt.Sprintf(format, args...)}
}

// unexpected is the error for a status that says neither yes nor no. Nothing of
// the body is quoted: it may hold what must not be printed.
func (c *Cache) unexpected(got *answer, question string) *UnavailableError {
	err := c.unavailable("%s answered %d %s", question, got.status, http.StatusText(got.status))
	err.RetryAfter = got.retryAfter
	switch {
	case got.status >= 300 && got.status < 400:
		err.Reason += "; redirects are not followed here"
		err.misplaced = true
	case got.status < 500 && got.status != http.StatusTooManyRequests:
		err.misplaced, err.scoped = true, true
	}
	return err
}
