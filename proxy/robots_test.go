package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
)

// harborListener is one where Harbor says who may pull.
func harborListener(b *bubble) listener {
	mode := access.NewHarbor(access.HarborOptions{Name: "harbor", Upstream: b.direct, Listener: "test", Events: b.events, Log: b.newLog()})
	as := func(account string) func(*http.Request) { return basic(account, harbortest.Password(account)) }
	return listener{
		mode: closing(b, mode, nil), allow: access.Everything(), stranger: http.StatusUnauthorized, asks: true,
		say: map[who]func(*http.Request){
			nobody:   basic("", ""),
			impostor: basic(harbortest.Puller, "wrong-"+client),
			other:    as(harbortest.Bob),
			allowed:  as(harbortest.Alice),
		},
	}
}

// robots adds that many to Harbor, which may pull from the projects.
func (b *bubble) robots(n int, projects ...string) (add []func(*http.Request)) {
	for i := range n {
		name := fmt.Sprintf("robot$ci-%02d", i)
		b.harbor.AddAccount(harbortest.Account{Name: name, Password: "secret-of-" + name, Pull: projects})
		add = append(add, basic(name, "secret-of-"+name))
	}
	return add
}

// as makes a request with what say adds to it.
func (b *bubble) as(say func(*http.Request), request string) answer {
	b.Helper()
	r := b.request(request)
	say(r)
	return b.serve(r)
}

// project adds one to Harbor, with an image.
func (b *bubble) project(name string) image {
	b.Helper()
	b.harbor.AddProject(harbortest.Project{Name: name})
	content, err := b.harbor.Content(name)
	if err != nil {
		b.Fatal(err)
	}
	made, err := harbortest.Image(name, 2000, 3000)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := content.Push(name+"/app", "1.0", made); err != nil {
		b.Fatal(err)
	}
	return b.imageOf(name+"/app", "1.0")
}

// What is pulled again and again is asked about once a minute for each robot and
// project, and all of it comes from the cache.
func TestRobotsPullWithFewTokenCalls(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		const robots, pulls = 20, 1000
		projects := []string{"red", "green", "blue"}
		images := map[string][]string{} // requests of one pull
		for _, name := range projects {
			b.project(name)
			pulled := b.pull(name+"/app", "1.0")
			requests := []string{"GET /v2/" + name + "/app/manifests/1.0"}
			for _, child := range listed(t, pulled.body) {
				requests = append(requests, "GET /v2/"+name+"/app/blobs/"+child.digest.String())
			}
			images[name] = requests
		}
		say := b.robots(robots, projects...)
		b.gateOf(harborListener(b))
		for minute := range 3 {
			synctest.Wait()
			b.harbor.ResetRequests()
			began := time.Now()
			for step := range pulls / robots {
				var pulling sync.WaitGroup
				for _, say := range say {
					for _, request := range images[projects[step%len(projects)]] {
						pulling.Go(func() {
							if got := b.as(say, request); got.StatusCode != 200 {
								t.Errorf("step %d, %s: %s %s", step, request, got.Status, got.body)
							}
						})
					}
				}
				pulling.Wait()
				b.pass(time.Minute * robots / (pulls + robots))
			}
			b.pass(time.Minute - time.Since(began))
			theirs := b.harbor.Count(func(r harbortest.Request) bool { return r.IsToken() && strings.HasPrefix(r.Account, "robot$ci-") })
			all := b.harbor.Count(harbortest.Request.IsToken)
			ours := b.harbor.Count(func(r harbortest.Request) bool { return r.IsToken() && r.Account == account })
			if theirs == 0 || theirs > robots*len(projects) || all != theirs+ours {
				t.Errorf("minute %d: %d token calls, %d of them the robots' and %d ours", minute, all, theirs, ours)
			}
			if ours > len(projects) {
				t.Errorf("minute %d: %d token calls of our own", minute, ours)
			}
			if n := b.harbor.Count(harbortest.Request.IsBlob); n > 0 {
				t.Errorf("minute %d: %d blobs were asked for", minute, n)
			}
		}
	})
}

// Whatever is held, whom Harbor does not let in any more is let in here for a minute
// at most.
func TestARobotThatIsTurnedAwayByHarbor(t *testing.T) {
	const bound = time.Minute
	for name, c := range map[string]struct {
		away, back func(h *harbortest.Harbor, robot string)
		status     int
	}{
		"disabled": {func(h *harbortest.Harbor, robot string) { h.Disable(robot) }, nil, 401},
		"removed":  {func(h *harbortest.Harbor, robot string) { h.Remove(robot) }, nil, 401},
		"with another secret": {func(h *harbortest.Harbor, robot string) { h.SetPassword(robot, "renewed") },
			func(h *harbortest.Harbor, robot string) { h.SetPassword(robot, "secret-of-"+robot) }, 401},
		"without its right": {func(h *harbortest.Harbor, robot string) { h.SetRights(robot, nil, nil) },
			func(h *harbortest.Harbor, robot string) { h.SetRights(robot, []string{"team-a"}, nil) }, 403},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				app := b.imageOf("team-a/app", "1.0")
				b.pull(app.repository, app.tag)
				say := b.robots(2, "team-a")
				b.gateOf(harborListener(b))
				warm := []string{"GET /v2/team-a/app/blobs/" + app.blob, "GET /v2/team-a/app/manifests/" + app.manifest, "GET /v2/team-a/app/manifests/1.0",
					"HEAD /v2/team-a/app/manifests/1.0", "GET /v2/team-a/app/tags/list"}
				expect := func(who int, status int) {
					t.Helper()
					for _, request := range warm {
						if got := b.as(say[who], request); got.StatusCode != status {
							t.Errorf("%s: %s, want %d: %s", request, got.Status, status, got.body)
						}
					}
				}
				for range 121 { // what is remembered is as new as it can be
					expect(0, 200)
					b.pass(time.Second)
				}
				began := time.Now()
				c.away(b.harbor, "robot$ci-00")
				for time.Since(began) < bound {
					b.as(say[0], warm[0])
					expect(1, 200)
					b.pass(time.Second)
				}
				for range 20 { // then who asks on and on is slowed down
					expect(0, c.status)
					expect(1, 200)
					b.pass(time.Second)
				}
				if c.back == nil {
					return
				}
				c.back(b.harbor, "robot$ci-00")
				b.pass(6 * time.Second) // a no is remembered for five
				expect(0, 200)
			})
		})
	}
}

// What Harbor said a moment ago holds while it cannot be asked, and no longer. Nobody
// is told that a right password is wrong.
func TestHarborModeInAnOutage(t *testing.T) {
	for _, part := range []harbortest.Part{harbortest.Core, harbortest.Database, harbortest.TokenService} {
		t.Run(strings.ReplaceAll(string(part), " ", "_"), func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				app := b.imageOf("team-a/app", "1.0")
				b.pull(app.repository, app.tag)
				say := b.robots(2, "team-a")
				b.gateOf(harborListener(b))
				blob := "GET /v2/team-a/app/blobs/" + app.blob
				b.as(say[0], blob)
				b.harbor.SetDown(part, true)
				for second := range 120 {
					known, unknown := b.as(say[0], blob).StatusCode, b.as(say[1], blob).StatusCode
					if known != 200 && known != 503 || known != 200 && second < 55 || known != 503 && second > 60 {
						t.Errorf("after %d s who was known gets %d", second, known)
					}
					if unknown != 503 {
						t.Errorf("after %d s who was not known gets %d", second, unknown)
					}
					b.pass(time.Second)
				}
				b.harbor.SetDown(part, false)
				b.pass(2 * time.Minute) // back-offs
				for i := range say {
					if got := b.as(say[i], blob); got.StatusCode != 200 {
						t.Errorf("afterwards: %s %s", got.Status, got.body)
					}
				}
			})
		})
	}
}

// A token service that takes its time keeps nobody waiting for longer than a client
// waits, and makes nobody's password wrong.
func TestHarborTakesItsTime(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		app := b.imageOf("team-a/app", "1.0")
		b.pull(app.repository, app.tag)
		say := b.robots(1, "team-a")
		b.gateOf(harborListener(b))
		for _, delay := range []time.Duration{2 * time.Second, time.Minute} {
			b.harbor.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: delay})
			for _, request := range []string{"GET /v2/", "GET /v2/team-a/app/blobs/" + app.blob, "GET /v2/_catalog"} {
				began := time.Now()
				got := b.as(say[0], request)
				want := map[bool]int{true: 200, false: 503}[delay < 10*time.Second]
				if took := time.Since(began); got.StatusCode != want || took > 12*time.Second || want == 503 && got.Header.Get("Retry-After") == "" {
					t.Errorf("%s, %s late: %s after %s: %s", request, delay, got.Status, took, got.body)
				}
				b.pass(2 * time.Minute)
			}
			b.clearFaults()
		}
		// Nor whoever waits behind another one of that name.
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: time.Minute})
		var waiting sync.WaitGroup
		for _, password := range []string{"one", "two", "three"} {
			waiting.Go(func() {
				if got := b.as(basic(harbortest.Alice, password), "GET /v2/team-a/app/blobs/"+app.blob); got.StatusCode != 503 {
					t.Errorf("%s %s", got.Status, got.body)
				}
			})
		}
		waiting.Wait()
		if strings.Contains(b.log.String(), "context canceled") {
			t.Errorf("the log does not say why\n%s", b.log)
		}
	})
}

// A catalog is filtered by what Harbor grants, in few questions.
func TestCatalogsByHarborsWord(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		for i := range 100 {
			b.project(fmt.Sprintf("p%02d", i))
		}
		say := b.robots(1, "p07", "p50", "p99")
		b.gateOf(harborListener(b))
		b.harbor.ResetRequests()
		got := b.as(say[0], "GET /v2/_catalog")
		body, _ := b.atHarbor(registry.Request{Kind: registry.KindCatalog, Method: http.MethodGet})
		var want []string
		for _, name := range repositoriesIn(t, body) {
			project, _, _ := strings.Cut(name, "/")
			if slices.Contains([]string{"library", "p07", "p50", "p99"}, project) { // library is public
				want = append(want, name)
			}
		}
		if shown := repositoriesIn(t, got.body); len(want) < 4 || !slices.Equal(shown, want) {
			t.Errorf("shows %v, want %v", shown, want)
		}
		theirs := b.harbor.Count(func(r harbortest.Request) bool { return r.IsToken() && r.Account == "robot$ci-00" })
		if theirs == 0 || theirs > 4 { // who it is, and some 50 projects at a time
			t.Errorf("%d token calls for 104 projects", theirs)
		}
	})
}
