package tokencache

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// mostKeys bounds what is held: scopes come from clients.
const mostKeys = 4096

// tokens are what is held for one account: one entry per key, the least recently
// used going first.
type tokens struct {
	renew func(question, *token) // called when a token should be renewed

	mu      sync.Mutex // guards all below
	account string
	entries *simplelru.LRU[string, *entry]
	closed  bool
}

// An entry outlives its token: it also remembers how upstream treated the key.
type entry struct {
	token   *token      // nil until there was one, and after it was rejected
	used    time.Time   // by a request, last
	renewal *time.Timer // nil, or of this token

	basic    bool    // the registry takes only Basic here (Harbor's catalog)
	refused  uint64  // generation of the newest fresh token that was rejected
	replaced uint64  // tokens up to this generation are replaced, or being replaced
	pause    backoff // until a 401 may cause another exchange
}

func newTokens(renew func(question, *token)) *tokens {
	entries, err := simplelru.NewLRU(mostKeys, func(_ string, e *entry) { e.stop() })
	if err != nil {
		panic(err) // only for a size below one
	}
	return &tokens{renew: renew, entries: entries}
}

func (e *entry) stop() {
	if e.renewal != nil {
		e.renewal.Stop()
		e.renewal = nil
	}
}

// entry returns the key's entry, a new one where there is none. t.mu is held.
func (t *tokens) entry(key string) *entry {
	e, ok := t.entries.Get(key)
	if !ok {
		e = new(entry)
		t.entries.Add(key, e)
	}
	return e
}

// belongTo drops everything when the account is another one: it may have other
// rights. A new secret of the same account changes nothing.
func (t *tokens) belongTo(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.account != account {
		t.entries.Purge()
		t.account = account
	}
}

// held returns a usable token whose exchange began after that generation, or nil.
func (t *tokens) held(key string, after uint64) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries.Get(key)
	if !ok || e.token == nil || e.token.generation <= after || !time.Now().Before(e.token.usable) {
		return nil
	}
	return e.token
}

// peek is held of whatever generation, for whoever only looks.
func (t *tokens) peek(key string) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.entries.Peek(key); ok && e.token != nil && time.Now().Before(e.token.usable) {
		return e.token
	}
	return nil
}

// drop forgets the key's token, and what would renew it.
func (t *tokens) drop(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.entries.Peek(key); ok {
		e.stop()
		e.token = nil
	}
}

// use notes that a request uses the key's token, which keeps it renewed.
func (t *tokens) use(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.entries.Get(key); ok {
		e.used = time.Now()
	}
}

// put holds a token unless a newer one is held, and has it renewed at a random
// 70–90 % of its life, so that many keys, or many Breakwaters, do not ask at once.
// The news that nothing is granted any more takes a token's place: upstream named
// us in it, so it is no fault.
func (t *tokens) put(q question, got *token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || got.grant.Account != t.account {
		return
	}
	e := t.entry(q.key)
	if e.token != nil && e.token.generation > got.generation {
		return
	}
	e.stop()
	e.token = got
	if !got.noGrant && got.life >= shortestRenewed {
		e.renewal = time.AfterFunc(got.life*7/10+rand.N(got.life/5), func() { t.renew(q, got) })
	}
}

// replace decides whether a token that upstream rejected, and that was exchanged
// before the request began, is to be replaced. It is if another one is held or on
// its way already; else it is invalidated and one exchange is allowed, after which
// 401s for the key cause none for a while. pausing is the key that the request
// asked for, key the one that the token is held under; newest is the generation of
// the last exchange begun.
func (t *tokens) replace(pausing, key string, rejected *token, newest uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	holder, _ := t.entries.Peek(key)
	if holder != nil && holder.token != nil && holder.token.generation > rejected.generation {
		return true
	}
	e, now := t.entry(pausing), time.Now()
	if rejected.generation <= e.replaced {
		return true
	}
	if e.pause.active(now) {
		return false
	}
	e.replaced, e.pause.until = newest, now.Add(shortestBackoff)
	if holder != nil && holder.token == rejected {
		holder.stop()
		holder.token = nil
	}
	return true
}

// reject notes that upstream refused a token that was as fresh as can be, which
// lengthens the pause. Each token counts once, however many requests carried it;
// after two quiet minutes the counting begins anew.
func (t *tokens) reject(key string, fresh *token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, now := t.entry(key), time.Now()
	if fresh.generation <= e.refused {
		return
	}
	if now.Sub(e.pause.until) > 2*longestBackoff {
		e.pause = backoff{}
	}
	e.refused = fresh.generation
	e.pause.extend(now, 0)
}

// basic tells, and setBasic remembers, that the registry takes Basic for the key.
func (t *tokens) basic(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries.Peek(key)
	return ok && e.basic
}

func (t *tokens) setBasic(key string, basic bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entry(key).basic = basic
}

// close stops every renewal that has not begun.
func (t *tokens) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.entries.Purge()
}
