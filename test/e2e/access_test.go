//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An accessWorld is a world whose Breakwater asks clients who they are, and writes
// all that it would ever write to its log.
type accessWorld struct {
	*world
	*authority                   // whose certificates the doors show
	dir        string            // Breakwater's folder
	doors      []string          // listeners, in YAML
	modes      map[string]string // the configuration of each door, but for its address and TLS
	overTLS    map[string]bool
	known      []login // what clients prove themselves with, good or bad; it must be found nowhere
	// asksHarbor: clients' credentials are shown to Harbor's token service, and nowhere else.
	asksHarbor bool
}

// newAccessWorld prepares a world: doors are added to it, then it serves.
func newAccessWorld(t *testing.T) *accessWorld {
	t.Helper()
	b := &breakwater{admin: freeAddress(t)}
	return &accessWorld{
		world: &world{harbor: startHarbor(t), breakwater: b}, authority: newAuthority(t, "Breakwater's authority"),
		dir: filepath.Join(t.TempDir(), "cache"), modes: make(map[string]string), overTLS: make(map[string]bool),
	}
}

// door adds a listener on a host with that access mode, in YAML's flow style, and
// returns its address.
func (w *accessWorld) door(t *testing.T, host, mode string) string {
	t.Helper()
	return w.add(t, host, "", mode)
}

// tlsDoor adds a listener with a certificate for its host.
func (w *accessWorld) tlsDoor(t *testing.T, host, mode string) string {
	t.Helper()
	cert, key := w.issue(t, server(host)).files(t, t.TempDir(), "tls")
	address := w.add(t, host, fmt.Sprintf("tls: {cert_file: %q, key_file: %q}, ", cert, key), mode)
	w.overTLS[address] = true
	return address
}

func (w *accessWorld) add(t *testing.T, host, tls, mode string) (address string) {
	t.Helper()
	address = freeAddressOf(t, host)
	w.modes[address] = mode
	w.doors = append(w.doors, fmt.Sprintf("{address: %q, %s%s}", address, tls, mode))
	return address
}

// serve starts Breakwater. When the test ends it is ended, and what must hold for
// every run is checked.
func (w *accessWorld) serve(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf("cache: {dir: %q, min_free: 0%%}\nupstreams:\n  harbor: {url: %q, username: %q, password_file: %q, record_pull: 0s}\n",
		w.dir, w.harbor.url, robotName, passwordFile(t, robotPassword))
	text += fmt.Sprintf("routes: {%s: {to: harbor, repositories: [\"**\"]}}\n", namedRegistry)
	text += "listeners: [" + strings.Join(w.doors, ", ") + fmt.Sprintf("]\nadmin: {address: %q}\nlog: {level: debug}\n", w.breakwater.admin)
	name := filepath.Join(t.TempDir(), "config.yaml")
	mustDo(t, os.WriteFile(name, []byte(text), 0o600))
	w.breakwater.launch(t, "--config", name)
	t.Cleanup(func() { w.end(t) })
	w.breakwater.waitReady(t)
}

func (w *accessWorld) end(t *testing.T) {
	page := w.breakwater.metrics(t)
	counted := w.refusals(t)
	if err := w.breakwater.stop(); err != nil {
		t.Error(err)
	}
	w.breakwater.checkLog(t)
	w.checkAudit(t, counted)
	log := w.breakwater.output.String()
	checkNoSecrets(t, "the log", log, w.harbor.Secrets())
	w.checkClientsSecrets(t, log, string(page))
}

// basic and bearer have a request say who sends it.
func (l login) basic(r *http.Request)  { r.SetBasicAuth(l.user, l.secret) }
func (l login) bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer "+l.secret) }

// login makes what a client proves itself with known to the checks at the end.
func (w *accessWorld) login(user, secret string) login {
	l := login{user, secret}
	w.known = append(w.known, l)
	return l
}

// url is where a client finds a path.
func (w *accessWorld) url(door, path string) string {
	if w.overTLS[door] {
		return "https://" + door + path
	}
	return "http://" + door + path
}

// ask is one GET on a connection of its own, which trusts the world's authority.
func (w *accessWorld) ask(t *testing.T, door, path string, as ...func(*http.Request)) answer {
	t.Helper()
	client := w.client()
	defer client.CloseIdleConnections()
	return must(request(client, w.url(door, path), as...))(t)
}

// client trusts the world's authority.
func (w *accessWorld) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: w.trusting()}, Timeout: 30 * time.Second}
}

// An answer is a response, read to its end.
type answer struct {
	*http.Response
	body []byte
}

func request(client *http.Client, url string, as ...func(*http.Request)) (answer, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for _, change := range as {
		change(r)
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, body}, err
}

// check compares the status, and with a refusal what its document says: the code,
// and words that help.
func (a answer) check(t *testing.T, what string, status int, says ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: status %d, want %d: %.300s", what, a.StatusCode, status, a.body)
		return
	}
	if status < http.StatusBadRequest {
		return
	}
	var refusal struct {
		Errors []struct{ Code, Message string }
	}
	decode(t, a.body, &refusal)
	if len(refusal.Errors) != 1 {
		t.Fatalf("%s: no registry error: %s", what, a.body)
	}
	for _, words := range says {
		if told := refusal.Errors[0].Code + ": " + refusal.Errors[0].Message; !strings.Contains(told, words) {
			t.Errorf("%s: told %q, want %q in it", what, told, words)
		}
	}
}

// The paths that most tests ask for.
const (
	ping       = "/v2/"
	appPath    = "/v2/team-a/app/manifests/1.0"
	secretPath = "/v2/team-b/secret/manifests/1.0"
)

// newHome returns a home that trusts the world's authority.
func (w *accessWorld) newHome(t *testing.T) home {
	t.Helper()
	h := newHome(t)
	w.writeTo(t, h.dir)
	return h
}

// ownAddress is an address of this machine that is not of the loopback interface, so
// that clients, which make an exception of that one, look at certificates. Where there
// is no network it is the loopback interface's.
func ownAddress(t *testing.T) string {
	t.Helper()
	for _, address := range must(net.InterfaceAddrs())(t) {
		if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	t.Log("this machine has no address but 127.0.0.1: clients may not look at the certificate")
	return "127.0.0.1"
}
