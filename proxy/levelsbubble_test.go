package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/proxy"

	"github.com/golang-jwt/jwt/v5"
)

// bound is how long after a right was taken away its content is refused, at a level that
// is asked every minute: access_ttl, denial_confirm, and where a credential is refused
// two minutes, in steps of denial_confirm.
func bound(p proxy.Policy) time.Duration {
	return p.AccessTTL + p.DenialConfirm + 2*time.Minute + p.DenialConfirm
}

// What upstream took away is refused at a node within the bounds of both levels, blobs by
// digest too, though the two of them have all of it, and no token service lies between.
func TestRevocationsReachTheNode(t *testing.T) {
	for name, c := range map[string]struct {
		revoke, restore func(*harbortest.Harbor)
		status          int // by digest, after that
	}{
		"the robot is removed": {
			func(h *harbortest.Harbor) { h.Remove(harbortest.Puller) },
			func(h *harbortest.Harbor) {
				h.AddAccount(harbortest.Account{Name: harbortest.Puller, Password: harbortest.Password(harbortest.Puller), Pull: []string{"team-a"}})
			},
			502,
		},
		"the project is closed to it": {
			func(h *harbortest.Harbor) { h.SetRights(harbortest.Puller, nil, nil) },
			func(h *harbortest.Harbor) { h.SetRights(harbortest.Puller, []string{"team-a"}, nil) },
			404,
		},
	} {
		for _, proxyCache := range []bool{false, true} { // where a 404 alone would say nothing
			t.Run(fmt.Sprintf("%s/%t", name, proxyCache), func(t *testing.T) {
				t.Parallel()
				inBubble(t, harbortest.Puller, func(s *settings) { s.routes[0].ProxyCache = proxyCache }, func(b *bubble) {
					n, l := b.node(nil)
					pulled := n.pull("team-a/app", "1.0")
					byDigest := []string{"/v2/team-a/app/manifests/" + pulled.Header.Get("Docker-Content-Digest")}
					for _, child := range listed(t, pulled.body) {
						byDigest = append(byDigest, "/v2/team-a/app/blobs/"+child.digest.String())
					}
					b.pass(20 * time.Minute)
					c.revoke(b.harbor)
					l.questions()
					var asked []string // while it is served
					for began := time.Now(); time.Since(began) < bound(b.policy.Policy)+bound(n.policy.Policy); b.pass(time.Minute) {
						if n.send("GET "+byDigest[1]).StatusCode == 200 {
							asked = append(asked, l.questions()...)
						}
					}
					if len(asked) > 12 { // two in access_ttl, and what it takes to confirm a refusal
						t.Errorf("of hits came %q", asked)
					}
					for _, path := range append(byDigest, "/v2/team-a/app/manifests/1.0") {
						if got := n.send("GET " + path); got.StatusCode != c.status {
							t.Errorf("%s: %s, want %d\n%s", path, got.Status, c.status, n.log)
						}
					}
					if got := n.events.told("denial confirmed"); got != 1 {
						t.Errorf("confirmed %d times\n%s", got, n.log)
					}
					c.restore(b.harbor)
					b.pass(2 * time.Minute) // back-offs
					n.pull("team-a/app", "1.0")
				})
			})
		}
	}
}

// What the level between says of a blob: when that is believed, and how far.
func TestWhatALevelSays(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		beyond   bool
		lasts    time.Duration
		blob     int // at the end
		manifest bool
	}{
		"its credential is refused, for a while": {502, true, 100 * time.Second, 200, true},
		"its credential is refused":              {502, true, 5 * time.Minute, 502, false},
		"something is wrong there":               {502, false, 5 * time.Minute, 200, true},
		"it may not have that":                   {404, true, 2 * time.Minute, 404, false},
		"that is gone":                           {404, false, 2 * time.Minute, 404, true},
		"that was not there, for a moment":       {404, false, 20 * time.Second, 200, true},
		"the node may not have that":             {403, false, 2 * time.Minute, 403, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, account, nil, func(b *bubble) {
				n, l := b.node(nil)
				pulled := n.pull("team-a/app", "1.0")
				manifest := "GET /v2/team-a/app/manifests/" + pulled.Header.Get("Docker-Content-Digest")
				blob := "GET /v2/team-a/app/blobs/" + listed(t, pulled.body)[0].digest.String()
				b.pass(16 * time.Minute)
				l.set(func(l *level) { l.status, l.beyond = c.status, c.beyond })
				n.get(200, blob) // which makes it ask
				b.pass(c.lasts)
				if c.blob == 200 {
					l.set(func(l *level) { l.status = 0 })
					b.pass(5 * time.Minute)
				}
				n.get(c.blob, blob)
				l.set(func(l *level) { l.absent = true })
				if got := n.send(manifest).StatusCode; (got == 200) != c.manifest {
					t.Errorf("the manifest: %d", got)
				}
			})
		})
	}
}

// A tag that is deleted is refused at the node, and nothing else of the repository is.
func TestADeletedTagReachesTheNode(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		n, _ := b.node(nil)
		n.pull("team-a/app", "1.0")
		n.pull("team-a/app", "1.1")
		content, err := b.harbor.Content("team-a/app")
		if err != nil {
			t.Fatal(err)
		}
		if err := content.DeleteTag("team-a/app", "1.1"); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			b.pass(11 * time.Second)
			n.send("GET /v2/team-a/app/manifests/1.1")
		}
		n.get(404, "GET /v2/team-a/app/manifests/1.1")
		n.pull("team-a/app", "1.0")
		if revoked := n.events.told("denial lifted"); revoked != 0 {
			t.Errorf("more than the tag was refused: %v", n.events.cache)
		}
	})
}

// A node's own token that is refused is no outage: what it holds is refused in the end.
func TestARefusedNode(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		l, i := issuedBy(b)
		b.gateOf(l)
		token := i.token(alicesToken, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(24 * time.Hour).Unix() })
		n, _ := b.node(func() (redact.Secret, error) { return redact.Secret(token), nil })
		pulled := n.pull("team-a/app", "1.0")
		blob := "/v2/team-a/app/blobs/" + listed(t, pulled.body)[0].digest.String()
		if r := n.explain(app).Right; r.Grant != proxy.GrantUnknown || r.Denied != "" {
			t.Errorf("a token that is taken: %+v", r)
		}
		good := token
		token = newIssuer(t).token(alicesToken)
		for began := time.Now(); time.Since(began) < bound(n.policy.Policy); b.pass(time.Minute) {
			n.send("GET " + blob)
		}
		n.refused(502, "UNAVAILABLE", "GET "+blob)
		if e := n.explain(app); e.Right.Denied != proxy.DeniedCredential || !e.Outlooks[0].Denied {
			t.Errorf("a token that is refused: %+v", e)
		}
		token = good
		n.get(200, "GET "+blob)
	})
}

// Denied is not down: while Harbor's database is, for longer than all doubt, a node goes
// on serving, whether the level between holds the image or has lost it.
func TestAnOutageDoesNotReachTheNode(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost=%t", lost), func(t *testing.T) {
			t.Parallel()
			inBubble(t, account, nil, func(b *bubble) {
				n, l := b.node(nil)
				pulled := n.pull("team-a/app", "1.0")
				blob := "/v2/team-a/app/blobs/" + listed(t, pulled.body)[0].digest.String()
				if lost {
					b.dir = t.TempDir()
					b.reopen(account)
				}
				b.harbor.SetDown(harbortest.Database, true)
				for range 30 {
					b.pass(3 * time.Minute)
					n.get(200, "GET /v2/team-a/app/manifests/1.0")
					n.get(200, "GET "+blob)
				}
				l.set(func(l *level) { l.absent = true })
				for range 30 {
					b.pass(3 * time.Minute)
					n.get(200, "GET /v2/team-a/app/manifests/1.0")
					n.get(200, "GET "+blob)
				}
				if n.events.told("denial confirmed") > 0 {
					t.Errorf("%v", n.events.cache)
				}
			})
		})
	}
}

// A tag is as old at the node as its record at the level between: tag_ttl is not counted
// twice, and what is stale there is not fresh here.
func TestATagsAgeGoesAlong(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		const tag = "GET /v2/team-a/app/manifests/1.0"
		n, _ := b.node(nil)
		was := b.get(200, tag).Header.Get("Docker-Content-Digest")
		b.pass(9 * time.Second)
		if got := n.get(200, tag); got.Header.Get("Age") != "9" || got.Header.Get("Docker-Content-Digest") != was {
			t.Errorf("Age %q, %s", got.Header.Get("Age"), got.Header.Get("Docker-Content-Digest"))
		}
		made, err := harbortest.Image("moved", 2000)
		if err != nil {
			t.Fatal(err)
		}
		moved, err := b.harbor.Push("team-a/app", "1.0", made)
		if err != nil {
			t.Fatal(err)
		}
		b.pass(2 * time.Second)
		if got := n.get(200, tag); got.Header.Get("Docker-Content-Digest") != moved.String() {
			t.Errorf("11 s after it was %s it still is", was)
		}

		b.harbor.SetDown(harbortest.Core, true)
		b.pass(time.Hour)
		for range 2 {
			got := n.get(200, tag)
			if age := got.Header.Get("Age"); age != "3600" || !strings.HasPrefix(got.Header.Get("Cache-Status"), "breakwater; hit; detail=stale, breakwater; fwd=stale") {
				t.Errorf("Age %q, Cache-Status %q", age, got.Header.Get("Cache-Status"))
			}
		}
		b.pass(168 * time.Hour) // stale_if_error
		n.refused(503, "UNAVAILABLE", tag)
	})
}

// A transfer between levels that breaks off goes on where it was, and ns stays with the
// client's own Breakwater.
func TestATransferBetweenLevelsGoesOn(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		n, l := b.node(nil)
		manifest := n.get(200, "GET /v2/team-a/big/manifests/1.0?ns=harbor.example.com")
		layer := listed(t, manifest.body)[1].digest.String()
		l.questions()
		l.set(func(l *level) { l.cut = 1 << 20 })
		if got := n.get(200, "GET /v2/team-a/big/blobs/"+layer+"?ns=harbor.example.com"); got.ContentLength != 2<<20 || len(got.body) != 2<<20 {
			t.Errorf("%d bytes of %d", len(got.body), got.ContentLength)
		}
		blob := "GET /v2/harbor.example.com/team-a/big/blobs/" + layer
		if asked, want := l.questions(), []string{blob, blob + " bytes=1048576-"}; !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
		// A part of what the level between holds, to a node that holds nothing.
		n.get(206, "GET /v2/team-a/app/blobs/"+listed(t, n.get(200, "GET /v2/team-a/app/manifests/1.0").body)[1].digest.String(), "Range: bytes=5-9")
	})
}
