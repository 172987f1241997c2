package explain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"breakwater/internal/explain"
	"breakwater/proxy"

	"github.com/opencontainers/go-digest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func in(d time.Duration) time.Time { return now.Add(d) }

func sum(text string) digest.Digest { return digest.FromString(text) }

// object is one that is served from here, unless changed.
func object(kind, name string, size int64, change ...func(*proxy.Object)) proxy.Object {
	o := proxy.Object{Kind: kind, Digest: sum(name), Size: size, State: proxy.ObjectHit, Held: true, Linked: true}
	for _, c := range change {
		c(&o)
	}
	return o
}

func missing(o *proxy.Object) { o.State, o.Held, o.Linked = proxy.ObjectMiss, false, false }

func of(platform string, children ...proxy.Object) func(*proxy.Object) {
	return func(o *proxy.Object) { o.Platform, o.Children = platform, children }
}

// image is a manifest with its blobs.
func image(children ...proxy.Object) *proxy.Object {
	o := object("manifest", "image", 1201, of("", children...))
	return &o
}

// nginx is a report on an image of a proxy-cache project, as far as most have it in
// common.
func nginx(tag *proxy.Tagged, manifest *proxy.Object, outlooks ...proxy.Outlook) explain.Report {
	return explain.Report{
		Image: "docker.io/library/nginx:1.27",
		Explanation: proxy.Explanation{
			At: now,
			Route: proxy.Routed{
				Name: "docker.io", By: proxy.ByName, Upstream: "harbor", Origin: "https://harbor.example.com:443",
				Repository: "hub-proxy/library/nginx", Names: []string{"docker.io/library/nginx"}, ProxyCache: true,
			},
			Right: proxy.Right{
				Scope: "repository:hub-proxy/library/nginx:pull", Grant: proxy.GrantPull, Account: "robot$breakwater",
				Since: ago(4 * time.Minute), Until: in(26 * time.Minute), Credential: "accepted",
			},
			Tag: tag, Manifest: manifest, Outlooks: outlooks,
		},
		Listeners: []explain.Listener{
			{Address: ":5000", Mode: "anonymous", Default: "docker.io", Who: "whoever comes from 10.42.0.0/16, without credentials", Allowed: true},
			{Address: ":5443", Mode: "token", Who: "whoever brings a token of https://kubernetes.default.svc", Allowed: true,
				Rules: []string{"allow[0]: subjects system:serviceaccount:ci-*:*"}},
			{Address: ":5444", Mode: "password", Who: "whoever has a password in /etc/breakwater/htpasswd"},
		},
	}
}

func record(state string, checked time.Duration) *proxy.Tagged {
	return &proxy.Tagged{
		Name: "1.27", State: state, Digest: sum("image"), MediaType: "application/vnd.oci.image.manifest.v1+json",
		Checked: ago(checked), Fresh: ago(checked - 15*time.Minute), Stale: ago(checked - 168*time.Hour),
	}
}

// reports are one for each golden file.
func reports() map[string]explain.Report {
	config, layer := object("blob", "config", 7169), object("blob", "layer", 28<<20)

	fresh := nginx(record(proxy.RecordFresh, 3*time.Minute), image(config, layer), proxy.Outlook{Here: true, Down: true})

	stale := nginx(record(proxy.RecordStale, 3*time.Hour), image(config, layer),
		proxy.Outlook{Down: true, Needs: []proxy.Need{{What: proxy.NeedTag, State: proxy.RecordStale, Count: 1}}})
	stale.Right.Due, stale.Right.Since = true, ago(40*time.Minute)
	stale.Tag.Next, stale.Tag.NextSince, stale.Tag.NextAt = sum("poorer"), ago(5*time.Minute), in(10*time.Minute)
	stale.Tag.Refused = "MANIFEST_UNKNOWN: upstream harbor refuses it, or does not know it"

	forever := nginx(record(proxy.RecordStale, 300*time.Hour), image(config, layer),
		proxy.Outlook{Down: true, Needs: []proxy.Need{{What: proxy.NeedTag, State: proxy.RecordStale, Count: 1}}})
	forever.Tag.Stale = time.Time{}
	forever.Right.Grant, forever.Right.Account, forever.Right.Until = proxy.GrantUnknown, "admin", time.Time{}

	suspended := nginx(record(proxy.RecordSuspended, 30*time.Hour), image(config, layer), proxy.Outlook{Needs: []proxy.Need{
		{What: proxy.NeedTag, State: proxy.RecordSuspended, Count: 1, Must: true},
		{What: "manifest", State: proxy.ObjectSuspended, Count: 1, Must: true},
	}})
	suspended.Manifest.State, suspended.Manifest.Linked = proxy.ObjectSuspended, false
	suspended.Right.Denied, suspended.Outlooks[0].Denied = proxy.DeniedRevoked, true
	suspended.Right.Grant, suspended.Right.Revoked, suspended.Right.Suspected, suspended.Right.Until = proxy.GrantUnasked, true, true, time.Time{}
	suspended.Right.Since = time.Time{}

	never := nginx(&proxy.Tagged{Name: "1.27", State: proxy.RecordUnknown}, nil,
		proxy.Outlook{Needs: []proxy.Need{{What: proxy.NeedTag, State: proxy.RecordUnknown, Count: 1, Must: true}}})
	never.Right = proxy.Right{
		Scope: never.Right.Scope, Grant: proxy.GrantUnasked, Credential: "refused", Denied: proxy.DeniedCredential,
		Fault: `https://harbor.example.com refuses the credential of "robot$breakwater"`,
	}
	never.Outlooks[0].Denied = true
	never.Route.By, never.Route.Complete = proxy.ByDefault, true

	unasked := nginx(&proxy.Tagged{Name: "1.27", State: proxy.RecordUnknown}, nil,
		proxy.Outlook{Needs: []proxy.Need{{What: proxy.NeedTag, State: proxy.RecordUnknown, Count: 1, Must: true}}})
	unasked.Right = proxy.Right{Scope: unasked.Right.Scope, Grant: proxy.GrantUnasked, Credential: "accepted"}

	noRight := nginx(unasked.Tag, nil, unasked.Outlooks[0])
	noRight.Right.Grant, noRight.Right.Until, noRight.Right.Denied = proxy.GrantNothing, time.Time{}, proxy.DeniedNothing
	noRight.Outlooks[0].Denied = true
	noRight.Route.Names = []string{"docker.example.com:8443/library/nginx", "harbor.example.com/hub-proxy/library/nginx"}

	noRightHeld := nginx(stale.Tag, stale.Manifest, stale.Outlooks[0])
	noRightHeld.Right = noRight.Right

	partial := nginx(record(proxy.RecordExpired, 200*time.Hour), image(
		object("blob", "config", 7169, func(o *proxy.Object) { o.State, o.Linked, o.Suspected = proxy.ObjectUnlinked, false, true }),
		object("blob", "arriving", 28<<20, func(o *proxy.Object) { o.State, o.Held, o.Arrived = proxy.ObjectFilling, false, 12<<20 }),
		object("blob", "another's", 5<<20, func(o *proxy.Object) { o.State, o.Held, o.Linked = proxy.ObjectFilling, false, false }),
		object("blob", "gone", 1<<30, missing),
		object("blob", "refused", -1, missing, func(o *proxy.Object) { o.Refused = "BLOB_UNKNOWN: it is unknown upstream" }),
	), proxy.Outlook{Needs: []proxy.Need{
		{What: proxy.NeedTag, State: proxy.RecordExpired, Count: 1, Must: true},
		{What: "blob", State: proxy.ObjectUnlinked, Count: 1, Must: true},
		{What: "blob", State: proxy.ObjectFilling, Count: 2, Size: 21 << 20, Must: true},
		{What: "blob", State: proxy.ObjectMiss, Count: 2, Size: 1 << 30, Must: true},
	}})
	partial.Route.By = proxy.ByPath
	partial.Tag.Suspected = true

	platforms := nginx(nil, image(
		object("manifest", "amd64", 1201, of("linux/amd64", config, layer)),
		object("manifest", "arm64", 1203, missing, of("linux/arm64/v8")),
		object("manifest", "ppc64le", 1203, missing, of("linux/ppc64le")),
		object("manifest", "s390x", 1202, of("linux/s390x", object("blob", "bad", 1<<20, func(o *proxy.Object) { o.State = proxy.ObjectBlocked }))),
	),
		proxy.Outlook{Platform: "linux/amd64", Here: true, Down: true},
		proxy.Outlook{Platform: "linux/arm64/v8", Needs: []proxy.Need{{What: "manifest", State: proxy.ObjectMiss, Count: 1, Size: 1203, Must: true}}},
		proxy.Outlook{Platform: "linux/ppc64le", Needs: []proxy.Need{{What: "manifest", State: proxy.ObjectMiss, Count: 1, Size: 1203, Must: true}}},
		proxy.Outlook{Platform: "linux/s390x", Blocked: true},
	)
	platforms.Image = "docker.io/library/nginx@" + sum("image").String()
	platforms.Manifest.More = 3
	platforms.Right = proxy.Right{Scope: platforms.Right.Scope, Grant: proxy.GrantOpen, Since: now}

	unknown := explain.Report{Image: "gcr.io/acme/app:latest", Explanation: proxy.Explanation{
		At: now, Route: proxy.Routed{Refused: "gcr.io is not a registry that is served here", Open: []string{"docker.io", "harbor.example.com", "quay.io"}},
	}}

	return map[string]explain.Report{
		"fresh-hit": fresh, "stale": stale, "stale-forever": forever, "suspended": suspended, "never-pulled": never,
		"unasked": unasked, "no-right": noRight, "no-right-held": noRightHeld,
		"partial": partial, "platforms": platforms, "unknown-route": unknown,
	}
}

// Each report is told as its golden file has it; -update writes them anew.
func TestRender(t *testing.T) {
	for name, report := range reports() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := explain.Render(&got, report); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s (%v):\n%s\nwant\n%s", golden, err, got.Bytes(), want)
			}
		})
	}
}

// What travels as JSON is told as if it had not.
func TestReportsTravel(t *testing.T) {
	for name, report := range reports() {
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		var back explain.Report
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, report) {
			t.Errorf("%s: %v\n%+v\nwant\n%+v", name, err, back, report)
		}
	}
}

// broken refuses to be written to.
type broken struct{}

var errBroken = errors.New("broken pipe")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestRenderTellsOfALostReader(t *testing.T) {
	if err := explain.Render(broken{}, reports()["fresh-hit"]); !errors.Is(err, errBroken) {
		t.Errorf("Render = %v, want the writer's error", err)
	}
}
