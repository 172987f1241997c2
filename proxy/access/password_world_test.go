package access

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// passwordWorld is what is around a Password: the file, bcrypt, and the metrics.
type passwordWorld struct {
	file   atomic.Pointer[string]
	takes  time.Duration // for each hash
	hashes atomic.Int64

	mu       sync.Mutex // guards the rest
	now      int        // hashes under way
	most     int        // of these at once
	compared []string
	results  []string
}

// newTestPassword returns a Password of that htpasswd file, whose lines line made.
func newTestPassword(t *testing.T, file string) (*Password, *passwordWorld) {
	t.Helper()
	world := &passwordWorld{}
	world.file.Store(&file)
	p, err := NewPassword(PasswordOptions{Read: world.read, Listener: ":5000", Events: world})
	if err != nil {
		t.Fatal(err)
	}
	p.compare = world.compare
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, world
}

func (w *passwordWorld) read() ([]byte, error) { return []byte(*w.file.Load()), nil }

// compare stands in for bcrypt: it knows the password of the hashes that line makes.
func (w *passwordWorld) compare(hash, password []byte) error {
	w.hashes.Add(1)
	w.mu.Lock()
	w.compared = append(w.compared, string(hash))
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	time.Sleep(w.takes)
	w.mu.Lock()
	w.now--
	w.mu.Unlock()
	if strings.HasSuffix(string(hash), "."+string(password)) {
		return nil
	}
	return bcrypt.ErrMismatchedHashAndPassword
}

// ClientRefused implements [Events].
func (w *passwordWorld) ClientRefused(string, Why) {}

// CredentialsChecked implements [Events].
func (w *passwordWorld) CredentialsChecked(_ string, result Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, string(result))
}

func (w *passwordWorld) expectHashes(t *testing.T, want int64) {
	t.Helper()
	if got := w.hashes.Load(); got != want {
		t.Errorf("%d passwords were hashed, want %d", got, want)
	}
}

func (w *passwordWorld) expectResults(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.results, " "); got != want {
		t.Errorf("checks came to %q, want %q", got, want)
	}
}

// expect authenticates, and compares the subject or, of a refusal, the reason.
func expect(t *testing.T, p *Password, from, username, password, want string) *Refusal {
	t.Helper()
	client, err := p.Authenticate(context.Background(), request(from, username, password))
	refusal, _ := err.(*Refusal)
	if got := came(client, err); got != want {
		t.Fatalf("%s from %s with %s: %s, want %s", username, from, password, got, want)
	}
	return refusal
}

// came is what an authentication came to, in one word.
func came(client Client, err error) string {
	if refusal, ok := err.(*Refusal); ok {
		return string(refusal.Why)
	}
	if err != nil {
		return err.Error()
	}
	return client.Subject
}

func request(from, username, password string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.RemoteAddr = from + ":40000"
	r.SetBasicAuth(username, password)
	return r
}

func basic(username, password string) []string {
	return request("192.0.2.1", username, password).Header["Authorization"]
}

// line is one of a file for passwordWorld: well-formed, and of the password asked for.
func line(username, password string) string {
	return fmt.Sprintf("%s:$2y$10$%s.%s\n", username, strings.Repeat("a", 53-1-len(password)), password)
}

// htpasswdLine is one as the tool of that name writes it.
func htpasswdLine(t *testing.T, username, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return username + ":" + strings.Replace(string(hash), "$2a$", "$2y$", 1) + "\n"
}

func ptr[T any](v T) *T { return &v }
