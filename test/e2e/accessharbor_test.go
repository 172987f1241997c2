//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// A harborWorld has a door for whoever has an account in Harbor.
type harborWorld struct {
	*accessWorld
	at string // the door
}

func newHarborWorld(t *testing.T) *harborWorld {
	t.Helper()
	w := &harborWorld{accessWorld: newAccessWorld(t)}
	w.asksHarbor = true
	w.at = w.tlsDoor(t, ownAddress(t), "harbor: {}")
	w.serve(t)
	return w
}

// account gives somebody an account in Harbor that may pull from those projects, and
// returns the right login and a wrong one.
func (w *harborWorld) account(name string, projects ...string) (good, wrong login) {
	good, wrong = w.login(name, "Sx5fKq8vNb-"+name), w.login(name, "Dj2pRt7yHc-"+name)
	w.harbor.AddAccount(harbortest.Account{Name: name, Password: good.secret, Pull: projects})
	return good, wrong
}

const basePath = "/v2/library/base/manifests/1.0"

// Whoever has an account in Harbor logs in with it, and pulls what Harbor lets them.
func TestHarborAccountsOfClients(t *testing.T) {
	w := newHarborWorld(t)

	t.Run("docker", func(t *testing.T) {
		docker := startDaemon(t, newHome(t), w.etcDocker(t), nil)
		for _, name := range []string{"robot$team-a+docker", "alice"} {
			good, wrong := w.account(name, "team-a")
			docker.checkLogin(t, w.at, good, wrong)
			docker.pull(t, w.at+"/team-a/app:1.0")
			docker.checkImage(t, w.at+"/team-a/app:1.0", digestOf(t, w.harbor.app), w.harbor.app)
			docker.checkRefused(t, w.at+"/team-b/secret:1.0", name+" may not pull from team-b/secret")
			docker.run(t, "logout", w.at)
			docker.run(t, "image", "rm", w.at+"/team-a/app:1.0")
		}
	})
	for name, check := range map[string]func(*testing.T, string, login, login){
		"skopeo": w.checkSkopeo, "podman": w.checkPodman, "crane": w.checkCrane,
	} {
		good, wrong := w.account("robot$team-a+"+name, "team-a")
		t.Run(name, func(t *testing.T) { check(t, w.at, good, wrong) })
	}
	t.Run("containerd", func(t *testing.T) {
		good, wrong := w.account("robot$team-a+containerd", "team-a")
		containerd, host := startContainerd(t, w.newHome(t), debians(t)), "https://"+w.at
		with := func(l login) string {
			return hosts(t, host, fmt.Sprintf("ca = %q", w.writeTo(t, t.TempDir())),
				header(host, "Basic "+base64.StdEncoding.EncodeToString([]byte(l.user+":"+l.secret))))
		}
		containerd.checkPull(t, with(good), "team-a/app", w.harbor.app)
		containerd.checkRefused(t, with(wrong), "team-a/app", "401 Unauthorized")
		containerd.checkRefused(t, with(good), "library/base", "403 Forbidden")
	})
	w.checkRefusals(t, w.at, "no_credentials", "bad_credentials", "not_granted")
}

// What each answer tells, and what it costs Harbor: what is held, by tag or digest, is
// given to whom Harbor lets pull it and to nobody else.
func TestHarborDecides(t *testing.T) {
	w := newHarborWorld(t)
	puller, wrong := w.account("robot$team-a+puller", "team-a")
	other, _ := w.account("robot$team-b+puller", "team-b")
	unknown := w.login("robot$team-a+nobody", "Fe6nUz3sMwTk9Bx4")
	layer := layersOf(t, w.harbor.app)[0].String()

	for _, path := range []string{appPath, "/v2/team-a/app/manifests/" + digestOf(t, w.harbor.app).String(), "/v2/team-a/app/blobs/" + layer, "/v2/team-a/app/tags/list"} {
		w.ask(t, w.at, path, puller.basic).check(t, "puller, "+path, http.StatusOK)
		w.ask(t, w.at, path, other.basic).check(t, "of another project, "+path, http.StatusForbidden, "DENIED: ")
		w.ask(t, w.at, path, wrong.basic).check(t, "a wrong password, "+path, http.StatusUnauthorized, "UNAUTHORIZED: ")
		w.ask(t, w.at, path, unknown.basic).check(t, "nobody's name, "+path, http.StatusUnauthorized, "UNAUTHORIZED: ")
		w.ask(t, w.at, path, puller.bearer).check(t, "as Bearer, "+path, http.StatusUnauthorized, "UNAUTHORIZED: ")
		w.ask(t, w.at, path).check(t, "without a login, "+path, http.StatusUnauthorized, "UNAUTHORIZED: ")
	}
	w.ask(t, w.at, ping, puller.basic).check(t, "puller, /v2/", http.StatusOK)
	w.ask(t, w.at, ping, wrong.basic).check(t, "a wrong password, /v2/", http.StatusUnauthorized, "UNAUTHORIZED: ")
	w.ask(t, w.at, "/v2/team-b/app/blobs/"+layer, puller.basic).check(t, "held, but named by another project", http.StatusForbidden, "DENIED: ")
	if got := w.ask(t, w.at, secretPath, other.basic); got.StatusCode < 400 {
		t.Errorf("what Breakwater's own account may not pull: status %d", got.StatusCode)
	}

	var catalog struct{ Repositories []string }
	list := w.ask(t, w.at, "/v2/_catalog", puller.basic)
	list.check(t, "catalog", http.StatusOK)
	decode(t, list.body, &catalog)
	if !slices.Contains(catalog.Repositories, "team-a/app") ||
		slices.ContainsFunc(catalog.Repositories, func(name string) bool { return !strings.HasPrefix(name, "team-a/") }) {
		t.Errorf("the catalog shows %v, want what is in team-a", catalog.Repositories)
	}

	// Many clients, many pulls: a question for each account and project.
	const robots, pulls = 20, 10
	w.harbor.ResetRequests()
	for n := range robots {
		robot, _ := w.account(fmt.Sprintf("robot$ci-%d", n), "team-a", "library")
		for range pulls {
			w.ask(t, w.at, appPath, robot.basic).check(t, robot.user, http.StatusOK)
			w.ask(t, w.at, basePath, robot.basic).check(t, robot.user, http.StatusOK)
		}
	}
	asked := w.harbor.Count(func(r harbortest.Request) bool { return r.IsToken() && strings.HasPrefix(r.Account, "robot$ci-") })
	if asked == 0 || asked > robots*2 {
		t.Errorf("%d pulls by %d robots from 2 projects made %d token calls, want at most %d", robots*pulls*2, robots, asked, robots*2)
	}
}

// A robot that is disabled, or loses its project, is refused within a minute: also what
// is held, and by digest.
func TestHarborRightsEnd(t *testing.T) {
	t.Parallel() // it waits for a minute
	w := newHarborWorld(t)
	disabled, _ := w.account("robot$team-a+disabled", "team-a")
	moved, _ := w.account("robot$team-a+moved", "team-a")
	paths := []string{appPath, "/v2/team-a/app/blobs/" + layersOf(t, w.harbor.app)[0].String()}
	for _, path := range paths {
		for _, l := range []login{disabled, moved} {
			w.ask(t, w.at, path, l.basic).check(t, l.user, http.StatusOK)
		}
	}
	w.harbor.Disable(disabled.user)
	w.harbor.SetRights(moved.user, []string{"library"}, nil)
	for _, tt := range []struct {
		login
		status int
	}{{disabled, http.StatusUnauthorized}, {moved, http.StatusForbidden}} {
		for ended := time.Now(); ; time.Sleep(500 * time.Millisecond) {
			got := w.ask(t, w.at, paths[1], tt.basic)
			if got.StatusCode != http.StatusOK {
				got.check(t, tt.user, tt.status)
				break
			}
			if time.Since(ended) > 65*time.Second {
				t.Fatalf("%s is still served %v after its right ended", tt.user, time.Since(ended))
			}
		}
		for _, path := range paths {
			w.ask(t, w.at, path, tt.basic).check(t, tt.user, tt.status)
		}
	}
}

// With its database down Harbor calls every password wrong. That is told to nobody,
// whether Harbor's health says so yet or not.
func TestHarborDatabaseDown(t *testing.T) {
	t.Parallel() // it waits for Harbor to notice
	w := newHarborWorld(t)
	known, _ := w.account("alice", "team-a")
	w.ask(t, w.at, appPath, known.basic).check(t, "alice", http.StatusOK)
	w.harbor.SetDown(harbortest.Database, true)
	for began, n := time.Now(), 0; time.Since(began) < 13*time.Second; n++ { // its health is looked at every 10 s
		good, wrong := w.account(fmt.Sprintf("robot$team-a+%d", n), "team-a")
		for _, l := range []login{good, wrong} {
			w.ask(t, w.at, appPath, l.basic).check(t, l.user, http.StatusServiceUnavailable, "UNAVAILABLE: ")
			w.ask(t, w.at, ping, l.basic).check(t, l.user, http.StatusServiceUnavailable, "UNAVAILABLE: ")
		}
		w.ask(t, w.at, appPath, known.basic).check(t, "alice, who is remembered", http.StatusOK)
		time.Sleep(500 * time.Millisecond)
	}
	w.checkRefusals(t, w.at, "unverifiable")
	w.harbor.SetDown(harbortest.Database, false)
	later, _ := w.account("robot$team-a+later", "team-a")
	eventually(t, "a right password is accepted again", func() bool {
		got := w.ask(t, w.at, appPath, later.basic).StatusCode
		if got == http.StatusUnauthorized {
			t.Error("a right password is called wrong while Harbor comes back")
		}
		return got == http.StatusOK
	})
}

// One wrong password makes Harbor refuse the right one for 1.5 s. Whoever guesses at a
// user's name all the time makes that user wait, and never hear that the password is
// wrong.
func TestGuessingInHarbor(t *testing.T) {
	t.Parallel() // it waits for the guesses to be slowed down
	w := &harborWorld{accessWorld: newAccessWorld(t)}
	w.asksHarbor = true
	w.at = w.door(t, "127.0.0.1", "harbor: {}")
	w.serve(t)
	alice, _ := w.account("alice", "team-a")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var guessing sync.WaitGroup
	for n := range 8 {
		guesses := []login{w.login("alice", fmt.Sprintf("Kt7wBz4mXq-%d", n)), w.login("alice", fmt.Sprintf("Vh3cLs8dNr-%d", n))}
		guessing.Go(func() {
			client := w.clientFrom("127.0.0.2")
			defer client.CloseIdleConnections()
			for turn := 0; ; turn++ {
				got, err := request(client, w.url(w.at, appPath), guesses[turn%2].basic, func(r *http.Request) { *r = *r.WithContext(ctx) })
				switch {
				case ctx.Err() != nil:
					return
				case err != nil || got.StatusCode != http.StatusUnauthorized && got.StatusCode != http.StatusServiceUnavailable:
					t.Errorf("a guess: %v, error %v; want 401 or 503", got.Response, err)
					return
				}
			}
		})
	}
	guessed := func() int {
		return w.harbor.Count(func(r harbortest.Request) bool { return r.IsToken() && r.Scheme == "Basic" && r.Account == "" })
	}
	eventually(t, "Harbor is asked about a guess", func() bool { return guessed() > 0 })
	for began, status := time.Now(), 0; status != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if status = w.ask(t, w.at, appPath, alice.basic).StatusCode; status == http.StatusUnauthorized {
			t.Fatal("alice's right password is called wrong")
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("alice was not let in for a minute: status %d", status)
		}
	}
	t.Logf("alice was let in when Harbor had been asked %d times about guesses", guessed())
	for range 50 {
		w.ask(t, w.at, appPath, alice.basic).check(t, "alice, who is remembered", http.StatusOK)
	}
	stop()
	guessing.Wait()
	w.checkRefusals(t, w.at, "bad_credentials")
}
