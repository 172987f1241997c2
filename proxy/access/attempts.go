package access

import (
	"crypto/sha256"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// How wrong passwords are slowed down: people mistype a few times, programs that
// guess do not stop.
const (
	freeAttempts   = 5 // before the first pause
	shortestPause  = time.Second
	longestPause   = time.Minute
	attemptsMemory = 10 * time.Minute // of quiet, after which they are forgotten
)

// attempts slows down whoever tries wrong passwords, by address (IPv6: /64) and user
// name, so that nobody else is kept out: neither the user elsewhere, nor others at
// that address.
type attempts struct {
	mu     sync.Mutex // guards counts
	counts *simplelru.LRU[pair, failures]

	seen *memory[struct{}] // wrong logins that were counted: a program with an old password guesses at nothing
}

// pair is whose attempts are counted together. The name is hashed, so that however
// long the ones that clients send are, a pair is small.
type pair struct {
	from     netip.Prefix
	username [sha256.Size]byte
}

func pairOf(from netip.Addr, username string) pair {
	return pair{neighbourhood(from), sha256.Sum256([]byte(username))}
}

type failures struct {
	count int
	last  time.Time
}

func newAttempts() *attempts {
	counts, err := simplelru.NewLRU[pair, failures](mostRemembered, nil)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &attempts{counts: counts, seen: newMemory[struct{}]()}
}

// pause is how long a further attempt has to wait; 0: none.
func (a *attempts) pause(from netip.Addr, username string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.recent(pairOf(from, username))
	return max(f.pause()-time.Since(f.last), 0)
}

// slowedDown is the refusal of whoever has to wait, or nil. cause tells the log whose
// passwords were wrong.
func (a *attempts) slowedDown(from netip.Addr, username string, cause error) *Refusal {
	pause := a.pause(from, username)
	if pause == 0 {
		return nil
	}
	seconds := int(math.Ceil(pause.Seconds()))
	return later(SlowedDown, seconds, cause, "too many wrong passwords for this user name from your address: try again in %d s", seconds)
}

// failed counts a wrong password, each once; succeeded forgets what was counted.
func (a *attempts) failed(from netip.Addr, username string, login fingerprint) {
	_, again := a.seen.get(login)
	a.seen.put(login, struct{}{}, time.Now().Add(attemptsMemory))
	if again {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	who := pairOf(from, username)
	a.counts.Add(who, failures{a.recent(who).count + 1, time.Now()})
}

func (a *attempts) succeeded(from netip.Addr, username string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Remove(pairOf(from, username))
}

// recent is what a pair's attempts came to, as far as it is not forgotten. The caller
// holds the lock.
func (a *attempts) recent(who pair) failures {
	f, ok := a.counts.Get(who)
	if !ok || time.Since(f.last) >= attemptsMemory {
		return failures{}
	}
	return f
}

// pause counts from the last failure, and doubles with each.
func (f failures) pause() time.Duration {
	if f.count < freeAttempts {
		return 0
	}
	pause := shortestPause
	for range f.count - freeAttempts {
		if pause *= 2; pause >= longestPause {
			return longestPause
		}
	}
	return pause
}
