package proxy_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/proxy/access"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	testIssuer   = "https://cluster.example.com"
	testAudience = "breakwater"
	alicesToken  = "system:serviceaccount:ci-a:alice" // whom rules allow team-a
	bobsToken    = "system:serviceaccount:ci-b:bob"
)

// issuer signs tokens, as a cluster does for its service accounts.
type issuer struct {
	*testing.T
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{t, key}
}

func (i issuer) jwks() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
}

// claims are those of a good token.
func claims(subject string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": testIssuer, "aud": []string{testAudience}, "sub": subject,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// sign makes a token of the claims with that key, whatever its header says.
func (i issuer) sign(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	i.Helper()
	unsigned := jwt.NewWithClaims(method, claims)
	unsigned.Header["kid"] = "one"
	token, err := unsigned.SignedString(key)
	if err != nil {
		i.Fatal(err)
	}
	return token
}

func (i issuer) token(subject string, change ...func(jwt.MapClaims)) string {
	i.Helper()
	c := claims(subject)
	for _, f := range change {
		f(c)
	}
	return i.sign(jwt.SigningMethodES256, i.key, c)
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func tokenListener(b *bubble) listener {
	l, i := issuedBy(b)
	stranger := newIssuer(b.T)
	l.say = map[who]func(*http.Request){
		nobody:   func(*http.Request) {},
		impostor: bearer(stranger.token(alicesToken)),
		other:    bearer(i.token(bobsToken)),
		allowed:  basic("whoever", i.token(alicesToken)),
	}
	return l
}

// issuedBy is a listener for the tokens of an issuer.
func issuedBy(b *bubble) (listener, issuer) {
	i := newIssuer(b.T)
	mode, err := access.NewToken(access.TokenOptions{
		Issuers:  []access.Issuer{{Issuer: testIssuer, Audience: testAudience, JWKS: i.jwks, SubjectClaim: "sub", GroupsClaim: "groups"}},
		Listener: "test", Events: b.events, Log: b.newLog(),
	})
	return listener{mode: closing(b, mode, err), allow: rules("system:serviceaccount:ci-a:*"), stranger: http.StatusUnauthorized}, i
}

// A token that is not good opens nothing, held or not, and Harbor never hears of it.
func TestTokensThatAreNotGood(t *testing.T) {
	encode := func(part string) string { return base64.RawURLEncoding.EncodeToString([]byte(part)) }
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	without := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	ago := func(d time.Duration) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-d).Unix() }
	}
	tokens := map[string]struct {
		token func(issuer) string
		good  bool
	}{
		"as it should be":         {func(i issuer) string { return i.token(alicesToken) }, true},
		"with several audiences":  {func(i issuer) string { return i.token(alicesToken, set("aud", []string{"x", testAudience})) }, true},
		"expired within the skew": {func(i issuer) string { return i.token(alicesToken, ago(25*time.Second)) }, true},
		"expired":                 {func(i issuer) string { return i.token(alicesToken, ago(time.Minute)) }, false},
		"without an end":          {func(i issuer) string { return i.token(alicesToken, without("exp")) }, false},
		"not yet valid": {func(i issuer) string {
			return i.token(alicesToken, func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })
		}, false},
		"for another audience":       {func(i issuer) string { return i.token(alicesToken, set("aud", "harbor")) }, false},
		"for no audience":            {func(i issuer) string { return i.token(alicesToken, without("aud")) }, false},
		"for the API server as well": {func(i issuer) string { return i.token(alicesToken, set("aud", []string{testAudience, testIssuer})) }, false},
		"of another issuer":          {func(i issuer) string { return i.token(alicesToken, set("iss", "https://elsewhere.example.com")) }, false},
		"of the issuer in capitals":  {func(i issuer) string { return i.token(alicesToken, set("iss", strings.ToUpper(testIssuer))) }, false},
		"of no issuer":               {func(i issuer) string { return i.token(alicesToken, without("iss")) }, false},
		"of nobody":                  {func(i issuer) string { return i.token(alicesToken, without("sub")) }, false},
		"by another key of that id":  {func(i issuer) string { return newIssuer(i.T).token(alicesToken) }, false},
		"with alg none": {func(i issuer) string {
			return i.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(alicesToken))
		}, false},
		"with alg None and a signature": {func(i issuer) string {
			_, rest, _ := strings.Cut(i.token(alicesToken), ".")
			return encode(`{"alg":"None","kid":"one"}`) + "." + rest
		}, false},
		"with alg HS256, by the public key": {func(i issuer) string {
			return i.sign(jwt.SigningMethodHS256, publicKey(i.T, i.key.Public()), claims(alicesToken))
		}, false},
		"with alg HS256, by the key set": {func(i issuer) string {
			set, err := i.jwks()
			if err != nil {
				i.Fatal(err)
			}
			return i.sign(jwt.SigningMethodHS256, set, claims(alicesToken))
		}, false},
		"changed after it was signed": {func(i issuer) string {
			parts := strings.Split(i.token(bobsToken), ".")
			changed, err := json.Marshal(claims(alicesToken))
			if err != nil {
				i.Fatal(err)
			}
			return parts[0] + "." + encode(string(changed)) + "." + parts[2]
		}, false},
		"without its signature": {func(i issuer) string {
			token := i.token(alicesToken)
			return token[:strings.LastIndexByte(token, '.')+1]
		}, false},
		"over-long":             {func(i issuer) string { return i.token(alicesToken, set("more", strings.Repeat("x", 16<<10))) }, false},
		"with a critical field": {func(i issuer) string { return withHeader(i, "crit", []string{"exp2"}) }, false},
		"two dots":              {func(issuer) string { return "garbage.garbage.garbage" }, false},
		"no token":              {func(issuer) string { return "correct-horse-battery" }, false},
	}
	inBubble(t, account, nil, func(b *bubble) {
		app := b.imageOf("team-a/app", "1.0")
		b.pull(app.repository, app.tag)
		l, i := issuedBy(b)
		b.gateOf(l)
		b.pass(time.Second)
		for name, c := range tokens {
			token := c.token(i)
			for _, say := range []func(*http.Request){bearer(token), basic("whoever", token), bearer(token)} {
				for _, w := range slices.Concat(common(), app.wanted()) {
					synctest.Wait()
					b.harbor.ResetRequests()
					switch got := b.ask(say, w); {
					case c.good:
						if got.StatusCode != w.found {
							t.Errorf("%s, %s: %s %s", name, w, got.Status, got.body)
						}
					case got.StatusCode != 401 || got.Header.Get("Www-Authenticate") != access.Basic || got.Header.Get("Cache-Control") != "private":
						t.Errorf("%s, %s: %s %v %s", name, w, got.Status, got.Header, got.body)
					case len(b.harbor.Requests()) > 0:
						t.Errorf("%s, %s: Harbor was asked %v", name, w, b.saw())
					}
				}
			}
		}
	})
}

// A token that was good is no good once it has expired, however well it is remembered.
func TestATokenIsNotReplayedAfterItsEnd(t *testing.T) {
	const life, skew = 2 * time.Minute, 30 * time.Second
	inBubble(t, account, nil, func(b *bubble) {
		app := b.imageOf("team-a/app", "1.0")
		b.pull(app.repository, app.tag)
		l, i := issuedBy(b)
		b.gateOf(l)
		began := time.Now()
		token := i.token(alicesToken, func(c jwt.MapClaims) { c["exp"] = began.Add(life).Unix() })
		for time.Since(began) < life+2*time.Minute {
			got := b.as(bearer(token), "GET /v2/team-a/app/blobs/"+app.blob).StatusCode
			age := time.Since(began)
			if age < life && got != 200 || age > life+skew && got != 401 {
				t.Errorf("after %s of %s: %d", age, life, got)
			}
			b.pass(time.Second)
		}
	})
}

func withHeader(i issuer, name string, value any) string {
	unsigned := jwt.NewWithClaims(jwt.SigningMethodES256, claims(alicesToken))
	unsigned.Header["kid"], unsigned.Header[name] = "one", value
	token, err := unsigned.SignedString(i.key)
	if err != nil {
		i.Fatal(err)
	}
	return token
}

func publicKey(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
