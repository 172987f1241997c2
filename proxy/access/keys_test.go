package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keysLost  = "error the issuer's keys cannot be had: tokens are verified by those in hand, if there are any"
	keysFound = "info the issuer's keys can be had again"
)

func TestManyWaitForOneQuestion(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantQuestions(0) // by construction
		w.provider.set(func(p *provider) { p.takes = time.Second })
		came := make(chan string)
		for i := range 100 {
			go func() { came <- w.come(w.sign(claim("sub", fmt.Sprint("number ", i)))) }()
		}
		for range 100 {
			if got := <-came; !strings.HasPrefix(got, "number ") {
				t.Error(got)
			}
		}
		w.wantQuestions(1)
		w.wantLogged()
	})
}

// Whoever leaves ends nobody else's question, and a question without an answer yet
// says nothing about anybody's token.
func TestAQuestionOutlivesWhoCausedIt(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.provider.set(func(p *provider) { p.takes = 2 * time.Second })
		token := w.sign()
		impatient, leave := context.WithTimeout(w.Context(), time.Second)
		defer leave()
		if _, err := w.mode.Authenticate(impatient, bearing("Bearer "+token)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the client's own end", err)
		}
		w.wantCome(token, builder)
		w.wantQuestions(1)
	})
}

func TestUnknownKeysCauseFewQuestions(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantCome(w.sign(), builder)
		w.wantQuestions(1)
		forger := newSigner(w, "")
		for i := range 1000 {
			w.wantCome(forger.sign(field("kid", fmt.Sprint("key ", i))), "bad_credentials")
		}
		w.wantQuestions(0)
		time.Sleep(keysPause)
		for i := range 1000 {
			w.wantCome(forger.sign(field("kid", fmt.Sprint("another key ", i))), "bad_credentials")
		}
		w.wantQuestions(1)
		w.wantCome(w.sign(claim("sub", "somebody else")), "somebody else")
	})
}

// What no key of whatever issuer can mend is refused without a question.
func TestNoQuestionForWhatIsNoGoodAnyhow(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		for name, token := range map[string]string{
			"not a token":    "correct-horse",
			"another issuer": w.sign(claim("iss", "https://elsewhere.example.com")),
			"over-long":      w.sign(claim("more", strings.Repeat("x", longestJWT))),
			"alg none":       unsigned(w),
			"alg HS256":      hmacSigned(w, []byte("guess")),
		} {
			if got := w.come(token); got != "bad_credentials" {
				t.Errorf("%s: %s", name, got)
			}
		}
		w.wantQuestions(0)
	})
}

func TestRotationIsPickedUp(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		before := w.sign()
		w.wantCome(before, builder)
		next := newSigner(w, "two")
		w.rotate(w.jwk(), next.jwk())
		after := next.sign()
		w.wantCome(after, "bad_credentials") // it was asked just now
		time.Sleep(keysPause)
		w.wantCome(after, builder)
		w.wantCome(before, builder)
		w.wantQuestions(2)
	})
}

func TestOldKeysAreAskedForInTheBackground(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantCome(w.sign(), builder)
		w.wantQuestions(1)
		w.rotate(newSigner(w, "two").jwk())
		time.Sleep(keysLife - time.Second)
		w.wantCome(w.sign(), builder)
		synctest.Wait()
		w.wantQuestions(0)
		time.Sleep(time.Second)
		w.provider.set(func(p *provider) { p.takes = time.Second })
		token, began := w.sign(), time.Now()
		w.wantCome(token, builder)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("who is known waited %s", waited)
		}
		time.Sleep(3 * time.Second)
		w.wantQuestions(1)
		w.wantCome(token, "bad_credentials") // its key was taken back, and the memory of it with that
	})
}

func TestIssuerDownAtFirst(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.provider.set(func(p *provider) { p.down = true })
		token, late := w.sign(), w.sign(claim("sub", "late"))
		for i := range 20 {
			_, err := w.mode.Authenticate(w.Context(), bearing("Bearer "+token))
			refusal, ok := errors.AsType[*Refusal](err)
			if !ok || refusal.Why != Unverifiable || refusal.Answer.Status != http.StatusServiceUnavailable || refusal.Answer.RetryAfter != 10 {
				t.Fatalf("%v, want 503 for a while", err)
			}
			time.Sleep(time.Second)
			if i == 18 {
				w.wantCome(late, "unverifiable")
			}
		}
		if got := w.asked(); len(got) != 2 {
			t.Errorf("in 20 s the issuer saw %v, want one request in 10 s", got)
		}
		w.wantLogged(keysLost)
		w.provider.set(func(p *provider) { p.down = false })
		w.wantCome(late, "late") // of a 503 nothing is remembered
		w.wantCome(token, builder)
		w.wantLogged(keysFound)
	})
}

func TestIssuerDownLater(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantCome(w.sign(), builder)
		w.provider.set(func(p *provider) { p.down = true })
		for range 3 * 24 {
			time.Sleep(time.Hour)
			w.wantCome(w.sign(), builder)
		}
		synctest.Wait()
		w.wantLogged(keysLost)
		// Whether it is the issuer's newest key only the issuer can tell.
		next := newSigner(w, "two")
		w.wantCome(next.sign(), "unverifiable")
		w.rotate(next.jwk())
		w.provider.set(func(p *provider) { p.down = false })
		time.Sleep(keysPause)
		w.wantCome(next.sign(), builder)
		w.wantLogged(keysFound)
	})
}

func TestAnIssuerThatHangsIsNotWaitedForLong(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.provider.set(func(p *provider) { p.takes = time.Hour })
		began := time.Now()
		w.wantCome(w.sign(), "unverifiable")
		if waited := time.Since(began); waited != keysLimit {
			t.Errorf("waited %s, want %s", waited, keysLimit)
		}
	})
}

func TestCloseEndsAQuestion(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantCome(w.sign(), builder)
		time.Sleep(keysLife)
		w.provider.set(func(p *provider) { p.takes = time.Hour })
		w.wantCome(w.sign(), builder) // and a question is under way
		synctest.Wait()
		began := time.Now()
		if err := w.mode.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %s", took)
		}
		w.wantLogged() // it was not the issuer that failed
	})
}

func TestReloadAsksAtTheNextUse(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantCome(w.sign(), builder)
		if err := w.mode.Reload(); err != nil {
			t.Error(err)
		}
		w.wantQuestions(1)
		w.wantCome(w.sign(claim("sub", "somebody else")), "somebody else")
		synctest.Wait()
		w.wantQuestions(1)
	})
}

// What is no good of an issuer's answers is as if there were none.
func TestAnswersOfNoUse(t *testing.T) {
	answer := func(path, body string, status int) func(*provider) {
		return func(p *provider) {
			p.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				w.Header().Set("Location", "https://elsewhere.example.com/")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return true
			}
		}
	}
	const configuration = "/.well-known/openid-configuration"
	many := make([]jose.JSONWebKey, 200)
	for i := range many {
		many[i] = newSigner(t, fmt.Sprint(i)).jwk()
	}
	for name, test := range map[string]struct {
		change func(*provider)
		want   string
	}{
		"another issuer's":          {func(p *provider) { p.says = "https://elsewhere.example.com" }, `its openid-configuration is that of the issuer "https://elsewhere.example.com"`},
		"with a slash more":         {func(p *provider) { p.says += "/" }, `is that of the issuer "https://cluster.example.com/"`},
		"keys in the clear":         {func(p *provider) { p.jwksURI = "http://cluster.example.com/keys?sig=secret" }, "its jwks_uri is not https: http://cluster.example.com/keys"},
		"keys nowhere":              {func(p *provider) { p.jwksURI = "" }, "its jwks_uri is no URL"},
		"keys without a host":       {func(p *provider) { p.jwksURI = "/keys" }, "its jwks_uri is no URL"},
		"keys behind a password":    {func(p *provider) { p.jwksURI = "https://user:secret@cluster.example.com/keys" }, "its jwks_uri is no URL"},
		"keys at a long URL":        {func(p *provider) { p.jwksURI += "?" + strings.Repeat("x", longestURI) }, "its jwks_uri is no URL"},
		"too many keys":             {func(p *provider) { p.keys = many }, "the JWK set holds 200 keys: at most 100 are read"},
		"no keys":                   {func(p *provider) { p.keys = nil }, "the JWK set holds no public key"},
		"configuration not there":   {answer(configuration, "secret", 404), "GET https://cluster.example.com/.well-known/openid-configuration: 404 Not Found"},
		"configuration not JSON":    {answer(configuration, "<html>secret", 200), "its openid-configuration is not JSON"},
		"configuration elsewhere":   {answer(configuration, "", 302), "openid-configuration: 302 Found"},
		"configuration too long":    {answer(configuration, strings.Repeat(" ", largestKeys+1), 200), "more than 1048576 bytes"},
		"keys not there":            {answer("/keys", "secret", 403), "GET https://cluster.example.com/keys: 403 Forbidden"},
		"keys elsewhere":            {answer("/keys", "", 307), "GET https://cluster.example.com/keys: 307 Temporary Redirect"},
		"keys too long":             {answer("/keys", strings.Repeat(" ", largestKeys+1), 200), "more than 1048576 bytes"},
		"keys that are not JSON":    {answer("/keys", "secret", 200), "the keys are not a JWK set"},
		"keys that are not a list":  {answer("/keys", `{"keys":"secret"}`, 200), "the keys are not a JWK set"},
		"keys that are not objects": {answer("/keys", `{"keys":["secret",7,null]}`, 200), "the JWK set holds no public key"},
	} {
		inTokenWorld(t, func(w *tokenWorld) {
			w.provider.set(test.change)
			w.wantCome(w.sign(), "unverifiable")
			logged := fmt.Sprint(w.logged.All()[0].ContextMap())
			if !strings.Contains(logged, test.want) || strings.Contains(logged, "secret") || !strings.Contains(logged, clusterIssuer) {
				t.Errorf("%s: logged %s, want %s", name, logged, test.want)
			}
			for _, request := range w.asked() {
				if !strings.HasPrefix(request, clusterIssuer+"/") {
					t.Errorf("%s: asked %s", name, request)
				}
			}
			w.provider.set(func(p *provider) {
				p.says, p.jwksURI, p.keys, p.fault = clusterIssuer, clusterIssuer+"/keys", []jose.JSONWebKey{w.jwk()}, nil
			})
			time.Sleep(keysPause)
			w.wantCome(w.sign(), builder)
		})
	}
}

// What an issuer wants to see goes to its own origin, even if it names itself otherwise.
func TestWhereAnIssuerIsAsked(t *testing.T) {
	const outside = "https://192.0.2.7:6443/openid/v1/jwks"
	for name, test := range map[string]struct {
		issuer, jwksURI string
		shown           bool
		want            string
	}{
		"plainly":              {"https://id.example.com", "https://id.example.com/keys", false, "https://id.example.com/.well-known/openid-configuration https://id.example.com/keys"},
		"with a slash":         {"https://id.example.com/", "https://id.example.com/keys", false, "https://id.example.com/.well-known/openid-configuration https://id.example.com/keys"},
		"below a path":         {"https://id.example.com/realms/ci", "https://id.example.com/realms/ci/keys", false, "https://id.example.com/realms/ci/.well-known/openid-configuration https://id.example.com/realms/ci/keys"},
		"keys elsewhere":       {"https://id.example.com", "https://keys.example.net/v3", false, "https://id.example.com/.well-known/openid-configuration https://keys.example.net/v3"},
		"loopback in clear":    {"http://127.0.0.1:8080", "http://127.0.0.1:8080/keys", false, "http://127.0.0.1:8080/.well-known/openid-configuration http://127.0.0.1:8080/keys"},
		"showing a token":      {"https://kubernetes.default.svc", outside, true, "https://kubernetes.default.svc/.well-known/openid-configuration Bearer ours-1 https://kubernetes.default.svc/openid/v1/jwks Bearer ours-1"},
		"a token in the clear": {"http://127.0.0.1:8080", outside, true, "http://127.0.0.1:8080/.well-known/openid-configuration Bearer ours-1 http://127.0.0.1:8080/openid/v1/jwks Bearer ours-1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			key := newSigner(t, "one")
			p := newProvider(test.issuer, key.jwk())
			p.jwksURI = test.jwksURI
			issuer := trusted(p)
			if test.shown {
				issuer.BearerToken = hourly()
			}
			w := newTokenMode(t, issuer)
			w.wantCome(key.sign(claim("iss", test.issuer)), builder)
			if got := strings.Join(p.asked(), " "); got != test.want {
				t.Errorf("%s: asked %s\nwant %s", name, got, test.want)
			}
			if test.shown {
				time.Sleep(keysLife)
				w.wantCome(key.sign(claim("iss", test.issuer)), builder)
				synctest.Wait()
				if got := strings.Join(p.asked(), " "); got != strings.ReplaceAll(test.want, "ours-1", "ours-2") {
					t.Errorf("%s: later asked %s", name, got)
				}
			}
		})
	}
}

// The same over a real connection, on which it matters whom the client trusts.
func TestAnIssuerIsAskedOverTLS(t *testing.T) {
	for _, known := range []bool{true, false} {
		key := newSigner(t, "one")
		p := newProvider("", key.jwk())
		server := httptest.NewUnstartedServer(p)
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is to fail
		server.StartTLS()
		t.Cleanup(server.Close)
		p.set(func(p *provider) { p.says, p.jwksURI = server.URL, server.URL+"/keys" })
		issuer := trusted(p)
		issuer.Client = func() (*http.Client, error) {
			if known {
				return server.Client(), nil
			}
			return &http.Client{Transport: &http.Transport{}}, nil
		}
		w := newTokenMode(t, issuer)
		token := key.sign(claim("iss", server.URL))
		if known {
			w.wantCome(token, builder)
			w.wantLogged()
			continue
		}
		w.wantCome(token, "unverifiable")
		logged := fmt.Sprint(w.logged.All()[0].ContextMap()["error"])
		if want := "GET " + server.URL + "/.well-known/openid-configuration: tls: failed to verify certificate"; !strings.HasPrefix(logged, want) {
			t.Errorf("logged %s, want %s", logged, want)
		}
	}
}
