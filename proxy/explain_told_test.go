package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy"
	"breakwater/proxy/registry"
	"breakwater/tokencache"
)

// A name leads where it leads a client.
func TestExplainTellsTheRoute(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		for what, tt := range map[string]struct {
			name, ns, usual string
			want            string // by, route, repository, or what is said of none
		}{
			"by name":            {"library/fresh", "docker.io", "", "name docker.io hub-proxy/library/fresh"},
			"an alias":           {"fresh", "index.docker.io", "", "name docker.io hub-proxy/library/fresh"},
			"by path":            {"docker.io/library/fresh", "breakwater.test", "", "path docker.io hub-proxy/library/fresh"},
			"by default":         {"team-a/app", "", "harbor.example.com", "default harbor.example.com team-a/app"},
			"Docker's default":   {"fresh", "", "docker.io", "default docker.io hub-proxy/library/fresh"},
			"into a proxy-cache": {"hub-proxy/library/fresh", "harbor.example.com", "", "name harbor.example.com hub-proxy/library/fresh"},
			"of no route":        {"x/y", "gcr.io", "harbor.example.com", `NAME_UNKNOWN: "gcr.io" is not a registry that is served here`},
			"without a default":  {"x/y", "", "", "NAME_UNKNOWN: x/y names no registry"},
		} {
			request := registry.Request{Kind: registry.KindManifest, Method: http.MethodGet, Name: tt.name, Tag: "1.0", NS: tt.ns}
			e, err := b.proxy.Explain(b.Context(), request, tt.usual)
			if err != nil {
				t.Fatal(err)
			}
			r := e.Route
			if r.Refused != "" {
				if !strings.HasPrefix(r.Refused, tt.want) || !slices.Equal(r.Open, []string{"docker.io", "harbor.example.com"}) || r.Name != "" || e.Tag != nil || e.Outlooks != nil {
					t.Errorf("%s: %+v, want %s", what, e, tt.want)
				}
				continue
			}
			proxied := strings.HasPrefix(r.Repository, "hub-proxy/")
			if got := r.By + " " + r.Name + " " + r.Repository; got != tt.want || r.Upstream != "harbor" || r.Origin == "" || r.ProxyCache != proxied {
				t.Errorf("%s: %+v, want %s", what, r, tt.want)
			}
			if n := len(r.Names); n != 1 && !proxied || n != 2 && proxied {
				t.Errorf("%s: its names are %v", what, r.Names)
			}
		}
	})
}

// Times and sizes are those by which clients are served.
func TestExplainTellsNumbers(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		if got, want := b.explain(app).Right, (proxy.Right{
			Scope: "repository:team-a/app:pull", Grant: proxy.GrantUnasked, Credential: tokencache.StateUnknown,
		}); got != want {
			t.Errorf("at first: %+v, want %+v", got, want)
		}
		began := time.Now()
		manifest := b.pull("team-a/app", "1.0")
		b.pass(5 * time.Second)
		e := b.explain(app)
		if want := (proxy.Right{
			Scope: "repository:team-a/app:pull", Grant: proxy.GrantPull, Account: account, Credential: tokencache.StateAccepted,
			Since: began, Until: began.Add(30 * time.Minute),
		}); e.Right != want {
			t.Errorf("right: %+v, want %+v", e.Right, want)
		}
		if !e.At.Equal(time.Now()) || !e.Tag.Checked.Equal(began) || !e.Tag.Fresh.Equal(began.Add(10*time.Second)) || !e.Tag.Stale.Equal(began.Add(168*time.Hour)) {
			t.Errorf("at %s: %+v", e.At, e.Tag)
		}
		if d := manifest.Header.Get("Docker-Content-Digest"); e.Tag.Digest.String() != d || e.Manifest.Digest.String() != d ||
			e.Manifest.Size != int64(len(manifest.body)) || e.Manifest.MediaType != manifest.Header.Get("Content-Type") || e.Tag.MediaType != e.Manifest.MediaType {
			t.Errorf("the manifest %s is %+v, its tag %+v", d, e.Manifest, e.Tag)
		}
		for i, child := range listed(t, manifest.body) {
			o, blob := e.Manifest.Children[i], b.get(200, "GET /v2/team-a/app/blobs/"+child.digest.String())
			if o.Digest != child.digest || o.Size != int64(len(blob.body)) || !o.Held || !o.Linked || o.Kind != proxy.KindOfBlob {
				t.Errorf("the blob %s of %d bytes is %+v", child.digest, len(blob.body), o)
			}
		}
		b.pass(40 * time.Minute)
		if e := b.explain(app); e.Right.Grant != proxy.GrantUnasked || !e.Right.Since.IsZero() {
			t.Errorf("without a token: %+v", e.Right)
		}
	})
}

// What a transfer under way lacks is what is still to come.
func TestExplainTellsHowFarATransferIs(t *testing.T) {
	s := situations()["on its way"]
	inBubble(t, account, nil, func(b *bubble) {
		s.happens(b)
		e := b.explain(s.image)
		blob := e.Manifest.Children[1]
		if blob.Arrived < 256<<10 || blob.Arrived > 600<<10 || blob.Size < 2<<20 || blob.Held || !blob.Linked {
			t.Errorf("after 2 s at 256 KiB/s: %+v", blob)
		}
		if got := e.Outlooks[0].Needs[0].Size; got != blob.Size-blob.Arrived {
			t.Errorf("%d bytes are needed, want %d", got, blob.Size-blob.Arrived)
		}
	})
}

// An account that is refused, or has no right, is told before a pull is tried.
func TestExplainTellsWhyThereIsNoToken(t *testing.T) {
	inBubble(t, harbortest.Idle, nil, func(b *bubble) {
		b.send("GET /v2/team-a/app/manifests/1.0")
		if r := b.explain(app).Right; r.Credential != tokencache.StateRefused || r.Grant != proxy.GrantUnasked || !strings.Contains(r.Fault, harbortest.Idle) {
			t.Errorf("a disabled robot: %+v", r)
		}
	})
	inBubble(t, harbortest.Puller, nil, func(b *bubble) {
		b.send("GET /v2/team-b/secret/manifests/1.0")
		if r := b.explain("team-b/secret:1.0").Right; r.Credential != tokencache.StateAccepted || r.Grant != proxy.GrantNothing || r.Account != harbortest.Puller {
			t.Errorf("no right: %+v", r)
		}
		b.pass(11 * time.Second)
		if r := b.explain("team-b/secret:1.0").Right; r.Grant != proxy.GrantUnasked || r.Denied != "" {
			t.Errorf("a while later: %+v", r)
		}
	})
}

// What anybody may push makes nobody read without end.
func TestExplainIsBounded(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		var many []string
		for i := range 66 {
			many = append(many, fmt.Sprintf("arch%d", i))
		}
		index, err := harbortest.Index("many", harbortest.Image, 1700, many...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.harbor.PushIndex("team-a/many", "1.0", index); err != nil {
			t.Fatal(err)
		}
		b.get(200, "GET /v2/team-a/many/manifests/1.0")
		if e := b.explain("team-a/many:1.0"); len(e.Manifest.Children) != 64 || e.Manifest.More != 2 || len(e.Outlooks) != 64 {
			t.Errorf("%d children, %d more, %d outlooks", len(e.Manifest.Children), e.Manifest.More, len(e.Outlooks))
		}
		ctx, leave := context.WithCancel(b.Context())
		leave()
		if _, err := b.proxy.Explain(ctx, requestFor("team-a/many:1.0"), b.policy.usual); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left is told %v", err)
		}
	})
}
