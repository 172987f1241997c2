package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"breakwater/tokencache"
)

// pauses between the attempts of one read, before jitter. Two more attempts
// bridge a Harbor pod that is being replaced; what lasts longer is an outage.
var pauses = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond}

// longestPause is how long a read waits for the end of the token service's
// back-off, which is a second after its first fault.
const longestPause = 2500 * time.Millisecond

// retry asks until an answer is worth handing on, the attempts are used up, or
// ctx ends. Only reads come here, so asking again is always safe (RFC 9110
// §9.2.2).
func retry(ctx context.Context, attempt func() (*http.Response, error)) (*http.Response, error) {
	for _, pause := range pauses {
		resp, err := attempt()
		if !passing(resp, err) || ctx.Err() != nil {
			return resp, err
		}
		wait := time.NewTimer(max(pause/2+rand.N(pause), backoff(err)))
		select {
		case <-ctx.Done():
			wait.Stop()
			return resp, err
		case <-wait.C:
		}
		if resp != nil {
			Drop(resp)
		}
	}
	return attempt()
}

// passing tells faults that may be gone in a moment from answers. A gateway
// that names a time to come back is not asked before it.
func passing(resp *http.Response, err error) bool {
	if err == nil {
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return resp.Header.Get("Retry-After") == ""
		}
		return false
	}
	var redirect *RedirectError
	switch {
	case errors.As(err, new(*tokencache.UnavailableError)):
		return backoff(err) <= longestPause
	case tokensFault(err), errors.Is(err, ErrSwitched):
		return false
	case errors.As(err, &redirect):
		return redirect.passing
	}
	return true
}

// tokensFault tells errors for which nothing was sent, because there was no
// token for it.
func tokensFault(err error) bool {
	return errors.As(err, new(*tokencache.CredentialError)) || errors.As(err, new(*tokencache.NoGrantError)) ||
		errors.As(err, new(*tokencache.RealmError)) || errors.As(err, new(*tokencache.UnavailableError))
}

// backoff is how long no token will be asked for, 0 when err is about something
// else.
func backoff(err error) time.Duration {
	var unavailable *tokencache.UnavailableError
	if errors.As(err, &unavailable) {
		return unavailable.RetryAfter
	}
	return 0
}
