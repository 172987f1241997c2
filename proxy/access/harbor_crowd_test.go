package access

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/tokencache"
)

// A right secret that meets an outage, and our own account that meets none any more.
func TestHarborOutageIsOverBeforeTheControlSample(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for name, known := range map[string]bool{"known": true, "unknown": false} {
			w.close()
			w.open()
			if known {
				w.want("ok", w.right(harbortest.Puller, "team-a/app"))
				time.Sleep(acceptedLoginMemory)
			}
			w.SetDown(harbortest.Database, true)
			w.before = func(question string) {
				if question == "grant" {
					w.SetDown(harbortest.Database, false)
				}
			}
			if got := w.right(harbortest.Puller, "team-a/app"); got != "unverifiable" {
				t.Errorf("%s: %s, want unverifiable", name, got)
			}
			w.before = nil
			w.SetDown(harbortest.Database, false)
			w.want("ok", w.right(harbortest.Puller, "team-a/app"))
			time.Sleep(2 * time.Minute)
		}
	})
}

// Whoever has a login may name projects without end: Harbor is asked about a few at a
// time, and what others were found to have is not forgotten for it.
func TestHarborKnownLoginIsBounded(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		var under, most atomic.Int64
		w.before = func(string) {
			most.Store(max(most.Load(), under.Add(1)))
			time.Sleep(time.Millisecond)
			under.Add(-1)
		}
		together(1000, func(i int) {
			w.want("not_granted", w.right(harbortest.Puller, fmt.Sprintf("made-up-%d/app", i)))
		})
		w.before = nil
		if most.Load() > mostOfKnown {
			t.Errorf("%d questions at once about one login", most.Load())
		}
		w.asked()
		w.want("ok", w.right("alice", "team-a/app"))
		w.wantAsked()
	})
}

// Repositories of one project are one question, whichever comes first.
func TestHarborAsksOnceForAProject(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for range 2 {
			together(200, func(i int) { w.want("ok", w.right(harbortest.Puller, fmt.Sprintf("team-a/app-%d", i))) })
			w.wantAsked("robot$team-a+puller 1")
			time.Sleep(acceptedLoginMemory)
		}
	})
}

// Guesses with ever new names drive out nobody who is known.
func TestHarborGuessesDriveOutNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		mode := NewHarbor(HarborOptions{Events: newCounted(), Upstream: askerFuncs{
			own: "robot$breakwater",
			ask: func(theirs tokencache.Credentials, scopes []tokencache.Scope) (tokencache.Grant, error) {
				asked++
				switch {
				case theirs.Username == "robot$known":
					return tokencache.Grant{Subject: theirs.Username, Access: scopes}, nil
				case len(scopes) > 0:
					return tokencache.Grant{}, nil
				}
				return tokencache.Grant{}, &tokencache.RefusedError{}
			},
		}})
		gate, _ := gateOf(mode, Everything(), false)
		w := &harborWorld{T: t, gate: gate}
		w.want("ok", w.come(somewhere, "robot$known", "secret", "team-a/app"))
		for i := range mostRemembered + 100 {
			w.want("bad_credentials", w.come(fmt.Sprintf("198.51.%d.%d", i/256%256, i%256), fmt.Sprintf("robot$nobody-%d", i), "a guess", "team-a/app"))
		}
		asked = 0
		w.want("ok", w.come(somewhere, "robot$known", "secret", "team-a/app"))
		if asked > 0 {
			t.Error("who is known was asked about again")
		}
		if err := mode.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A program that goes on with an old secret is refused, and slows down nobody who comes
// from there with the new one.
func TestHarborOldSecretCountsOnce(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for range 3 * freeAttempts {
			w.want("bad_credentials", w.come(somewhere, harbortest.Puller, "an old secret", "team-a/app"))
			time.Sleep(rejectedLoginMemory)
		}
		w.want("ok", w.come(somewhere, harbortest.Puller, harbortest.Password(harbortest.Puller), "team-a/app"))
	})
}

// Our own account is nobody's to try passwords on.
func TestHarborOwnAccountIsNobodys(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.mode.options.Own = "alice"
		w.want("bad_credentials", w.right("alice", "team-a/app"))
		w.want("bad_credentials", w.come(somewhere, "ALICE", "a guess", "team-a/app"))
		w.wantAsked()
	})
}

// Who guesses at a user's password from one address keeps the user, who comes for the
// first time from another one, waiting for two guesses at most.
func TestHarborFirstLoginBehindGuesses(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for i := range 8 {
			go w.come("198.51.100.1", "alice", fmt.Sprint("a guess ", i), "team-a/app")
		}
		synctest.Wait()
		began := time.Now()
		for w.right("alice", "team-a/app") != "ok" {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("her login took %s", took)
		}
		time.Sleep(time.Minute)
	})
}

// A database that flaps is down for the client's questions, and up for ours.
func TestHarborFlaps(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		time.Sleep(acceptedLoginMemory)
		samples := 0
		w.before = func(question string) {
			if question == "grant" {
				samples++
			}
			w.SetDown(harbortest.Database, question != "grant" || samples > 1)
		}
		if got := w.right(harbortest.Puller, "team-a/app"); got != "unverifiable" {
			t.Errorf("%s, want unverifiable", got)
		}
		w.before = nil
		w.SetDown(harbortest.Database, false)
		time.Sleep(2 * time.Minute)
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
	})
}

// While Harbor is silent, who is known is told so at once, whatever projects they want.
func TestHarborSilenceIsToldAtOnce(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		time.Sleep(acceptedLoginMemory)
		w.SetDown(harbortest.Core, true)
		began := time.Now()
		for i := range 8 {
			w.want("unverifiable", w.right("alice", fmt.Sprintf("team-%d/app", i)))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("told after %s", took)
		}
		w.SetDown(harbortest.Core, false)
	})
}
