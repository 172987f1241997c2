package access

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory[string]()
		a, b, c := m.fingerprint("a"), m.fingerprint("b"), m.fingerprint("c")
		m.put(a, "for a minute", time.Now().Add(time.Minute))
		m.put(b, "for good", time.Time{})
		time.Sleep(time.Minute - time.Nanosecond)
		if got, ok := m.get(a); got != "for a minute" || !ok {
			t.Errorf("%q, %v before a minute is over", got, ok)
		}
		time.Sleep(time.Nanosecond)
		if got, ok := m.get(a); got != "" || ok {
			t.Errorf("%q, %v after a minute", got, ok)
		}
		time.Sleep(1000 * time.Hour)
		if got, ok := m.get(b); got != "for good" || !ok {
			t.Errorf("%q, %v after a long time", got, ok)
		}
		if _, ok := m.get(c); ok {
			t.Error("what was never put is remembered")
		}
		m.put(a, "again", time.Now().Add(time.Second))
		if got, ok := m.get(a); got != "again" || !ok {
			t.Errorf("%q, %v", got, ok)
		}
		m.drop(b)
		if _, ok := m.get(b); ok {
			t.Error("it is remembered still")
		}
	})
}

// However many there are, so many are remembered: those that were of use last.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory[int]()
	first := m.fingerprint("0")
	for i := range mostRemembered + 100 {
		m.put(m.fingerprint(fmt.Sprint(i)), i, time.Time{})
		if _, ok := m.get(first); !ok {
			t.Fatalf("the one that is asked for all the time is forgotten after %d", i)
		}
	}
	if got := m.entries.Len(); got != mostRemembered {
		t.Errorf("%d are remembered, want %d", got, mostRemembered)
	}
	if _, ok := m.get(m.fingerprint("1")); ok {
		t.Error("the oldest of no use is remembered still")
	}
}

func TestFingerprints(t *testing.T) {
	m, other := newMemory[int](), newMemory[int]()
	if one, again := m.fingerprint("alice", "secret"), m.fingerprint("alice", "secret"); one != again {
		t.Error("one list of parts has two fingerprints")
	}
	seen := map[fingerprint][]string{}
	for _, parts := range [][]string{
		{}, {""}, {"", ""}, {"alice", "secret"}, {"alices", "ecret"}, {"alicesecret"}, {"alicesecret", ""},
		{"", "alicesecret"}, {"alice", "", "secret"}, {"secret", "alice"}, {"alice\x00secret"},
	} {
		f := m.fingerprint(parts...)
		if same, ok := seen[f]; ok {
			t.Errorf("%q and %q have one fingerprint", parts, same)
		}
		seen[f] = parts
		if f == other.fingerprint(parts...) {
			t.Errorf("%q has the same fingerprint under another key", parts)
		}
	}
}
