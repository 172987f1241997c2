package tokencache_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"breakwater/tokencache"
)

// reply sends a body as the token service's answer, and lets the registry take
// the token "opaque".
func reply(c *client, body string) {
	c.set(func(u *upstream) {
		u.tokens["opaque"] = true
		u.tokenReply = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	})
}

func TestLifeOfAToken(t *testing.T) {
	const none = ""
	for expiresIn, life := range map[string]time.Duration{
		"1800":                 1770 * time.Second, // the margin is 30 s at most
		"300":                  270 * time.Second,
		"100":                  90 * time.Second, // and a tenth of a short life
		"10.5":                 9450 * time.Millisecond,
		`"200"`:                180 * time.Second,
		none:                   54 * time.Second, // absent: 60 s
		"0":                    54 * time.Second,
		"-5":                   54 * time.Second,
		"null":                 54 * time.Second,
		`"soon"`:               54 * time.Second,
		`"NaN"`:                54 * time.Second,
		`{"a":1}`:              54 * time.Second,
		"1e300":                24*time.Hour - 30*time.Second,
		"99999999999999999999": 24*time.Hour - 30*time.Second,
		"1e999":                24*time.Hour - 30*time.Second,
	} {
		t.Run("expires_in "+expiresIn, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *client) {
				field := ""
				if expiresIn != none {
					field = `,"expires_in":` + expiresIn
				}
				reply(c, `{"token":"opaque"`+field+`}`)
				g, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull"))
				if err != nil {
					t.Fatal(err)
				}
				if !g.Opaque || g.Account != robot {
					t.Errorf("Grant = %+v", g)
				}
				// Not in use, so not renewed: it ends when its life ends.
				time.Sleep(max(life-time.Second, life*9/10))
				c.requests()
				idle := life > 6*time.Minute
				c.ok(t, app)
				if n := count(c.requests(), "GET /service/token"); n != 0 {
					t.Errorf("exchanged anew within %s", life)
				}
				if !idle {
					return // in use now, so renewed
				}
				time.Sleep(time.Second)
				c.ok(t, app)
				if n := count(c.requests(), "GET /service/token"); n != 1 {
					t.Errorf("%d exchanges after %s, want 1", n, life)
				}
			})
		})
	}
}

func TestNamesOfTheToken(t *testing.T) {
	for name, body := range map[string]string{
		"token":                     `{"token":"opaque"}`,
		"token, empty access_token": `{"token":"opaque","access_token":""}`,
		"access_token":              `{"access_token":"opaque"}`,
		"empty token":               `{"token":"","access_token":"opaque"}`,
		"both":                      `{"token":"opaque","access_token":"other"}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *client) {
				reply(c, body)
				c.ok(t, app)
			})
		})
	}
}

// Another registry's tokens are taken as they are, whatever they say.
func TestTokensOfOtherRegistries(t *testing.T) {
	claims := func(text string) func(*client) {
		return func(c *client) {
			reply(c, fmt.Sprintf(`{"token":%q}`, unsigned(text)))
			c.set(func(u *upstream) { u.tokens[unsigned(text)] = true })
		}
	}
	for name, prepare := range map[string]func(*client){
		"opaque":                 func(c *client) { reply(c, `{"token":"opaque"}`) },
		"no sub, no access":      claims(`{"iss":"x"}`),
		"sub, empty access":      claims(`{"sub":"u","access":[]}`),
		"no sub, something":      claims(`{"access":[{"type":"repository","name":"team-a/app","actions":["pull"]}]}`),
		"claims of other shapes": claims(`{"sub":7,"access":"all"}`),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *client) {
				c.set(func(u *upstream) { u.service = "registry.test" })
				prepare(c)
				c.ok(t, app)
				if n := count(c.requests(), "GET /service/token"); n != 1 {
					t.Errorf("%d exchanges, want 1", n)
				}
			})
		})
	}
	t.Run("nobody's and for nothing", func(t *testing.T) {
		bubble(t, func(t *testing.T, c *client) {
			c.set(func(u *upstream) { u.service = "registry.test" })
			c.configure(wrong())
			fails[*tokencache.CredentialError](t, c, app)
		})
	})
}
