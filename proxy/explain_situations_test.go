package proxy_test

import (
	"net/http"
	"sync"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/tokencache"
)

// situation is something that happened to an image, and what is to be said of it.
type situation struct {
	account  string // "": everything's
	image    string // as at Harbor; after @ the tag of what is asked for by its digest
	happens  func(*bubble)
	says     string // see told
	outlooks string
	refused  bool // by Harbor, for another reason than the right
	lasting  bool // what a pull adds to it in an outage is not over soon
	dearly   bool // what Harbor sends while it is asked nothing keeps the pull going: not tried with it down
}

const app = "team-a/app:1.0"

// situations are told by name.
func situations() map[string]situation {
	pullApp := func(b *bubble) { b.pull("team-a/app", "1.0"); b.pass(time.Second) }
	after := func(d time.Duration) func(*bubble) { return func(b *bubble) { pullApp(b); b.pass(d) } }
	half := func(b *bubble) {
		manifest := b.get(200, "GET /v2/team-a/app/manifests/1.0")
		b.get(200, "GET /v2/team-a/app/blobs/"+listed(b.T, manifest.body)[0].digest.String())
		b.pass(time.Second)
	}
	underway := func(b *bubble) {
		manifest := b.get(200, "GET /v2/team-a/big/manifests/1.0")
		children := listed(b.T, manifest.body)
		b.get(200, "GET /v2/team-a/big/blobs/"+children[0].digest.String())
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: 256 << 10})
		var reading sync.WaitGroup
		reading.Go(func() { b.visit("/v2/team-a/big/blobs/"+children[1].digest.String(), 0) })
		b.ending = append(b.ending, func() error { reading.Wait(); return nil })
		b.pass(2 * time.Second)
	}
	closed := func(pulled func(*bubble)) func(*bubble) { // its project; another pull has noticed it
		return func(b *bubble) {
			pulled(b)
			b.harbor.SetRights(harbortest.Puller, nil, nil)
			b.pass(31 * time.Minute) // the token ends
			b.get(404, "GET /v2/team-a/other/manifests/1.0")
		}
	}
	return map[string]situation{
		"never pulled": {image: app, happens: func(*bubble) {}, says: "tag unknown", outlooks: "needs 1 tag unknown!"},
		"fresh":        {image: app, happens: pullApp, says: "tag fresh, manifest hit, blob hit, blob hit, blob hit", outlooks: "here down"},
		"stale":        {image: app, happens: after(time.Minute), says: "tag stale, manifest hit, blob hit, blob hit, blob hit", outlooks: "down needs 1 tag stale"},
		"expired": {
			image: app, happens: after(169 * time.Hour), says: "tag expired, manifest hit, blob hit, blob hit, blob hit",
			outlooks: "needs 1 tag expired!",
		},
		"by digest": {
			image:   "team-a/app@1.0",
			happens: after(169 * time.Hour), says: "manifest hit, blob hit, blob hit, blob hit", outlooks: "here down",
		},
		"a digest that nobody has pulled": {
			image: "team-a/app@1.0", happens: func(*bubble) {}, says: "manifest miss", outlooks: "needs 1 manifest miss!",
		},
		"a policy forbids it": {
			image: app, refused: true, happens: func(b *bubble) {
				pullApp(b)
				b.harbor.AddProject(harbortest.Project{Name: "team-a", Policy: harbortest.RequireSignature})
				b.pass(time.Minute)
				b.send("GET /v2/team-a/app/manifests/1.0")
			},
			says:     "tag suspended, manifest suspended, blob hit, blob hit, blob hit",
			outlooks: "needs 1 tag suspended! 1 manifest suspended!",
		},
		"refused once": {
			image: app, happens: func(b *bubble) {
				pullApp(b)
				b.untag("team-a/app", "1.0")
				b.pass(time.Minute)
				b.get(200, "GET /v2/team-a/app/manifests/1.0")
			},
			says:     "tag stale suspected refused, manifest hit, blob hit, blob hit, blob hit",
			outlooks: "here down", // upstream's word is remembered, for so long as a tag is fresh
		},
		"refused for good": {
			image: app, refused: true, happens: func(b *bubble) {
				pullApp(b)
				b.untag("team-a/app", "1.0")
				b.pass(time.Minute)
				b.get(200, "GET /v2/team-a/app/manifests/1.0")
				b.pass(time.Minute)
			},
			says:     "tag suspended, manifest suspended, blob hit, blob hit, blob hit",
			outlooks: "needs 1 tag suspended! 1 manifest suspended!",
		},
		"unknown a moment ago": {
			image: "team-a/app:none", refused: true, happens: func(b *bubble) { b.get(404, "GET /v2/team-a/app/manifests/none") },
			says: "tag unknown refused", outlooks: "needs 1 tag unknown!",
		},
		"the right is gone": {
			account: harbortest.Puller, image: app, happens: func(b *bubble) {
				pullApp(b)
				b.harbor.SetRights(harbortest.Puller, nil, nil)
				b.pass(31 * time.Minute)
				b.send("GET /v2/team-a/app/manifests/1.0")
				b.pass(2 * time.Minute)
			},
			says: "revoked, denied for revoked, tag unknown", outlooks: "denied needs 1 tag unknown!",
		},
		"no right": {
			account: harbortest.Puller, image: "team-b/secret:1.0",
			happens: func(b *bubble) { b.get(404, "GET /v2/team-b/secret/manifests/1.0") },
			says:    "denied for nothing, tag unknown", outlooks: "denied needs 1 tag unknown!",
		},
		"no right to what is held": {
			account: harbortest.Puller, image: app, lasting: true, happens: closed(pullApp),
			says:     "denied for nothing, tag stale, manifest hit, blob hit, blob hit, blob hit",
			outlooks: "down needs 1 tag stale", // one refusal proves nothing
		},
		"no right to what is held, by digest": {
			account: harbortest.Puller, image: "team-a/app@1.0", lasting: true, happens: closed(pullApp),
			says:     "denied for nothing, manifest hit, blob hit, blob hit, blob hit",
			outlooks: "here down",
		},
		"no right to the rest": {
			account: harbortest.Puller, image: app, lasting: true, happens: closed(half),
			says:     "denied for nothing, tag stale, manifest hit, blob hit, blob miss, blob miss",
			outlooks: "denied needs 1 tag stale 2 blob miss!",
		},
		"no right to what is on its way": {
			account: harbortest.Puller, image: "team-a/big:1.0", dearly: true, happens: func(b *bubble) {
				underway(b)
				b.harbor.SetRights(harbortest.Puller, nil, nil)
				b.direct.Distrust(tokencache.Scope{Type: "repository", Name: "team-a/big", Actions: []string{"pull"}})
				b.get(404, "GET /v2/team-a/other/manifests/1.0")
			},
			says:     "denied for nothing, tag fresh, manifest hit, blob hit, blob filling",
			outlooks: "needs 1 blob filling!", // it was given, and comes
		},
		"the credential is refused": {
			account: harbortest.Idle, image: app,
			happens: func(b *bubble) { b.get(502, "GET /v2/team-a/app/manifests/1.0") },
			says:    "denied for credential, tag unknown", outlooks: "denied needs 1 tag unknown!",
		},
		"half of it": {
			image: app, happens: half,
			says:     "tag fresh, manifest hit, blob hit, blob miss, blob miss",
			outlooks: "needs 2 blob miss!",
		},
		"of another repository": {
			image: "team-a/nested/deep/name:1.0", happens: func(b *bubble) {
				b.pull("library/base-oci", "1.0")
				b.harbor.AddFault(harbortest.Fault{Match: func(r *http.Request) bool { return r.Method == "HEAD" && harbortest.Blobs(r) }, Status: 503})
				b.get(200, "GET /v2/team-a/nested/deep/name/manifests/1.0")
				b.pass(time.Second)
				b.clearFaults()
			},
			says:     "tag fresh, manifest hit, blob miss, blob unlinked",
			outlooks: "needs 1 blob miss! 1 blob unlinked!",
		},
		"blocked": {
			image: app, happens: func(b *bubble) {
				pullApp(b)
				manifest := b.get(200, "GET /v2/team-a/app/manifests/1.0")
				if err := b.cache.Block(listed(b.T, manifest.body)[1].digest); err != nil {
					b.Fatal(err)
				}
			},
			says:     "tag fresh, manifest hit, blob hit, blob blocked, blob hit",
			outlooks: "blocked",
		},
		"on its way": {
			image: "team-a/big:1.0", dearly: true, happens: underway,
			says:     "tag fresh, manifest hit, blob hit, blob filling",
			outlooks: "needs 1 blob filling!",
		},
		"one platform of two": {
			image: "hub-proxy/library/freshmulti:1.0", happens: func(b *bubble) {
				index := b.get(200, "GET /v2/hub-proxy/library/freshmulti/manifests/1.0")
				b.pull("hub-proxy/library/freshmulti", listed(b.T, index.body)[0].digest.String())
				b.pass(time.Second)
			},
			says:     "tag fresh, manifest hit, manifest hit, blob hit, blob hit, manifest miss",
			outlooks: "linux/amd64 here down, linux/arm64 needs 1 manifest miss!",
		},
		"a poorer index": {
			image: "hub-proxy/library/trim:1", happens: func(b *bubble) {
				b.pull("hub-proxy/library/trim", "1")
				poorer, err := harbortest.Index("poorer", harbortest.DockerImage, 5259, "amd64")
				if err != nil {
					b.Fatal(err)
				}
				hub, err := b.harbor.Upstream("hub-proxy")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := hub.PushIndex("library/trim", "1", poorer); err != nil {
					b.Fatal(err)
				}
				b.pass(16 * time.Minute)
				b.get(200, "GET /v2/hub-proxy/library/trim/manifests/1")
				b.pass(time.Minute)
			},
			says:     "tag fresh next, manifest hit, manifest hit, blob hit, blob hit, manifest hit, blob hit, blob hit",
			outlooks: "linux/amd64 here down, linux/arm64 here down",
		},
	}
}
