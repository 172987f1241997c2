package proxy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// A warm pull asks nobody while its tag is fresh, and one HEAD after that.
func TestWarmPullAsksNobody(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		b.pull("team-a/app", "1.0")
		b.saw()
		warm := b.pull("team-a/app", "1.0")
		b.expect()
		if got := warm.Header.Get("Cache-Status"); got != "breakwater; hit" {
			t.Errorf("Cache-Status: %s", got)
		}
		b.pass(11 * time.Second)
		checked := b.pull("team-a/app", "1.0")
		b.expect("HEAD /v2/team-a/app/manifests/1.0 Bearer 200")
		_ = checked
		b.reopen(account)
		b.saw()
		b.pull("team-a/app", "1.0")
		if got := b.content(); len(got) > 1 {
			t.Errorf("after a restart Harbor saw %v", got)
		}
	})
}

// What is in use is told to Harbor once a day, so that its retention keeps it.
// Nothing else is asked for content that is pulled by digest.
func TestADayOfWarmHits(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		manifest := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest")
		b.saw()
		for range 2 * 24 * 6 {
			b.pass(10 * time.Minute)
			b.pull("team-a/app", manifest)
		}
		b.pass(time.Second)
		got := b.content()
		want := "GET /v2/team-a/app/manifests/" + manifest + " Bearer 200"
		if !slices.Equal(got, []string{want, want}) {
			t.Errorf("in two days of warm hits Harbor saw\n\t%s", strings.Join(got, "\n\t"))
		}
		if n := b.events.told("pull reported"); n != 2 {
			t.Errorf("%d pulls were reported, want 2", n)
		}
	})
}

func TestNoReportsWhereTheyAreOff(t *testing.T) {
	inBubble(t, account, func(p *settings) { p.RecordPull = 0 }, func(b *bubble) {
		manifest := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest")
		b.saw()
		for range 72 {
			b.pass(time.Hour)
			b.pull("team-a/app", manifest)
		}
		b.pass(time.Second)
		want := "HEAD /v2/team-a/app/manifests/" + manifest + " Bearer 200" // which leaves no pull behind
		if got := b.content(); len(got) != 3 || got[0] != want || got[1] != want || got[2] != want {
			t.Errorf("Harbor saw %v", got)
		}
	})
}

// A tag follows what upstream says, and never before the new manifest is here.
func TestATagMoves(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		before := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest")
		image, err := harbortest.Image("moved", 2000)
		if err != nil {
			t.Fatal(err)
		}
		after, err := b.harbor.Push("team-a/app", "1.0", image)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest"); got != before {
			t.Errorf("a fresh tag was asked for")
		}
		b.pass(11 * time.Second)
		b.harbor.AddFault(harbortest.Fault{Status: 500, Match: harbortest.Path("/manifests/" + after.String())})
		stale := b.get(200, "GET /v2/team-a/app/manifests/1.0")
		if got := stale.Header.Get("Docker-Content-Digest"); got != before || !strings.Contains(stale.Header.Get("Cache-Status"), "stale") {
			t.Errorf("the tag moved to a manifest that cannot be had: %v", stale.Header)
		}
		b.clearFaults()
		b.pass(11 * time.Second)
		if got := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest"); got != after.String() {
			t.Errorf("the tag is still %s", got)
		}
	})
}
