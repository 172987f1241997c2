//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
)

// A login is what a client proves itself with; secret is a password or a token.
type login struct{ user, secret string }

// forms are the ways in which a secret may be written: as it is, as Basic sends it,
// and as a digest, which is enough to find out a weak one.
func (l login) forms() (forms []string) {
	texts := []string{l.secret, l.user + ":" + l.secret}
	if parts := strings.Split(l.secret, "."); len(parts) == 3 && parts[2] != "" {
		texts = append(texts, parts[2]) // a token's signature: the rest can be guessed
	}
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		forms = append(forms, text, hex.EncodeToString(sum[:]), strings.ToUpper(hex.EncodeToString(sum[:])))
		for _, bytes := range [][]byte{[]byte(text), sum[:]} {
			forms = append(forms, base64.RawStdEncoding.EncodeToString(bytes), base64.RawURLEncoding.EncodeToString(bytes))
		}
	}
	return forms
}

func (l login) in(text string) bool {
	for _, form := range l.forms() {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// checkClientsSecrets looks for what clients proved themselves with in everything that
// Breakwater wrote, and in what it said to Harbor.
func (w *accessWorld) checkClientsSecrets(t *testing.T, log, page string) {
	t.Helper()
	written := map[string]string{"the log": log, "the metrics page": page}
	for path := range filesBelow(t, w.dir) {
		written["the file "+path] = path + "\n" + string(must(os.ReadFile(path))(t))
	}
	if len(written) < 3 {
		t.Error("nothing was kept on disk: there is nothing to look into")
	}
	shown := false // to the token service
	for i, r := range w.harbor.Requests() {
		said := string(must(json.Marshal(r))(t))
		if w.asksHarbor && r.IsToken() {
			shown = shown || w.knows(said)
			continue
		}
		written[fmt.Sprintf("request %d to Harbor, %s %s,", i, r.Method, r.Path)] = said
	}
	if w.asksHarbor && !shown {
		t.Error("no client's password reached Harbor's token service")
	}
	for where, text := range written {
		for _, l := range w.known {
			if l.in(text) {
				t.Errorf("%s holds what %q logs in with", where, l.user)
			}
		}
	}
}

func (w *accessWorld) knows(text string) bool {
	for _, l := range w.known {
		if l.in(text) {
			return true
		}
	}
	return false
}

// A refusalKind is what refusals are counted by.
type refusalKind struct{ listener, why string }

// refusals are the counts on the metrics page that are not 0.
func (w *accessWorld) refusals(t *testing.T) map[refusalKind]int {
	t.Helper()
	family := scrape(t, w.world)["breakwater_client_refusals_total"]
	if family == nil {
		t.Fatal("there is no metric breakwater_client_refusals_total")
	}
	counted := make(map[refusalKind]int)
	for _, metric := range family.GetMetric() {
		var of refusalKind
		for _, label := range metric.GetLabel() {
			switch label.GetName() {
			case "listener":
				of.listener = label.GetValue()
			case "reason":
				of.why = label.GetValue()
			}
		}
		if n := int(metric.GetCounter().GetValue()); n > 0 {
			counted[of] = n
		}
	}
	return counted
}

// checkAudit compares the counts with the log: one line for each refusal, which tells
// where, who and why. Of no_credentials there is none: pulls begin with it.
func (w *accessWorld) checkAudit(t *testing.T, counted map[refusalKind]int) {
	t.Helper()
	logged := make(map[refusalKind]int)
	for _, line := range w.breakwater.logLines(t) {
		if line["message"] != "refused" {
			continue
		}
		text := func(name string) string { value, _ := line[name].(string); return value }
		logged[refusalKind{text("listener"), text("refused")}]++
		if text("client") == "" || text("level") != "warn" {
			t.Errorf("a line on a refusal does not tell who it was, or is no warning: %v", line)
		}
		nameless := strings.HasPrefix(w.modes[text("listener")], "anonymous")
		if why := text("refused"); (why == "not_allowed" || why == "not_granted") && nameless == (text("subject") != "") {
			t.Errorf("a line on %s has the subject %q", why, text("subject"))
		}
	}
	maps.DeleteFunc(counted, func(of refusalKind, _ int) bool { return of.why == "no_credentials" })
	if !maps.Equal(logged, counted) {
		t.Errorf("refusals as logged %v, as counted %v", logged, counted)
	}
}

// checkRefusals looks for refusals that must have been counted.
func (w *accessWorld) checkRefusals(t *testing.T, door string, whys ...string) {
	t.Helper()
	counted := w.refusals(t)
	for _, why := range whys {
		if counted[refusalKind{door, why}] == 0 {
			t.Errorf("no refusal at %s is counted as %s: %v", door, why, counted)
		}
	}
}
