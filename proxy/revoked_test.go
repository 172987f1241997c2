package proxy_test

import (
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// What a revocation must do to an image that is held, within a bound, and what
// brings it back.
func TestRevocations(t *testing.T) {
	const confirm, doubt = 30 * time.Second, 2*time.Minute + 30*time.Second
	for name, c := range map[string]struct {
		revoke, restore func(*harbortest.Harbor)
		bound           time.Duration // from a hit after access_ttl, or after tag_ttl where the tag is refused
		blobs           bool          // refused too
	}{
		"the robot is removed": {
			func(h *harbortest.Harbor) { h.Remove(harbortest.Puller) },
			func(h *harbortest.Harbor) {
				h.AddAccount(harbortest.Account{Name: harbortest.Puller, Password: harbortest.Password(harbortest.Puller), Pull: []string{"team-a"}})
			},
			confirm + doubt, true,
		},
		"the project is closed to it": {
			func(h *harbortest.Harbor) { h.SetRights(harbortest.Puller, nil, nil) },
			func(h *harbortest.Harbor) { h.SetRights(harbortest.Puller, []string{"team-a"}, nil) },
			confirm, true,
		},
		"a policy forbids it": {
			func(h *harbortest.Harbor) {
				h.AddProject(harbortest.Project{Name: "team-a", Policy: harbortest.RequireSignature})
			},
			func(h *harbortest.Harbor) { h.AddProject(harbortest.Project{Name: "team-a"}) },
			0, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, harbortest.Puller, nil, func(b *bubble) {
				pulled := b.pull("team-a/app", "1.0")
				manifest := pulled.Header.Get("Docker-Content-Digest")
				blob := listed(t, pulled.body)[0].digest.String()
				c.revoke(b.harbor)
				b.pass(31 * time.Minute) // access_ttl
				// The hits that notice it.
				b.send("GET /v2/team-a/app/manifests/1.0")
				b.send("GET /v2/team-a/app/blobs/" + blob)
				b.pass(c.bound + time.Second)
				tagged, byDigest := b.send("GET /v2/team-a/app/manifests/1.0"), b.send("GET /v2/team-a/app/manifests/"+manifest)
				if tagged.StatusCode == 200 || byDigest.StatusCode == 200 {
					t.Errorf("by tag %s, by digest %s\n%s", tagged.Status, byDigest.Status, b.log)
				}
				if got := b.send("GET /v2/team-a/app/blobs/" + blob); (got.StatusCode == 200) == c.blobs {
					t.Errorf("the blob: %s", got.Status)
				}
				b.reopen(harbortest.Puller)
				if got := b.send("GET /v2/team-a/app/manifests/1.0"); got.StatusCode == 200 {
					t.Errorf("a restart brought it back")
				}
				c.restore(b.harbor)
				b.pass(2 * time.Minute) // back-offs
				b.pull("team-a/app", "1.0")
				b.pull("team-a/app", manifest)
			})
		})
	}
}

func TestADeletedTag(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		b.pull("team-a/app", "1.1")
		content, err := b.harbor.Content("team-a/app")
		if err != nil {
			t.Fatal(err)
		}
		if err := content.DeleteTag("team-a/app", "1.1"); err != nil {
			t.Fatal(err)
		}
		b.pass(11 * time.Second)
		b.get(200, "GET /v2/team-a/app/manifests/1.1") // one refusal proves nothing
		b.pass(31 * time.Second)
		b.get(404, "GET /v2/team-a/app/manifests/1.1")
		b.get(404, "HEAD /v2/team-a/app/manifests/1.1")
		b.pull("team-a/app", "1.0")
		if b.events.told("denial suspected") != 1 || b.events.told("denial confirmed") != 1 {
			t.Errorf("the denials were %v", b.events.cache)
		}
	})
}

// Harbor's tokens outlive a removed robot. What was revoked must not be granted anew
// by a token from before.
func TestATokenDoesNotOutliveARevocation(t *testing.T) {
	inBubble(t, harbortest.Puller, func(p *settings) { p.AccessTTL = 5 * time.Minute }, func(b *bubble) {
		pulled := b.pull("team-a/app", "1.0")
		blob := listed(t, pulled.body)[0].digest.String()
		b.harbor.SetTokenLife(4 * time.Hour)
		b.pass(31 * time.Minute)
		b.send("GET /v2/team-a/app/blobs/" + blob) // with a token of four hours
		b.pass(time.Minute)
		b.harbor.Remove(harbortest.Puller)
		for range 10 { // access_ttl, denial_confirm, and two minutes of doubt, in hits a minute
			b.pass(time.Minute)
			b.send("GET /v2/team-a/app/blobs/" + blob)
		}
		for range 60 {
			b.pass(time.Minute)
			for _, path := range []string{"blobs/" + blob, "manifests/1.0", "manifests/" + pulled.Header.Get("Docker-Content-Digest")} {
				if got := b.send("GET /v2/team-a/app/" + path); got.StatusCode == 200 {
					t.Fatalf("%s: %s\n%v", path, got.Status, b.events.cache)
				}
			}
		}
		if n := b.events.told("denial confirmed"); n != 1 {
			t.Errorf("one revocation was confirmed %d times", n)
		}
	})
}
