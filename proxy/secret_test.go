package proxy_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shortestSecret is the length below which a text is found by chance.
const shortestSecret = 8

// shows notes what a client proves itself with, in each form in which it could be
// written down: every test that sends an Authorization so proves that it stays here.
func (w *world) shows(r *http.Request) {
	var secrets []string
	for _, authorization := range r.Header.Values("Authorization") {
		_, sent, _ := strings.Cut(authorization, " ")
		secrets = append(secrets, sent)
	}
	if username, password, ok := r.BasicAuth(); ok {
		secrets = append(secrets, password, username+":"+password)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range secrets {
		if parts := strings.Split(secret, "."); len(parts) == 3 {
			secrets = append(secrets, parts[2]) // a JWT's signature
		}
	}
	for _, secret := range secrets {
		if len(secret) < shortestSecret || slices.Contains(w.shown, secret) {
			continue
		}
		sum := sha256.Sum256([]byte(secret))
		w.shown = append(w.shown, secret, hex.EncodeToString(sum[:]), string(sum[:]),
			base64.StdEncoding.EncodeToString(sum[:]), base64.RawURLEncoding.EncodeToString(sum[:]))
	}
}

// nothingSecret looks through all that was written, and all that was sent, for every
// secret there was.
func (w *world) nothingSecret() {
	clients, all := needles{}, needles{}
	if w.harbor != nil {
		for _, secret := range w.harbor.Secrets() {
			all.add(secret)
		}
	}
	w.mu.Lock() // not before: Harbor has its own lock while it is observed
	defer w.mu.Unlock()
	for _, secret := range w.shown {
		clients.add(secret)
		all.add(secret)
	}
	all.add(w.password)
	written := map[string]string{"the log": w.log.String(), "an answer": w.answers.String()}
	for name, content := range w.folder() {
		written["the cache's "+name] = content
	}
	for where, text := range written {
		w.without(all, where, text)
	}
	w.without(clients, "a request to Harbor", w.upstream.String())
}

func (w *world) without(secrets needles, where, text string) {
	if found := secrets.in(text); found != "" {
		w.Errorf("%s shows a secret: %.12q…", where, found)
	}
}

// needles are looked for by how they begin: there are many of them, and much to look
// through.
type needles map[string][]string

func (n needles) add(secret string) {
	for _, form := range []string{secret, url.QueryEscape(secret)} {
		if len(form) >= shortestSecret && !slices.Contains(n[form[:shortestSecret]], form) {
			n[form[:shortestSecret]] = append(n[form[:shortestSecret]], form)
		}
	}
}

// in returns one that is in the text, or "".
func (n needles) in(text string) string {
	for i := range max(len(text)-shortestSecret+1, 0) {
		for _, form := range n[text[i:i+shortestSecret]] {
			if strings.HasPrefix(text[i:], form) {
				return form
			}
		}
	}
	return ""
}

// folder is all that the cache has on the disk, with what is in the files' names.
func (w *world) folder() map[string]string {
	files := make(map[string]string)
	if w.dir == "" {
		return files // it is in memory alone
	}
	err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		files[entry.Name()] = path + "\x00" + string(content)
		return err
	})
	if err != nil {
		w.Error(err)
	}
	return files
}

// The check itself must find what it looks for.
func TestSecretsWouldBeFound(t *testing.T) {
	w := &world{T: t, dir: t.TempDir(), log: &syncBuffer{}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://test/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice", "correct horse")
	w.shows(r)
	r.Header.Set("Authorization", "Bearer header.claims.signature")
	w.shows(r)
	for _, text := range []string{
		"correct horse", "alice:correct horse", "YWxpY2U6Y29ycmVjdCBob3JzZQ==", "header.claims.signature", "signature",
	} {
		if !slices.Contains(w.shown, text) {
			t.Errorf("%q is not looked for", text)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "found"), []byte("so correct horse it is"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := needles{}
	secrets.add("correct horse")
	for text, want := range map[string]string{
		w.folder()["found"]: "correct horse", "correct horse": "correct horse", "q=correct+horse": "correct+horse",
		"correct horsf": "", "": "", "correct": "",
	} {
		if got := secrets.in(text); got != want {
			t.Errorf("in %q %q is found, want %q", text, got, want)
		}
	}
}

// Clients send their users' passwords for another registry to a mirror that did not
// ask for them, and podman's library sends Basic with neither name nor password.
func TestAuthorizationStaysHere(t *testing.T) {
	for name, authorization := range map[string]string{
		"nothing":                   "",
		"a password for docker.io":  "Basic " + base64.StdEncoding.EncodeToString([]byte("somebody:hunter2-of-docker-io")),
		"neither name nor password": "Basic Og==",
		"another registry's token":  "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJlLW9mLXNvbWVib2R5",
		"garbage":                   "Digest username=\"hunter2-digest\"",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				say := func(r *http.Request) {
					if authorization != "" {
						r.Header.Set("Authorization", authorization)
					}
				}
				for _, w := range slices.Concat(b.imageOf("team-a/app", "1.0").wanted(), common()) {
					if got := b.ask(say, w); got.StatusCode != w.found {
						t.Errorf("%s: %s %s", w, got.Status, got.body)
					}
				}
				b.harborSaw(t, authorization)
			})
		})
	}
}

// harborSaw checks that each Authorization at Harbor was our own account's, and that
// the client's was none.
func (b *bubble) harborSaw(t *testing.T, authorization string) {
	t.Helper()
	requests := b.harbor.Requests()
	if len(requests) == 0 {
		t.Error("Harbor was not asked at all")
	}
	for _, r := range requests {
		got := r.Header.Get("Authorization")
		switch {
		case got != "" && got == authorization:
			t.Errorf("%s %s carries the client's Authorization", r.Method, r.Path)
		case got != "" && r.Account != account, got == "Basic Og==":
			t.Errorf("%s %s carries %.12q, which is for %q", r.Method, r.Path, got, r.Account)
		}
	}
}
