package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/bcrypt"
)

// The whole of it with real hashes: what a client sends, and what it is told.
func TestPasswordConversation(t *testing.T) {
	long := strings.Repeat("p", longestPassword)
	p, _ := newTestPassword(t, htpasswdLine(t, "alice", "correct horse")+htpasswdLine(t, "jürgen", "pä:ß")+
		htpasswdLine(t, "lena", long)+htpasswdLine(t, "empty", "")+htpasswdLine(t, "bell", "a\ab"))
	p.compare = bcrypt.CompareHashAndPassword
	const wrongWords = "wrong user name or password"
	for name, test := range map[string]struct {
		authorization []string
		want          string // Subject, or Why and message
	}{
		"right":               {basic("alice", "correct horse"), "alice"},
		"right, with a colon": {basic("jürgen", "pä:ß"), "jürgen"},
		"right, the longest":  {basic("lena", long), "lena"},
		"wrong":               {basic("alice", "wrong horse"), "bad_credentials " + wrongWords},
		"of another user":     {basic("jürgen", "correct horse"), "bad_credentials " + wrongWords},
		"unknown user":        {basic("mallory", "correct horse"), "bad_credentials " + wrongWords},
		"another case":        {basic("Alice", "correct horse"), "bad_credentials " + wrongWords},
		// bcrypt itself takes the first 72 bytes for the whole.
		"right, and one byte more": {basic("lena", long+"p"), "bad_credentials " + wrongWords},
		"long user name":           {basic(strings.Repeat("u", 256), "x"), "bad_credentials " + wrongWords},
		"no password":              {basic("empty", ""), "bad_credentials " + wrongWords},
		"no user name":             {basic("", "correct horse"), "bad_credentials " + wrongWords},
		"control character":        {basic("bell", "a\ab"), "bad_credentials " + wrongWords},
		"nothing":                  {nil, "no_credentials this registry wants a user name and a password: log in first"},
		"podman's nothing":         {[]string{"Basic Og=="}, "no_credentials this registry wants a user name and a password: log in first"},
		"bearer":                   {[]string{"Bearer abc"}, "bad_credentials this registry takes a user name and a password: log in with these"},
		"not base64":               {[]string{"Basic !"}, "bad_credentials this registry takes a user name and a password: log in with these"},
		"twice":                    {append(basic("alice", "correct horse"), basic("alice", "x")...), "bad_credentials this registry takes a user name and a password: log in with these"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time it may be remembered
				r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
				r.Header["Authorization"] = test.authorization
				client, err := p.Authenticate(t.Context(), r)
				got := client.Subject
				if refusal, ok := err.(*Refusal); ok {
					got = string(refusal.Why) + " " + refusal.Answer.Message
					if refusal.Answer.Status != http.StatusUnauthorized {
						t.Errorf("status %d, want 401", refusal.Answer.Status)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			}
		})
	}
	if p.Challenge() != Basic {
		t.Errorf("challenge %q", p.Challenge())
	}
}

func TestSuccessIsRememberedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		for range 10 {
			expect(t, p, "192.0.2.1", "alice", "right", "alice")
			expect(t, p, "192.0.2.2", "alice", "right", "alice")
			time.Sleep(24 * time.Hour)
		}
		world.expectHashes(t, 1)
		world.expectResults(t, "accepted")
	})
}

func TestRefusalIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		for _, username := range []string{"alice", "mallory"} {
			world.hashes.Store(0)
			expect(t, p, "192.0.2.1", username, "wrong", "bad_credentials")
			begun := time.Now()
			expect(t, p, "192.0.2.1", username, "wrong", "bad_credentials")
			time.Sleep(wrongPasswordMemory - time.Second)
			expect(t, p, "192.0.2.2", username, "wrong", "bad_credentials")
			world.expectHashes(t, 1)
			time.Sleep(time.Until(begun.Add(wrongPasswordMemory)))
			expect(t, p, "192.0.2.1", username, "wrong", "bad_credentials")
			world.expectHashes(t, 2)
		}
		world.expectResults(t, "rejected rejected rejected rejected")
	})
}

// What time there is to measure is the same whether the user exists or not.
func TestUnknownUserCostsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		expect(t, p, "192.0.2.1", "mallory", "wrong", "bad_credentials")
		expect(t, p, "192.0.2.1", "alice", "wrong", "bad_credentials")
		world.expectHashes(t, 2)
		var costs []int
		for _, hash := range world.compared {
			cost, err := bcrypt.Cost([]byte(hash))
			if err != nil {
				t.Fatal(err)
			}
			costs = append(costs, cost)
		}
		if costs[0] != costs[1] {
			t.Errorf("an unknown user is compared at cost %d, a known one at %d", costs[0], costs[1])
		}
	})
}

// That no password fits nobody's hash is not what keeps an unknown user out.
func TestUnknownUserNeverGetsIn(t *testing.T) {
	p, _ := newTestPassword(t, line("alice", "right"))
	p.compare = func(_, _ []byte) error { return nil }
	expect(t, p, "192.0.2.1", "mallory", "whatever", "bad_credentials")
}

func TestGuessesAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right")+line("bob", "right"))
		expect(t, p, "192.0.2.1", "bob", "right", "bob")
		for i := range freeAttempts {
			expect(t, p, "192.0.2.1", "alice", fmt.Sprint("guess", i), "bad_credentials")
		}
		world.hashes.Store(0)
		refusal := expect(t, p, "192.0.2.1", "alice", "right", "slowed_down")
		if refusal.Answer.Status != http.StatusServiceUnavailable || refusal.Answer.RetryAfter != 1 {
			t.Errorf("status %d, Retry-After %d; want 503 and 1", refusal.Answer.Status, refusal.Answer.RetryAfter)
		}
		expect(t, p, "192.0.2.1", "alice", "guess0", "bad_credentials") // remembered, and so no attempt
		world.expectHashes(t, 0)
		expect(t, p, "192.0.2.1", "bob", "right", "bob")
		expect(t, p, "192.0.2.2", "alice", "right", "alice")
		expect(t, p, "192.0.2.1", "alice", "right", "alice") // remembered since the line before
		time.Sleep(time.Second)
		expect(t, p, "192.0.2.1", "alice", "guess again", "bad_credentials")
		refusal = expect(t, p, "192.0.2.1", "alice", "another", "slowed_down")
		if refusal.Answer.RetryAfter != 2 {
			t.Errorf("Retry-After %d, want 2", refusal.Answer.RetryAfter)
		}
	})
}

func TestSuccessEndsSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestPassword(t, line("alice", "right"))
		for i := range freeAttempts {
			expect(t, p, "192.0.2.1", "alice", fmt.Sprint("guess", i), "bad_credentials")
		}
		time.Sleep(time.Second)
		expect(t, p, "192.0.2.1", "alice", "right", "alice")
		expect(t, p, "192.0.2.1", "alice", "mistyped", "bad_credentials")
		expect(t, p, "192.0.2.1", "alice", "mistyped again", "bad_credentials")
	})
}

// What a client sends, and what the file holds, is in no error and no log line.
func TestPasswordsAreNotTold(t *testing.T) {
	core, logged := observer.New(zapcore.DebugLevel)
	world := &passwordWorld{}
	world.file.Store(ptr(line("alice", "hunter2")))
	p, err := NewPassword(PasswordOptions{Read: world.read, Listener: ":5000", Events: world, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.compare = world.compare
	var told []string
	for i := range freeAttempts + 1 {
		_, err := p.Authenticate(t.Context(), request("192.0.2.1", "alice", fmt.Sprint("secret", i)))
		told = append(told, err.Error())
	}
	// A name that nobody has may be a password in the wrong place.
	_, err = p.Authenticate(t.Context(), request("192.0.2.1", "secret", "alice"))
	told = append(told, err.Error())
	world.file.Store(ptr("alice:secret"))
	told = append(told, p.Reload().Error())
	for _, entry := range logged.All() {
		told = append(told, entry.Message, fmt.Sprint(entry.ContextMap()))
	}
	if logged.Len() == 0 {
		t.Error("that the file was read is not logged")
	}
	for _, text := range told {
		if strings.Contains(text, "secret") || strings.Contains(text, "$2") {
			t.Errorf("told: %s", text)
		}
	}
}

func TestNewPasswordNeedsAGoodFile(t *testing.T) {
	gone := errors.New("no such file")
	for _, test := range []struct {
		read func() ([]byte, error)
		want string
	}{
		{func() ([]byte, error) { return nil, gone }, "reading the htpasswd file: no such file"},
		{func() ([]byte, error) { return []byte("alice"), nil }, "htpasswd file: line 1: no colon between a user name and a hash: " + anew},
	} {
		if _, err := NewPassword(PasswordOptions{Read: test.read, Events: &passwordWorld{}}); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}
