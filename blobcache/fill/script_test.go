package fill_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache/fill"
)

// script turns bytes into choices.
type script struct {
	mu    sync.Mutex
	bytes []byte
}

// choose returns a number below n; 0 when the script is at its end.
func (s *script) choose(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v int64
	for m := n; m > 1 && len(s.bytes) > 0; m >>= 8 {
		v = v<<8 | int64(s.bytes[0])
		s.bytes = s.bytes[1:]
	}
	return v % n
}

// one chance in n.
func (s *script) one(n int64) bool { return s.choose(n) == n-1 }

const scriptBlob = 1200 * kib

// plan is upstream's behaviour: mostly well, for a while.
func (s *script) plan(wrong []byte, unknownSize bool) func(int, int64, int64) plan {
	return func(int, int64, int64) plan {
		var p plan
		if unknownSize {
			p.size = func(int64) int64 { return -1 }
		}
		switch s.choose(9) {
		case 1:
			p.cut = 1 + s.choose(scriptBlob)
		case 2:
			p.cut, p.clean = 1+s.choose(scriptBlob), true
		case 3:
			p.cut, p.stall = 1+s.choose(scriptBlob), time.Duration(s.choose(60))*time.Second
		case 4:
			p.err = errCut
		case 5:
			p.content = wrong
		case 6:
			p.size = func(n int64) int64 { return n + s.choose(3) - 1 }
		case 7:
			p.offset = func(n int64) int64 { return s.choose(2) * (n + 1) }
		case 8:
			if s.one(4) {
				p.err = &fill.Refusal{Err: errDenied}
			}
		}
		p.wait = time.Duration(s.choose(20)) * 100 * time.Millisecond
		return p
	}
}

// client is one reader: it comes, seeks, reads, and leaves.
type client struct {
	key       string
	after     time.Duration
	offset, n int64
	verified  bool
	patience  time.Duration
}

func (s *script) client() client {
	c := client{
		key: string(rune('a' + s.choose(3))), n: -1, verified: s.choose(2) == 0,
		after:    time.Duration(s.choose(30)) * 200 * time.Millisecond,
		patience: time.Duration(1+s.choose(100)) * time.Second,
	}
	if s.choose(2) == 1 {
		c.offset = s.choose(scriptBlob + 1)
		c.n = s.choose(scriptBlob)
	}
	return c
}

// play runs a script, and checks what must hold in any.
func play(t *testing.T, b []byte) (events map[string]int) {
	s := &script{bytes: b}
	up := newUpstream(scriptBlob)
	up.rate = 256 * kib
	wrong := slices.Clone(up.content)
	wrong[s.choose(scriptBlob)] ^= 1
	if s.one(3) {
		wrong = append(wrong, 0)
	}
	up.noRanges = s.one(4)
	unknown := s.one(4)
	up.plan = s.plan(wrong, unknown)
	w := newWorld(t, up)
	if s.one(3) {
		w.file.room = s.choose(scriptBlob)
	}
	if s.one(8) {
		w.file.commitErr = errDisk
	}
	w.beginNear(up.source("a"))

	var clients sync.WaitGroup
	for range 1 + s.choose(8) {
		c := s.client()
		clients.Go(func() { w.play(c, unknown) })
	}
	clients.Wait()
	w.fill.Wait()
	synctest.Wait()
	w.end()
	w.rest()
	return w.events
}

// play is what a client does. Unverified bytes may be anything, and where upstream
// does not tell the size, their end may be anywhere; else it is where upstream said,
// which is off by one at most.
func (w *world) play(c client, unknown bool) {
	time.Sleep(c.after)
	r, err := w.fill.Join(w.Context(), w.up.source(c.key))
	if err != nil {
		return
	}
	defer r.Close()
	ctx, leave := context.WithTimeout(w.Context(), c.patience)
	defer leave()
	o := w.readFor(ctx, r, c.offset, c.n, c.verified)
	size := int64(len(w.up.content))
	wanted := size - min(c.offset, size)
	if c.n >= 0 {
		wanted = min(wanted, c.n)
	}
	whole := c.offset == 0 && o.n >= size
	switch {
	case whole && c.verified && (o.wrong || o.n != size):
		w.Errorf("%+v got a whole body of %d bytes that is wrong: %v, %v", c, o.n, o.wrong, o.err)
	case o.err == nil && c.verified && o.n != wanted:
		w.Errorf("%+v got %d bytes and no error, want %d", c, o.n, wanted)
	case o.err == nil && !c.verified && !unknown && (o.n < wanted-1 || o.n > wanted+1):
		w.Errorf("%+v got %d bytes and no error, want %d", c, o.n, wanted)
	}
}

// rest checks what holds in the end, however it came about.
func (w *world) rest() {
	w.Helper()
	stored := w.count("result "+fill.ResultStored) == 1
	switch {
	case w.count("ended") != 1 || w.results() != 1:
		w.Errorf("events %v", w.order)
	case w.file.committed != stored:
		w.Errorf("committed %v, events %v", w.file.committed, w.order)
	case stored && !bytes.Equal(w.file.bytes, w.up.content):
		w.Errorf("%d wrong bytes are stored", len(w.file.bytes))
	case len(w.sizes) > 1 || w.file.closed != len(w.sizes):
		w.Errorf("created with %v, closed %d times", w.sizes, w.file.closed)
	case w.up.opened() != 0:
		w.Errorf("%d bodies are open", w.up.opened())
	case w.received() != w.up.bytesSent():
		w.Errorf("%d bytes sent, %d counted", w.up.bytesSent(), w.received())
	}
}

func TestScripts(t *testing.T) {
	random := rand.NewChaCha8([32]byte{9})
	saw := make(map[string]int)
	for range 120 {
		b := make([]byte, 200)
		_, _ = random.Read(b)
		bubble(t, func(t *testing.T) {
			for event, n := range play(t, b) {
				saw[event] += n
			}
		})
		if t.Failed() {
			t.Fatalf("script %x", b)
		}
	}
	for _, event := range []string{
		"result stored", "result mismatch", "result refused", "result abandoned", "result bypassed",
		"segment", "resumed", "joined", "bypassed room", "bypassed disk",
	} {
		if saw[event] == 0 {
			t.Errorf("no script had the event %q: %v", event, saw)
		}
	}
}

func FuzzScript(f *testing.F) {
	random := rand.NewChaCha8([32]byte{10})
	for range 20 {
		b := make([]byte, 100)
		_, _ = random.Read(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bubble(t, func(t *testing.T) { _ = play(t, b) })
	})
}
