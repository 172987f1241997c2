//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/harbortest"
)

// exchanges counts the questions to Harbor's token service.
func (w *world) exchanges() int { return w.harbor.Count(harbortest.Request.IsToken) }

// A herd costs one token, and what its project is asked for later none. A token that
// is revoked early is replaced before a client notices.
func TestOneTokenForAll(t *testing.T) {
	w := newWorld(t)
	const manifest = "/v2/team-a/app/manifests/1.0"
	w.harbor.ResetRequests() // starting has asked GET /v2/, for which a token has no scope
	var herd sync.WaitGroup
	for range 200 {
		herd.Go(func() {
			if status, body, err := get("http://" + w.breakwater.registry + manifest); err != nil || status != http.StatusOK {
				t.Errorf("status %d, error %v: %s", status, err, body)
			}
		})
	}
	herd.Wait()
	if n := w.exchanges(); n != 1 {
		t.Errorf("200 first requests made %d token exchanges, want 1", n)
	}

	for _, later := range []struct {
		manifest string // not held yet, so that Harbor is asked
		revoked  bool
		want     int
	}{
		{"/v2/team-a/artifact/manifests/1.0", false, 0},
		{"/v2/team-a/multi/manifests/1.0", true, 1},
	} {
		w.harbor.ResetRequests()
		if later.revoked {
			w.harbor.RevokeTokens()
		}
		if status, body, err := get("http://" + w.registry + later.manifest); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, error %v: %s", status, err, body)
		}
		if n := w.exchanges(); n != later.want {
			t.Errorf("%s, tokens revoked %t: %d token exchanges, want %d", later.manifest, later.revoked, n, later.want)
		}
	}
}

// A refused password makes two exchanges, with scope and without, one clear line,
// a metric and a 502 for what is not held; then nothing until the back-off ends or the
// secret changes. What is held is served.
func TestRefusedPassword(t *testing.T) {
	w := newWorld(t)
	const manifest, cold = "/v2/team-a/app/manifests/1.0", "/v2/team-a/multi/manifests/1.0"
	if status, _, err := get("http://" + w.registry + manifest); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, error %v", status, err) // so that there was a token, and a secret to look for
	}
	w.harbor.SetPassword(robotName, "another-password")
	w.harbor.RevokeTokens()
	w.harbor.ResetRequests()
	for range 10 {
		status, body, err := get("http://" + w.registry + cold)
		if err != nil || status != http.StatusBadGateway || !strings.Contains(string(body), `"code":"UNAVAILABLE"`) {
			t.Fatalf("status %d, error %v: %s", status, err, body)
		}
	}
	if n := w.exchanges(); n != 2 {
		t.Errorf("%d token exchanges, want 2", n)
	}
	if status, body, err := get("http://" + w.registry + manifest); err != nil || status != http.StatusOK {
		t.Errorf("what is held: status %d, error %v: %s", status, err, body)
	}
	if page := string(w.breakwater.metrics(t)); !strings.Contains(page, `breakwater_credential_state{state="refused",upstream="harbor"} 1`) {
		t.Error("the metrics do not tell of the refused credential")
	}
	w.harbor.SetPassword(robotName, robotPassword)
	if err := w.breakwater.stop(); err != nil {
		t.Error(err)
	}
	if log := w.breakwater.output.String(); !strings.Contains(log, "upstream refuses the credential") || !strings.Contains(log, robotName) {
		t.Errorf("no clear line in the log:\n%s", w.breakwater.output.tail(20))
	}
}
