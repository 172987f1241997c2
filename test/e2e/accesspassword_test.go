//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// htpasswd writes the file of users, with hashes that are quickly made.
func htpasswd(t *testing.T, file string, users ...login) {
	t.Helper()
	var text strings.Builder
	for _, u := range users {
		hash := must(bcrypt.GenerateFromPassword([]byte(u.secret), bcrypt.MinCost))(t)
		fmt.Fprintf(&text, "%s:%s\n", u.user, hash)
	}
	mustDo(t, os.WriteFile(file, []byte(text.String()), 0o600))
}

// A passwordWorld has two doors, both for the users of one file: one with TLS, and one
// without for this machine.
type passwordWorld struct {
	*accessWorld
	htpasswd                 string
	plain, tls               string
	alice, carol, bob, wrong login // bob is not in the file yet
}

func newPasswordWorld(t *testing.T) *passwordWorld {
	t.Helper()
	w := &passwordWorld{accessWorld: newAccessWorld(t), htpasswd: filepath.Join(t.TempDir(), "htpasswd")}
	w.alice, w.bob = w.login("alice", "Gq7vTn2xKeYd5Rb9"), w.login("bob", "Wm3zHs8pJcUf6Xa1")
	w.carol, w.wrong = w.login("carol", "Ny8kDs2wFgLp5Vt7"), w.login("alice", "Zk4yBv6tLoNw9Qe2")
	htpasswd(t, w.htpasswd, w.alice, w.carol)
	mode := fmt.Sprintf("password: {htpasswd_file: %q}, allow: [{subjects: [alice, bob, carol], pull: [\"harbor.example.com/team-a/**\"]}]", w.htpasswd)
	w.plain, w.tls = w.door(t, "127.0.0.1", mode), w.tlsDoor(t, ownAddress(t), mode)
	w.serve(t)
	return w
}

// Whoever has a password logs in with each client and pulls, over TLS with an
// authority that the client was told of, and over plain http on the same machine.
func TestPasswordsOfClients(t *testing.T) {
	w := newPasswordWorld(t)
	doors := map[string]string{"plain http": w.plain, "TLS": w.tls}

	t.Run("docker", func(t *testing.T) {
		docker := startDaemon(t, newHome(t), w.etcDocker(t), nil)
		for name, door := range doors {
			t.Run(name, func(t *testing.T) {
				docker.checkLogin(t, door, w.alice, w.wrong)
				docker.pull(t, door+"/team-a/app:1.0")
				docker.checkImage(t, door+"/team-a/app:1.0", digestOf(t, w.harbor.app), w.harbor.app)
				docker.checkRefused(t, door+"/library/base:1.0", "alice may not pull from library/base")
				docker.run(t, "logout", door)
				docker.checkRefused(t, door+"/team-a/app:1.0", "no basic auth credentials")
			})
		}
	})

	for name, check := range map[string]func(*testing.T, string, login, login){
		"skopeo": w.checkSkopeo, "podman": w.checkPodman, "crane": w.checkCrane,
	} {
		for wire, door := range doors {
			t.Run(name+"/"+wire, func(t *testing.T) { check(t, door, w.alice, w.wrong) })
		}
	}

	t.Run("containerd, by a header", func(t *testing.T) {
		containerd, host := startContainerd(t, w.newHome(t), debians(t)), "https://"+w.tls
		with := func(l login) string {
			return hosts(t, host, fmt.Sprintf("ca = %q", w.writeTo(t, t.TempDir())),
				header(host, "Basic "+base64.StdEncoding.EncodeToString([]byte(l.user+":"+l.secret))))
		}
		containerd.checkPull(t, with(w.alice), "team-a/app", w.harbor.app)
		containerd.checkRefused(t, with(w.wrong), "team-a/app", "401 Unauthorized")
		containerd.checkRefused(t, with(w.alice), "library/base", "403 Forbidden")
	})
	w.checkRefusals(t, w.tls, "no_credentials", "bad_credentials", "not_allowed")
}

// The file is read again when it changes: who is gone from it is refused, also what is
// held and by digest, and who is new is let in.
func TestPasswordFileChanges(t *testing.T) {
	t.Parallel() // it waits for Breakwater to look
	w := newPasswordWorld(t)
	layer := "/v2/team-a/app/blobs/" + layersOf(t, w.harbor.app)[0].String()
	for _, path := range []string{ping, appPath, layer} {
		w.ask(t, w.tls, path, w.alice.basic).check(t, "alice", http.StatusOK)
		w.ask(t, w.tls, path, w.bob.basic).check(t, "bob", http.StatusUnauthorized, "UNAUTHORIZED: wrong user name or password")
	}
	htpasswd(t, w.htpasswd, w.bob)
	eventually(t, "alice is refused, being gone from the file", func() bool {
		return w.ask(t, w.tls, appPath, w.alice.basic).StatusCode == http.StatusUnauthorized
	})
	for _, path := range []string{ping, appPath, layer} {
		w.ask(t, w.tls, path, w.bob.basic).check(t, "bob", http.StatusOK)
		w.ask(t, w.tls, path, w.alice.basic).check(t, "alice", http.StatusUnauthorized, "wrong user name or password")
	}
}

// While somebody guesses, as fast as connections allow, who is known goes on pulling,
// and who comes from elsewhere can log in.
func TestGuessingKeepsNobodyOut(t *testing.T) {
	w := newPasswordWorld(t)
	w.ask(t, w.plain, appPath, w.alice.basic).check(t, "alice", http.StatusOK)

	const guesses = 500
	var guessing, pulling sync.WaitGroup
	var over atomic.Bool
	for n := range guesses {
		l := w.login([]string{"alice", "mallory", fmt.Sprintf("user%d", n)}[n%3], fmt.Sprintf("Hd5cVr8nTqMx%04d", n))
		guessing.Go(func() {
			client := w.client()
			defer client.CloseIdleConnections()
			answer, err := request(client, w.url(w.plain, appPath), l.basic)
			if err != nil || answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a guess: %v, error %v; want 401 or 503", answer.Response, err)
			}
		})
	}
	pulls := 0
	pulling.Go(func() {
		client := w.client()
		defer client.CloseIdleConnections()
		for ; !over.Load() || pulls < 20; pulls++ {
			answer, err := request(client, w.url(w.plain, appPath), w.alice.basic)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("alice, after %d pulls: %v, error %v", pulls, answer.Response, err)
				return
			}
		}
	})
	w.askFrom(t, "127.0.0.2", w.plain, appPath, w.carol.basic).check(t, "carol's first login, from another address", http.StatusOK)
	guessing.Wait()
	over.Store(true)
	pulling.Wait()
	t.Logf("%d pulls by alice during %d guesses", pulls, guesses)
	if hashed := w.checks(t, "rejected"); hashed > guesses/2 {
		t.Errorf("%v of %d guesses were hashed", hashed, guesses)
	}
	w.checkRefusals(t, w.plain, "bad_credentials", "busy")
}
