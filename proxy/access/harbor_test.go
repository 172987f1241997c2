package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/registry"
)

func TestHarborSaysWho(t *testing.T) {
	tests := map[string]struct {
		username, password, repository string
		want                           string
		asked                          []string // token calls: name and scopes
	}{
		"a robot":                      {harbortest.Puller, harbortest.Password(harbortest.Puller), "team-a/app", "ok", []string{"robot$team-a+puller 1"}},
		"a user":                       {"alice", harbortest.Password("alice"), "team-a/app", "ok", []string{"alice 1"}},
		"no grant":                     {harbortest.Puller, harbortest.Password(harbortest.Puller), "team-b/secret", "not_granted", []string{"robot$team-a+puller 1"}},
		"no right anywhere":            {"bob", harbortest.Password("bob"), "team-a/app", "not_granted", []string{"bob 1"}},
		"public, to somebody":          {"bob", harbortest.Password("bob"), "library/base", "ok", []string{"bob 1"}},
		"no such project":              {harbortest.Puller, harbortest.Password(harbortest.Puller), "none/app", "not_granted", []string{"robot$team-a+puller 1"}},
		"without a project":            {harbortest.Puller, harbortest.Password(harbortest.Puller), "team-a", "not_granted", []string{"robot$team-a+puller 0"}},
		"a wrong password":             {"alice", "a guess", "team-a/app", "bad_credentials", []string{"alice 1", "alice 0", "robot$everything 0", "alice 0", "robot$everything 0"}},
		"a wrong password, public":     {"alice", "a guess", "library/base", "bad_credentials", []string{"alice 1", "alice 0", "robot$everything 0", "alice 0", "robot$everything 0"}},
		"a robot's wrong secret":       {harbortest.Puller, "a guess", "team-a/app", "bad_credentials", []string{"robot$team-a+puller 1", "robot$team-a+puller 0", "robot$everything 0", "robot$team-a+puller 0", "robot$everything 0"}},
		"nobody's name":                {"carol", "a guess", "team-a/app", "bad_credentials", []string{"carol 1", "carol 0", "robot$everything 0", "carol 0", "robot$everything 0"}},
		"nobody's name, public":        {"carol", "a guess", "library/base", "bad_credentials", []string{"carol 1", "carol 0", "robot$everything 0", "carol 0", "robot$everything 0"}},
		"a disabled robot":             {harbortest.Idle, harbortest.Password(harbortest.Idle), "team-a/app", "bad_credentials", []string{"robot$disabled 1", "robot$disabled 0", "robot$everything 0", "robot$disabled 0", "robot$everything 0"}},
		"login":                        {"alice", harbortest.Password("alice"), "", "ok", []string{"alice 0"}},
		"login without any right":      {"bob", harbortest.Password("bob"), "", "ok", []string{"bob 0"}},
		"login with a wrong password":  {"alice", "a guess", "", "bad_credentials", []string{"alice 0", "robot$everything 0", "alice 0", "robot$everything 0"}},
		"a colon in the password":      {"alice", "a:guess:", "", "bad_credentials", []string{"alice 0", "robot$everything 0", "alice 0", "robot$everything 0"}},
		"no user name":                 {"", "a guess", "library/base", "bad_credentials", nil},
		"no password":                  {"alice", "", "library/base", "bad_credentials", nil},
		"an over-long user name":       {strings.Repeat("a", 256), "a guess", "library/base", "bad_credentials", nil},
		"an over-long password":        {"alice", strings.Repeat("guess", 205), "library/base", "bad_credentials", nil},
		"a line break in the password": {"alice", "a guess\r\nX: y", "library/base", "bad_credentials", nil},
	}
	inHarborWorld(t, func(w *harborWorld) {
		for name, test := range tests {
			w.close()
			w.open()
			if got := w.come(somewhere, test.username, test.password, test.repository); got != test.want {
				w.Errorf("%s: %s, want %s", name, got, test.want)
			}
			if got := w.asked(); !slices.Equal(got, test.asked) {
				w.Errorf("%s: Harbor was asked about %q, want %q", name, got, test.asked)
			}
			want := map[Why]int{}
			if test.want != "ok" {
				want[Why(test.want)] = 1
			}
			if !maps.Equal(w.events.refused, want) {
				w.Errorf("%s: counted %v, want %v", name, w.events.refused, want)
			}
		}
	})
}

func TestHarborTakesBasicOnly(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for field, want := range map[string]string{
			"":                          "no_credentials",
			"Basic Og==":                "no_credentials",
			"Bearer a.b.c":              "bad_credentials",
			"Negotiate abc":             "bad_credentials",
			"Basic YWxpY2U=":            "bad_credentials", // without a colon
			"Basic !":                   "bad_credentials",
			"Basic YWxpY2U6YQ==, x":     "bad_credentials",
			"Digest username=\"alice\"": "bad_credentials",
		} {
			for _, path := range []string{"/v2/", "/v2/library/base/manifests/1.0", "/v2/_catalog"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header.Set("Authorization", field)
				_, err := w.gate.Authenticate(w.Context(), r)
				w.want(want, word(err))
			}
		}
		w.wantAsked()
	})
}

// What names no repository is answered without a last word about one.
func TestHarborProvesWhoListsTheCatalog(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for password, want := range map[string]string{"a guess": "bad_credentials", harbortest.Password(harbortest.Puller): "ok"} {
			for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/_catalog?n=10", "/v2/nonsense"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.SetBasicAuth(harbortest.Puller, password)
				client, err := w.gate.Authenticate(w.Context(), r)
				if err == nil {
					err = w.gate.Authorise(w.Context(), client, registry.KindCatalog, Repository{})
				}
				w.want(want, word(err))
			}
		}
	})
}

// A yes lasts a minute, whatever is asked in it, and a login that was accepted needs no
// question of its own.
func TestHarborIsAskedOnceAMinute(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for range 2 {
			for range 59 {
				w.want("ok", w.right(harbortest.Puller, "team-a/app"))
				w.want("ok", w.right(harbortest.Puller, "team-a/big"))
				w.want("ok", w.right(harbortest.Puller, ""))
				time.Sleep(time.Second)
			}
			w.wantAsked("robot$team-a+puller 1")
			time.Sleep(2 * time.Second)
		}
		if got := w.events.checked; got[Accepted] != 2 || len(got) != 1 {
			w.Errorf("checks: %v, want two, accepted", got)
		}
	})
}

// The minute is of when Harbor was asked, not of when it answered.
func TestHarborVerdictAgesFromItsQuestion(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.AddFault(harbortest.Fault{Match: scoped, Times: 1, Delay: 8 * time.Second})
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		w.SetRights(harbortest.Puller, nil, nil)
		time.Sleep(51 * time.Second)
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		time.Sleep(2 * time.Second)
		w.want("not_granted", w.right(harbortest.Puller, "team-a/app"))
	})
}

func TestHarborRightsEndWithinAMinute(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for name, test := range map[string]struct {
			end  func(robot string)
			want string
		}{
			"disabled":         {w.Disable, "bad_credentials"},
			"removed":          {w.Remove, "bad_credentials"},
			"rotated":          {func(robot string) { w.SetPassword(robot, "another one") }, "bad_credentials"},
			"without a right":  {func(robot string) { w.SetRights(robot, nil, nil) }, "not_granted"},
			"in other project": {func(robot string) { w.SetRights(robot, []string{"team-b"}, nil) }, "not_granted"},
		} {
			robot := "robot$" + name
			w.AddAccount(harbortest.Account{Name: robot, Password: harbortest.Password(robot), Pull: []string{"team-a"}})
			w.want("ok", w.right(robot, "team-a/app"))
			test.end(robot)
			time.Sleep(acceptedLoginMemory)
			if test.want == "bad_credentials" {
				w.want(test.want, w.right(robot, "")) // a login
				time.Sleep(rejectedLoginMemory)
			}
			w.want(test.want, w.right(robot, "team-a/app"))
		}
	})
}

// What is refused at a login is refused for what was granted a moment ago, too.
func TestHarborRefusalEndsGrants(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right(harbortest.Puller, ""))
		time.Sleep(30 * time.Second)
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		w.Disable(harbortest.Puller)
		time.Sleep(31 * time.Second)
		w.want("ok", w.right(harbortest.Puller, "team-a/app")) // 31 s old, and so is who asks
		w.want("ok", w.right(harbortest.Puller, ""))
		w.want("bad_credentials", w.right(harbortest.Puller, "team-b/secret"))
		w.want("bad_credentials", w.right(harbortest.Puller, "team-a/app"))
		w.want("bad_credentials", w.right(harbortest.Puller, ""))
		time.Sleep(rejectedLoginMemory)
		w.want("bad_credentials", w.right(harbortest.Puller, "team-a/app"))
	})
}

// A no lasts five seconds at most.
func TestHarborNoIsShort(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("not_granted", w.right(harbortest.Puller, "team-b/secret"))
		w.SetRights(harbortest.Puller, []string{"team-a", "team-b"}, nil)
		w.want("not_granted", w.right(harbortest.Puller, "team-b/secret"))
		w.wantAsked("robot$team-a+puller 1")
		time.Sleep(rejectedLoginMemory)
		w.want("ok", w.right(harbortest.Puller, "team-b/secret"))

		w.want("bad_credentials", w.right(harbortest.Idle, "team-a/app"))
		w.AddAccount(harbortest.Account{Name: harbortest.Idle, Password: harbortest.Password(harbortest.Idle), Pull: []string{"team-a"}})
		w.asked()
		for range 10 {
			w.want("bad_credentials", w.right(harbortest.Idle, "team-a/app"))
			w.want("bad_credentials", w.right(harbortest.Idle, "library/base"))
			w.want("bad_credentials", w.right(harbortest.Idle, ""))
		}
		w.wantAsked()
		time.Sleep(rejectedLoginMemory)
		w.want("ok", w.right(harbortest.Idle, "team-a/app"))
	})
}

func TestHarborChangedPassword(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		w.SetPassword("alice", "another one")
		w.want("ok", w.come(somewhere, "alice", "another one", "team-a/app"))
		w.wantAsked("alice 1", "alice 1")
		w.want("ok", w.right("alice", "team-a/app")) // for the rest of its minute
		time.Sleep(acceptedLoginMemory)
		w.want("bad_credentials", w.right("alice", "team-a/app"))
		w.want("ok", w.come(somewhere, "alice", "another one", "team-a/app"))
	})
}

// However many ask, Harbor hears of a login's right in a project once.
func TestHarborHerd(t *testing.T) {
	for name, from := range map[string]func(int) string{
		"of one address":    func(int) string { return somewhere },
		"of many addresses": func(i int) string { return fmt.Sprintf("198.51.100.%d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			inHarborWorld(t, func(w *harborWorld) {
				w.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: 100 * time.Millisecond})
				together(100, func(i int) {
					w.want("ok", w.come(from(i), harbortest.Puller, harbortest.Password(harbortest.Puller), "team-a/app"))
				})
				w.wantAsked("robot$team-a+puller 1")
				together(100, func(i int) {
					w.want("bad_credentials", w.come(from(i), harbortest.Puller, "a guess", "team-a/app"))
				})
				w.wantAsked("robot$team-a+puller 1", "robot$team-a+puller 0", "robot$everything 0", "robot$team-a+puller 0", "robot$everything 0")
			})
		})
	}
}

func TestHarborLoad(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		projects := []string{"team-a", "team-b", "library"}
		var robots []string
		for i := range 20 {
			robots = append(robots, fmt.Sprintf("robot$ci-%d", i))
			w.AddAccount(harbortest.Account{Name: robots[i], Password: harbortest.Password(robots[i]), Pull: projects})
		}
		w.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: 20 * time.Millisecond})
		for range 2 {
			together(1000, func(i int) {
				time.Sleep(time.Duration(i/100) * 5 * time.Second)
				w.want("ok", w.right(robots[i%20], projects[i/20%3]+"/app"))
			})
			calls := w.asked()
			if len(calls) != 60 || slices.ContainsFunc(calls, func(call string) bool { return !strings.HasSuffix(call, " 1") }) {
				w.Errorf("1,000 requests by 20 robots for 3 projects made %d token calls, want 60: %q", len(calls), calls)
			}
			time.Sleep(16 * time.Second)
		}
	})
}

func TestHarborCatalog(t *testing.T) {
	tests := []struct {
		projects int
		prefix   string
		calls    []string
	}{
		{40, "p", []string{"robot$few 40"}},
		{50, "p", []string{"robot$few 50"}},
		{120, "p", []string{"robot$few 50", "robot$few 50", "robot$few 20"}},
		{40, strings.Repeat("p", 200), []string{"robot$few 26", "robot$few 14"}},
	}
	inHarborWorld(t, func(w *harborWorld) {
		for _, test := range tests {
			w.close()
			w.open()
			var mine, all, want []string
			for i := range test.projects {
				project := fmt.Sprintf("%s%d", test.prefix, i)
				w.AddProject(harbortest.Project{Name: project})
				all = append(all, project+"/a", project+"/b/c")
				if i%3 == 0 {
					mine = append(mine, project)
					want = append(want, project+"/a", project+"/b/c")
				}
			}
			w.AddAccount(harbortest.Account{Name: "robot$few", Password: "of the few", Pull: mine})
			r := httptest.NewRequest(http.MethodGet, "/v2/few/tags/list", nil)
			r.SetBasicAuth("robot$few", "of the few")
			client, err := w.gate.Authenticate(w.Context(), r)
			if err != nil {
				w.Fatal(err)
			}
			for range 3 {
				visible, err := w.gate.Visible(w.Context(), client, allCalled(all...))
				if err != nil || !slices.Equal(namesOf(visible), want) {
					w.Errorf("visible are %q, %v, want %q", visible, err, want)
				}
			}
			w.wantAsked(test.calls...)
		}
	})
}

// leaves is a request of the puller's for team-a, whose client leaves after a second.
func (w *harborWorld) leaves(password string) error {
	ctx, leave := context.WithCancel(w.Context())
	time.AfterFunc(time.Second, leave)
	return w.answer(ctx, somewhere, harbortest.Puller, password, "team-a/app")
}

// A client that leaves is no refusal, and leaves the answer to those who wait for it.
func TestHarborClientLeaves(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for range 2 { // unknown, then known
			w.AddFault(harbortest.Fault{Match: harbortest.Tokens, Times: 1, Delay: 5 * time.Second})
			var others sync.WaitGroup
			for range 3 {
				others.Go(func() { w.want("ok", w.right(harbortest.Puller, "team-a/app")) })
			}
			synctest.Wait()
			if err := w.leaves(harbortest.Password(harbortest.Puller)); !errors.Is(err, context.Canceled) {
				w.Errorf("%v, want what ended its context", err)
			}
			others.Wait()
			w.wantAsked("robot$team-a+puller 1")
			time.Sleep(acceptedLoginMemory)
		}
		if len(w.events.refused) > 0 {
			w.Errorf("%v were counted", w.events.refused)
		}
	})
}

// Nobody can guess without being counted by leaving before a no can have come.
func TestHarborGuessesAreHeardToTheirEnd(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for i := range freeAttempts {
			if err := w.leaves(fmt.Sprint("a guess ", i)); !errors.Is(err, context.Canceled) {
				w.Errorf("%v, want what ended its context", err)
			}
			time.Sleep(4 * time.Second) // it is told after 4.5 s
			w.wantAsked("robot$team-a+puller 1", "robot$team-a+puller 0", "robot$everything 0", "robot$team-a+puller 0", "robot$everything 0")
		}
		w.want("slowed_down", w.come(somewhere, harbortest.Puller, "a guess", "team-a/app"))

		// Who comes back finds what was found out.
		w.AddFault(harbortest.Fault{Match: scoped, Times: 1, Delay: 3 * time.Second})
		time.Sleep(longestPause)
		if err := w.leaves(harbortest.Password(harbortest.Puller)); !errors.Is(err, context.Canceled) {
			w.Errorf("%v, want what ended its context", err)
		}
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		w.wantAsked("robot$team-a+puller 1")
	})
}

// Whose time is over before Harbor has told is asked to come again.
func TestHarborTellsTooLate(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: 5 * time.Second})
		for _, repository := range []string{"", "team-a/app"} {
			ctx, cancel := context.WithTimeoutCause(w.Context(), time.Second, errors.New("late"))
			w.want("unverifiable", word(w.answer(ctx, somewhere, "alice", harbortest.Password("alice"), repository)))
			cancel()
		}
		if w.events.refused[Unverifiable] != 2 {
			w.Errorf("%v were counted", w.events.refused)
		}
	})
}

func TestHarborClosed(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: 5 * time.Second})
		var waiting sync.WaitGroup
		waiting.Go(func() { w.want("unverifiable", w.right("alice", "team-a/app")) })
		synctest.Wait()
		if err := w.mode.Close(); err != nil {
			w.Error(err)
		}
		waiting.Wait()
		w.want("unverifiable", w.right("alice", "team-a/app"))
		if w.events.checks() > 0 {
			w.Errorf("checks: %v", w.events.checked)
		}
	})
}

// together runs that many at once.
func together(n int, run func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { run(i) })
	}
	all.Wait()
}
