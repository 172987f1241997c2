package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/tokencache"
)

// With its database down Harbor calls every password wrong, and its health notices
// only later. Nobody is told so, and nothing of it is remembered.
func TestHarborLosesItsDatabase(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		w.SetDown(harbortest.Database, true)
		w.want("ok", w.right("alice", "team-a/app")) // remembered
		for i := range 12 {                          // its health is looked at every 10 s
			robot := fmt.Sprintf("robot$ci-%d", i)
			w.AddAccount(harbortest.Account{Name: robot, Password: harbortest.Password(robot), Pull: []string{"team-a"}})
			w.want("unverifiable", w.right(robot, "team-a/app"))
			w.want("unverifiable", w.right(robot, "library/base"))
			w.want("unverifiable", w.right(robot, ""))
			w.want("unverifiable", w.come(somewhere, robot, "a guess", "team-a/app"))
			w.want("unverifiable", w.right("bob", ""))
			time.Sleep(2 * time.Second)
		}
		time.Sleep(acceptedLoginMemory)
		w.want("unverifiable", w.right("alice", "team-a/app"))
		time.Sleep(laneRest)

		w.SetDown(harbortest.Database, false)
		w.want("ok", w.right("robot$ci-0", "team-a/app"))
		w.want("ok", w.right("alice", "team-a/app"))
		w.want("unverifiable", w.come(somewhere, "robot$ci-1", "a guess", "team-a/app")) // until its health says so as well
		time.Sleep(80 * time.Second)
		w.want("bad_credentials", w.come(somewhere, "robot$ci-1", "a guess", "team-a/app"))
		if n := w.logs.FilterMessage("Harbor cannot tell who clients are: they are answered 503").Len(); n == 0 {
			w.Errorf("nothing of it is logged:\n%s", w.said())
		}
	})
}

// The database goes down at any moment of a conversation.
func TestHarborLosesItsDatabaseMidway(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for _, down := range []string{"ask 1", "ask 0", "grant"} {
			w.close()
			w.open()
			// A right password that seems wrong, since somebody guesses at it elsewhere.
			go w.guess("alice")
			synctest.Wait()
			w.before = func(question string) {
				if question == down {
					w.SetDown(harbortest.Database, true)
				}
			}
			if got := w.right("alice", "team-a/app"); got != "unverifiable" {
				w.Errorf("down before %q: %s, want unverifiable", down, got)
			}
			w.before = nil
			w.SetDown(harbortest.Database, false)
			time.Sleep(2 * time.Minute) // until our own account is asked about again
			w.want("ok", w.right("alice", "team-a/app"))
		}
	})
}

func TestHarborWithoutItsTokenService(t *testing.T) {
	faults := map[string]harbortest.Fault{
		"500":                 {Status: http.StatusInternalServerError},
		"502":                 {Status: http.StatusBadGateway},
		"429":                 {Status: http.StatusTooManyRequests},
		"400":                 {Status: http.StatusBadRequest},
		"403":                 {Status: http.StatusForbidden},
		"404":                 {Status: http.StatusNotFound},
		"a login page":        {HTML: true},
		"no answer":           {Delay: time.Minute},
		"a closed connection": {Reset: true},
	}
	inHarborWorld(t, func(w *harborWorld) {
		for name, fault := range faults {
			w.close()
			w.open()
			w.ClearFaults()
			fault.Match = func(r *http.Request) bool { return about("alice")(r) || about(harbortest.Puller)(r) }
			w.AddFault(fault)
			for _, username := range []string{"alice", harbortest.Puller} {
				for _, repository := range []string{"team-a/app", "library/base", ""} {
					if got := w.right(username, repository); got != "unverifiable" {
						w.Errorf("%s: %s, want unverifiable", name, got)
					}
				}
			}
			w.ClearFaults()
			w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		}
	})
}

// The token service says when it wants to be asked again, and is not asked before.
func TestHarborRetryAfter(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.AddFault(harbortest.Fault{Match: scoped, Times: 1, Status: http.StatusTooManyRequests, RetryAfter: "20"})
		w.want("unverifiable", w.right(harbortest.Puller, "team-a/app"))
		w.wantAsked("robot$team-a+puller 1")
		time.Sleep(5 * time.Second)
		err := w.answer(w.Context(), somewhere, harbortest.Pusher, harbortest.Password(harbortest.Pusher), "team-a/app")
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || refusal.Answer.Status != http.StatusServiceUnavailable || refusal.Answer.RetryAfter != 15 {
			w.Errorf("%v, want a 503 for 15 s", err)
		}
		w.wantAsked()
		time.Sleep(15 * time.Second)
		w.want("ok", w.right(harbortest.Pusher, "team-a/app"))
	})
}

// The first question is answered for nobody, the honest one with the name.
func TestHarborPassingFault(t *testing.T) {
	for _, test := range []struct {
		again bool // somebody guesses again, just before the scope is asked once more
		want  string
	}{{false, "ok"}, {true, "unverifiable"}} {
		inHarborWorld(t, func(w *harborWorld) {
			go w.guess("alice")
			synctest.Wait()
			w.ResetRequests()
			w.AddFault(harbortest.Fault{Match: scopeless, Times: 1, Delay: laneRest})
			if test.again {
				w.AddFault(harbortest.Fault{Match: scopeless, Times: 1, Delay: laneRest})
				time.AfterFunc(2*laneRest-time.Millisecond, func() { w.guess("alice") })
			}
			err := w.answer(w.Context(), somewhere, "alice", harbortest.Password("alice"), "team-a/app")
			w.want(test.want, word(err))
			if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Answer.RetryAfter != 2 {
				w.Errorf("told to come again in %d s", refusal.Answer.RetryAfter)
			}
			time.Sleep(laneRest)
			w.want("ok", w.right("alice", "team-a/app"))
		})
	}
}

// Somebody guesses at alice's password without end. Hers, which is asked about again
// every minute, is never called wrong, and she waits for a guess at most.
func TestHarborGuessesKeepNobodyOut(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		ctx, stop := context.WithCancel(w.Context())
		var guessing sync.WaitGroup
		for guesser := range 12 {
			guessing.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					got := word(w.answer(ctx, fmt.Sprintf("203.0.113.%d", guesser/2), "alice", fmt.Sprintf("a guess %d by %d", n, guesser), "team-a/app"))
					if got == "ok" {
						w.Error("a guess is right")
					}
					time.Sleep(200 * time.Millisecond)
				}
			})
		}
		for began := time.Now(); time.Since(began) < 4*time.Minute; time.Sleep(700 * time.Millisecond) {
			asked := time.Now()
			w.want("ok", w.right("alice", "team-a/app"))
			if took := time.Since(asked); took > 6*time.Second {
				w.Errorf("alice waited for %s", took)
			}
		}
		stop()
		guessing.Wait()
		if w.events.refused[SlowedDown] == 0 || w.events.checked[Rejected] < 20 {
			w.Errorf("what came of it: %v, %v", w.events.refused, w.events.checked)
		}
	})
}

// Guesses that do not pass here cannot be kept apart; but one that was accepted lately
// is asked about twice.
func TestHarborGuessElsewhere(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		time.Sleep(acceptedLoginMemory)
		w.asked()
		go w.guess("alice")
		synctest.Wait()
		w.ResetRequests()
		w.want("ok", w.right("alice", "team-a/app"))
		w.wantAsked("alice 1", "alice 0", "robot$everything 0", "alice 1")
		time.Sleep(lately)
		go w.guess("alice")
		synctest.Wait()
		w.want("bad_credentials", w.right("alice", "team-a/app"))
		time.Sleep(rejectedLoginMemory)
		w.want("ok", w.right("alice", "team-a/app"))
	})
}

// A user whose password was changed is told so, if later than a stranger.
func TestHarborBelievesTheSecondNo(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		w.SetPassword("alice", "another one")
		time.Sleep(acceptedLoginMemory)
		w.asked()
		began := time.Now()
		w.want("bad_credentials", w.right("alice", "team-a/app"))
		if took := time.Since(began); took != 4*1500*time.Millisecond+laneRest {
			w.Errorf("told after %s", took)
		}
		w.wantAsked("alice 1", "alice 0", "robot$everything 0", "alice 1", "alice 0", "robot$everything 0")
		time.Sleep(rejectedLoginMemory)
		w.want("bad_credentials", w.right("alice", "team-a/app"))
		w.wantAsked("alice 1", "alice 0", "robot$everything 0", "alice 0", "robot$everything 0") // it is a stranger's by now
	})
}

// A robot's right password is refused for nobody's guess, so it is asked about twice
// without a rest, and the next question need not wait.
func TestHarborBelievesARobotsNo(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		w.SetPassword(harbortest.Puller, "another one")
		time.Sleep(acceptedLoginMemory)
		w.asked()
		began := time.Now()
		w.want("bad_credentials", w.right(harbortest.Puller, "team-a/app"))
		w.want("bad_credentials", w.come(somewhere, harbortest.Puller, "a guess", "team-a/app"))
		w.want("ok", w.come(somewhere, harbortest.Puller, "another one", "team-a/app"))
		if took := time.Since(began); took != 6*1500*time.Millisecond {
			w.Errorf("took %s", took)
		}
	})
}

// Where our own account is no control sample, nobody is told that a password is wrong.
func TestHarborWithoutControl(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.Disable(harbortest.Everything)
		w.want("unverifiable", w.come(somewhere, "alice", "a guess", "team-a/app"))
		w.want("unverifiable", w.come(somewhere, "carol", "a guess", ""))
		time.Sleep(laneRest)
		w.want("ok", w.right("alice", "team-a/app"))
		w.want("ok", w.right("alice", ""))
	})
}

func TestHarborSlowsDown(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for i := range freeAttempts {
			w.want("bad_credentials", w.come(somewhere, harbortest.Puller, fmt.Sprint("a guess ", i), "team-a/app"))
		}
		w.asked()
		err := w.answer(w.Context(), somewhere, harbortest.Puller, "a guess", "team-a/app")
		if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Why != SlowedDown || refusal.Answer.RetryAfter != 1 {
			w.Errorf("%v, want to be slowed down for 1 s", err)
		}
		w.want("slowed_down", w.come(somewhere, strings.ToUpper(harbortest.Puller), "a guess", ""))
		w.wantAsked()
		w.want("bad_credentials", w.come("198.51.100.1", harbortest.Puller, "a guess", "team-a/app"))
		w.want("ok", w.come("198.51.100.1", harbortest.Puller, harbortest.Password(harbortest.Puller), "team-a/app"))
		w.want("ok", w.right(harbortest.Puller, "team-a/app")) // what is known is not slowed down
	})
}

// Who begins a question may come from where there are too many; who joined it does not.
func TestHarborTurnsAwayOnlyWhoBegan(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		var all sync.WaitGroup
		for _, client := range []struct{ from, password, want string }{
			{"203.0.113.1", "a guess", "bad_credentials"},            // is asked about
			{somewhere, harbortest.Password("alice"), "slowed_down"}, // waits for its turn
			{"198.51.100.1", harbortest.Password("alice"), "ok"},     // waits with it
			{"198.51.100.2", harbortest.Password("alice"), "ok"},     // so does this one
		} {
			all.Go(func() { w.want(client.want, w.come(client.from, "alice", client.password, "team-a/app")) })
			synctest.Wait()
		}
		fail(w.mode.attempts, netip.MustParseAddr(somewhere), "alice", 20)
		all.Wait()
	})
}

// askerFuncs stands in for Harbor where the stand-in never says such a thing.
type askerFuncs struct {
	ask func(tokencache.Credentials, []tokencache.Scope) (tokencache.Grant, error)
	own string // the subject of our own account
	ill error
}

func (a askerFuncs) Ask(_ context.Context, theirs tokencache.Credentials, scopes ...tokencache.Scope) (tokencache.Grant, error) {
	return a.ask(theirs, scopes)
}

func (a askerFuncs) Grant(context.Context, tokencache.Scope) (tokencache.Grant, error) {
	return tokencache.Grant{Subject: a.own}, nil
}

func (a askerFuncs) Health(context.Context) error { return a.ill }

func TestHarborNamesTheSubject(t *testing.T) {
	pull := func(name string) []tokencache.Scope {
		return []tokencache.Scope{{Type: "repository", Name: name, Actions: []string{"pull"}}}
	}
	refused := &tokencache.RefusedError{Upstream: "https://harbor.example.com"}
	for name, test := range map[string]struct {
		username string
		grant    tokencache.Grant
		err      error
		want     Why // "": let in
		says     string
	}{
		"the very name":               {"alice", tokencache.Grant{Subject: "alice", Access: pull("team-a/app")}, nil, "", ""},
		"the name in another case":    {"Alice", tokencache.Grant{Subject: "alice", Access: pull("team-a/app")}, nil, BadCredentials, `Harbor knows you as "alice": log in with that name`},
		"a longer name":               {"alice", tokencache.Grant{Subject: "alice2", Access: pull("team-a/app")}, nil, BadCredentials, "wrong user name"},
		"another name":                {"alice", tokencache.Grant{Subject: "admin", Access: pull("team-a/app")}, nil, BadCredentials, "wrong user name"},
		"by e-mail address":           {"alice@example.com", tokencache.Grant{Subject: "alice", Access: pull("team-a/app")}, nil, BadCredentials, `Harbor knows you as "alice": log in with that name`},
		"pull of another repository":  {"alice", tokencache.Grant{Subject: "alice", Access: pull("team-b/app")}, nil, NotGranted, "alice may not pull"},
		"another action":              {"alice", tokencache.Grant{Subject: "alice", Access: []tokencache.Scope{{Type: "repository", Name: "team-a/app", Actions: []string{"push"}}}}, nil, NotGranted, "alice may not pull"},
		"of another type":             {"alice", tokencache.Grant{Subject: "alice", Access: []tokencache.Scope{{Type: "registry", Name: "team-a/app", Actions: []string{"pull"}}}}, nil, NotGranted, "alice may not pull"},
		"pull for nobody":             {"alice", tokencache.Grant{Access: pull("team-a/app")}, nil, Unverifiable, "cannot tell"},
		"nothing that can be read":    {"alice", tokencache.Grant{Opaque: true, Account: "alice"}, nil, Unverifiable, "cannot tell"},
		"401":                         {"alice", tokencache.Grant{}, refused, BadCredentials, "wrong user name"},
		"something else":              {"alice", tokencache.Grant{}, errors.New("a fault"), Unverifiable, "cannot tell"},
		"a realm that is not trusted": {"alice", tokencache.Grant{}, &tokencache.RealmError{}, Unverifiable, "cannot tell"},
	} {
		synctest.Test(t, func(t *testing.T) {
			err := askedOf(t, test.username, askerFuncs{own: "robot$breakwater", ask: func(tokencache.Credentials, []tokencache.Scope) (tokencache.Grant, error) {
				return test.grant, test.err
			}})
			refusal, _ := errors.AsType[*Refusal](err)
			switch {
			case refusal == nil && (err != nil || test.want != ""), refusal != nil && refusal.Why != test.want:
				t.Errorf("%s: %v, want %q", name, err, test.want)
			case refusal != nil && !strings.Contains(refusal.Answer.Message, test.says):
				t.Errorf("%s: %q does not say %q", name, refusal.Answer.Message, test.says)
			}
		})
	}
}

// askedOf is what a pull from team-a comes to with that Harbor.
func askedOf(t *testing.T, username string, upstream Asker) error {
	mode := NewHarbor(HarborOptions{Events: newCounted(), Upstream: upstream})
	defer func() {
		if err := mode.Close(); err != nil {
			t.Error(err)
		}
	}()
	gate, _ := gateOf(mode, Everything(), false)
	return (&harborWorld{T: t, gate: gate}).answer(t.Context(), somewhere, username, "secret", "team-a/app")
}

// A no counts only if our own account gets a yes, and health says nothing else.
func TestHarborControlSample(t *testing.T) {
	for _, test := range []struct {
		own  string
		ill  error
		want Why
	}{
		{"robot$breakwater", nil, BadCredentials},
		{"robot$breakwater", errors.New("the database is unhealthy"), Unverifiable},
		{"", nil, Unverifiable}, // there is no account of our own
	} {
		synctest.Test(t, func(t *testing.T) {
			err := askedOf(t, "alice", askerFuncs{own: test.own, ill: test.ill, ask: func(_ tokencache.Credentials, scopes []tokencache.Scope) (tokencache.Grant, error) {
				if len(scopes) == 0 {
					return tokencache.Grant{}, &tokencache.RefusedError{}
				}
				return tokencache.Grant{}, nil
			}})
			if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Why != test.want {
				t.Errorf("own account %q, health %v: %v, want %q", test.own, test.ill, err, test.want)
			}
		})
	}
}
