package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"breakwater/internal/harbortest"
)

func TestRefusedPassword(t *testing.T) {
	w := newWorld(t, account)
	w.harbor.SetPassword(account, "rotated-meanwhile")
	a := w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.0")
	if !strings.Contains(string(a.body), "credential") {
		t.Errorf("the answer does not say why: %s", a.body)
	}
	if n := w.tokens(); n != 2 {
		t.Errorf("%d token exchanges, want one with scope and one without:\n%s", n, strings.Join(w.saw(), "\n"))
	}
	if !strings.Contains(w.log.String(), `refuses the credential`) || !strings.Contains(w.log.String(), account) {
		t.Errorf("no clear line in the log:\n%s", w.log)
	}
	if len(w.events.states) == 0 || w.events.states[len(w.events.states)-1] != "refused" {
		t.Errorf("the credential's states were %v", w.events.states)
	}

	w.harbor.ResetRequests()
	for range 20 {
		w.refused(502, "UNAVAILABLE", "GET /v2/team-b/secret/manifests/1.0")
	}
	w.expect() // nothing until the back-off ends …

	w.mu.Lock()
	w.password = "rotated-meanwhile" // … or the secret changes
	w.mu.Unlock()
	w.get(200, "GET /v2/team-a/app/manifests/1.0")
}

func TestLackOfRightsIsNeverA401(t *testing.T) {
	w := newWorld(t, harbortest.Puller)
	layer := w.layer("team-a/app")
	w.refused(404, "MANIFEST_UNKNOWN", "GET /v2/team-b/secret/manifests/1.0")
	w.refused(404, "BLOB_UNKNOWN", "GET /v2/team-b/secret/blobs/"+layer)
	w.refused(404, "NAME_UNKNOWN", "GET /v2/team-b/secret/tags/list")
	w.refused(404, "NAME_UNKNOWN", "GET /v2/no-such-project/x/tags/list")
	w.refused(404, "MANIFEST_UNKNOWN", "GET /v2/team-a/app/manifests/nope")
	w.refused(404, "MANIFEST_UNKNOWN", "GET /v2/team-a/nothing/manifests/1.0")
	w.refused(404, "BLOB_UNKNOWN", "GET /v2/team-a/app/blobs/sha256:"+strings.Repeat("0", 64))
	w.get(200, "GET /v2/library/base/manifests/1.0") // public
}

// Whatever part of Harbor is down, the client is told that it is down, never
// that something is not there, and the next pull works.
func TestPartsDown(t *testing.T) {
	for _, part := range []harbortest.Part{harbortest.Storage, harbortest.Core, harbortest.TokenService} {
		t.Run(strings.ReplaceAll(string(part), " ", "_"), func(t *testing.T) {
			w := newWorld(t, account)
			w.harbor.SetDown(part, true)
			a := w.refused(503, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.0")
			if a.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			w.harbor.SetDown(part, false)
			w.eventually("GET /v2/team-a/app/manifests/1.0")
		})
	}
}

// With its database down Harbor refuses everybody, in the words of a refusal.
func TestDatabaseDown(t *testing.T) {
	w := newWorld(t, account)
	w.warm("team-a/app")
	w.harbor.SetDown(harbortest.Database, true)
	a := w.send("GET /v2/team-a/app/manifests/1.0")
	if a.StatusCode != 502 && a.StatusCode != 503 {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if strings.Contains(string(a.body), "postgres") {
		t.Errorf("the client is told of Harbor's insides: %s", a.body)
	}
	w.harbor.SetDown(harbortest.Database, false)
	w.eventually("GET /v2/team-a/app/manifests/1.0")
}

// What the token service refuses to say of one project closes no other's door.
func TestOneScopesFaultIsItsOwn(t *testing.T) {
	w := newWorld(t, account)
	w.warm("team-a/app")
	w.harbor.AddFault(harbortest.Fault{Status: 403, Match: func(r *http.Request) bool {
		return harbortest.Tokens(r) && strings.Contains(r.URL.RawQuery, "poison")
	}})
	w.refused(503, "UNAVAILABLE", "GET /v2/poison/x/tags/list")
	w.get(200, "GET /v2/team-b/secret/manifests/1.0")
}

// eventually asks until the answer is 200: a back-off has to end first.
func (w *world) eventually(request string) {
	w.Helper()
	var a answer
	for range 100 {
		if a = w.send(request); a.StatusCode == 200 {
			return
		}
		<-w.tick()
	}
	w.Fatalf("%s: still %s %s\n%s", request, a.Status, a.body, w.log)
}

func TestOneLineTellsWhatHappened(t *testing.T) {
	w := newWorld(t, harbortest.Puller)
	w.get(404, "GET /v2/team-a/app/manifests/nope", "X-Request-Id: from-ci-42", "User-Agent: docker/20.10")
	w.events.last(t)
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"msg": "request", "request_id": "from-ci-42", "client": "127.0.0.1", "method": "GET", "kind": "manifest",
		"repository": "team-a/app", "reference": "nope", "status": 404., "cache": "miss", "upstream": "harbor",
		"upstream_status": 404., "user_agent": "docker/20.10",
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if id, _ := line["upstream_request_id"].(string); id == "" {
		t.Error("Harbor's own request id is missing")
	}
	if why, _ := line["error"].(string); !strings.Contains(why, "upstream answered 404") {
		t.Errorf("error is %q", why)
	}
}
