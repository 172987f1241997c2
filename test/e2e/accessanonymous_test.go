//go:build e2e

package e2e

import (
	"net/http"
	"testing"
)

// Nobody has to say who they are, and who comes from elsewhere is refused.
func TestAnonymousNetworks(t *testing.T) {
	w := newAccessWorld(t)
	open := w.door(t, "127.0.0.1", `anonymous: {networks: [127.0.0.1/32]}`)
	elsewhere := w.door(t, "127.0.0.1", `anonymous: {networks: [10.0.0.0/8]}`)
	narrow := w.door(t, "127.0.0.1", `anonymous: {networks: [127.0.0.0/8]}, allow: [{pull: ["harbor.example.com/library/**"]}], hide: true`)
	w.serve(t)
	forDockerHub := w.login("jane", "Rb6wYt3kXeMz8Cu5") // which Docker sends to a mirror that asks

	for _, path := range []string{ping, appPath} {
		w.ask(t, open, path).check(t, "from 127.0.0.1", http.StatusOK)
		w.ask(t, open, path, forDockerHub.basic).check(t, "with somebody else's password", http.StatusOK)
		w.askFrom(t, "127.0.0.2", open, path).check(t, "from 127.0.0.2", http.StatusForbidden, "DENIED: ")
		refused := w.ask(t, elsewhere, path)
		refused.check(t, "from 127.0.0.1, for 10.0.0.0/8 only", http.StatusForbidden, "DENIED: ")
		if kind := refused.Header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("the refusal's Content-Type is %q", kind)
		}
		w.ask(t, elsewhere, path, forDockerHub.basic, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "10.0.0.1") }).
			check(t, "with a header that says so", http.StatusForbidden, "DENIED: ")
	}
	w.ask(t, narrow, "/v2/library/base/manifests/1.0").check(t, "what a rule allows", http.StatusOK)
	w.ask(t, narrow, appPath).check(t, "what none allows, hidden", http.StatusNotFound, "team-a/app is not known here")

	newHome(t).run(t, tool(t, "crane"), "validate", "--remote", open+"/team-a/app:1.0")
	newHome(t).fail(t, "DENIED", "", tool(t, "crane"), "manifest", elsewhere+"/team-a/app:1.0")
	w.checkRefusals(t, open, "wrong_address")
	w.checkRefusals(t, elsewhere, "wrong_address")
	w.checkRefusals(t, narrow, "not_allowed")
}
