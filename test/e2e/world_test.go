//go:build e2e

package e2e

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

// A world is one Harbor with content, one Breakwater in front of it, and the
// wire that clients use.
type world struct {
	harbor     *harbor
	breakwater *breakwater
	// registry is the host:port by which clients reach Breakwater; what goes
	// through it is heard by the tap.
	registry string
	tap      *tap
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{harbor: startHarbor(t)}
	w.breakwater = startBreakwater(t, w.harbor.url, robotName, robotPassword)
	w.tap = newTap(t, w.breakwater.registry)
	w.registry = w.tap.address
	t.Cleanup(func() { w.end(t) })
	return w
}

// end takes the world down and checks what must hold after every run.
func (w *world) end(t *testing.T) {
	page := ""
	select {
	case <-w.breakwater.exited: // the test ended it
	default:
		page = string(w.breakwater.metrics(t))
	}
	if err := w.breakwater.stop(); err != nil {
		t.Error(err)
	}
	w.tap.close()
	w.breakwater.checkLog(t)
	checkRequests(t, w.tap.requests())
	checkAnswers(t, w.tap.answers())
	for where, text := range map[string]string{
		"the log":          w.breakwater.output.String(),
		"the metrics page": page,
		"an answer":        w.tap.answers(),
	} {
		checkNoSecrets(t, where, text, w.harbor.Secrets())
	}
}

// checkRequests makes sure that the clients had no credentials to send, so that
// every pull of a private image is Breakwater's doing.
func checkRequests(t *testing.T, requests string) {
	if line := headerLine(requests, "authorization"); line != "" {
		t.Errorf("a client sent credentials: %.60s", line)
	}
}

// checkAnswers looks for headers that are Harbor's business with Breakwater and
// nobody else's.
func checkAnswers(t *testing.T, answers string) {
	for _, name := range []string{"set-cookie", "www-authenticate", "authorization", "x-harbor-csrf-token"} {
		if line := headerLine(answers, name); line != "" {
			t.Errorf("an answer has %.120s", line)
		}
	}
}

// headerLine returns the first line of a conversation that begins with the
// header's name.
func headerLine(conversation, name string) string {
	lines := bufio.NewScanner(strings.NewReader(conversation))
	lines.Buffer(nil, len(conversation)+1) // a body may be one long line
	for lines.Scan() {
		if key, _, ok := strings.Cut(lines.Text(), ":"); ok && strings.EqualFold(key, name) {
			return lines.Text()
		}
	}
	return ""
}

// checkNoSecrets looks for every secret that Harbor knows of. The robot's
// password and a token must be among them, or there was nothing to leak.
func checkNoSecrets(t *testing.T, where, text string, secrets []string) {
	isToken := func(secret string) bool { return strings.HasPrefix(secret, "eyJ") }
	if !slices.Contains(secrets, robotPassword) || !slices.ContainsFunc(secrets, isToken) {
		t.Error("Harbor gave out no token to the robot")
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s contains the secret %.6s…", where, secret)
		}
	}
}
