package access

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, from := newAttempts(), netip.MustParseAddr("192.0.2.1")
		for i, want := range []time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60} {
			want *= time.Second
			if got := a.pause(from, "alice"); got != want {
				t.Fatalf("after %d wrong passwords the pause is %v, want %v", i, got, want)
			}
			time.Sleep(want)
			if got := a.pause(from, "alice"); got != 0 {
				t.Fatalf("after %d wrong passwords and a pause of %v another of %v", i, want, got)
			}
			a.failed(from, "alice", fingerprint{byte(i), byte(i >> 8)})
		}
	})
}

func TestPauseRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, from := newAttempts(), netip.MustParseAddr("192.0.2.1")
		fail(a, from, "alice", freeAttempts+2)
		time.Sleep(1500 * time.Millisecond)
		if got, want := a.pause(from, "alice"), 2500*time.Millisecond; got != want {
			t.Errorf("1.5 s into a pause of 4 s, %v are left, want %v", got, want)
		}
	})
}

// Whoever guesses from one address keeps out nobody else.
func TestPausesAreOfOnePair(t *testing.T) {
	for _, test := range []struct {
		name, guesser, from, username string
		paused                        bool
	}{
		{"the pair itself", "192.0.2.1", "192.0.2.1", "alice", true},
		{"another user", "192.0.2.1", "192.0.2.1", "bob", false},
		{"another address", "192.0.2.1", "192.0.2.2", "alice", false},
		{"the same /64", "2001:db8::1", "2001:db8::ffff:1", "alice", true},
		{"another /64", "2001:db8::1", "2001:db8:0:1::1", "alice", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAttempts()
			fail(a, netip.MustParseAddr(test.guesser), "alice", 20)
			if paused := a.pause(netip.MustParseAddr(test.from), test.username) > 0; paused != test.paused {
				t.Errorf("paused: %v, want %v", paused, test.paused)
			}
		})
	}
}

func TestSuccessForgetsOnePair(t *testing.T) {
	a, here, there := newAttempts(), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	fail(a, here, "alice", 20)
	fail(a, there, "alice", 20)
	a.succeeded(here, "alice")
	if got := a.pause(here, "alice"); got != 0 {
		t.Errorf("a pause of %v after a right password", got)
	}
	fail(a, here, "alice", freeAttempts-1)
	if got := a.pause(here, "alice"); got != 0 {
		t.Errorf("a pause of %v: what was counted before the right password still counts", got)
	}
	if a.pause(there, "alice") == 0 {
		t.Error("a right password here ended the pause there")
	}
}

func TestQuietForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, from := newAttempts(), netip.MustParseAddr("192.0.2.1")
		fail(a, from, "alice", 20)
		time.Sleep(attemptsMemory - time.Second)
		fail(a, from, "alice", 1)
		if got := a.pause(from, "alice"); got != longestPause {
			t.Errorf("a pause of %v shortly before it is forgotten, want %v", got, longestPause)
		}
		time.Sleep(attemptsMemory)
		fail(a, from, "alice", 1)
		if got := a.pause(from, "alice"); got != 0 {
			t.Errorf("a pause of %v after %v of quiet", got, attemptsMemory)
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	a, from := newAttempts(), netip.MustParseAddr("192.0.2.1")
	for i := range mostRemembered + 100 {
		a.failed(from, fmt.Sprint("user", i), fingerprint{byte(i), byte(i >> 8)})
	}
	if got := a.counts.Len(); got != mostRemembered {
		t.Errorf("%d pairs are remembered, want %d", got, mostRemembered)
	}
}

func fail(a *attempts, from netip.Addr, username string, times int) {
	for range times {
		a.failed(from, username, fingerprint(sha256.Sum256([]byte(rand.Text()))))
	}
}
