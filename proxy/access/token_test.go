package access

import (
	"context"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	wanted    = `any user name, and as the password a token of https://cluster.example.com for the audience "breakwater"`
	forged    = "bad_credentials the token is not signed by https://cluster.example.com as it is now: get a new one"
	stranger  = "bad_credentials the token is of an issuer that this registry does not trust: log in with " + wanted
	noToken   = "bad_credentials this is not a token: log in with " + wanted
	notHere   = `bad_credentials the token is not good here: get one of https://cluster.example.com for the audience "breakwater"`
	otherAud  = `bad_credentials the token is for another audience: get one for "breakwater"`
	opensMore = `bad_credentials the token opens https://cluster.example.com itself, and so must not be sent to a registry: get one for the audience "breakwater" alone`
	expired   = "bad_credentials the token has expired: get a new one"
	nameless  = `bad_credentials the token names nobody in its claim "sub"`
)

// tokens are all kinds, with what becomes of who brings them.
func tokens(w *tokenWorld) map[string]struct{ token, want string } {
	parts := strings.Split(w.sign(), ".")
	encode := base64.RawURLEncoding.EncodeToString
	der, err := x509.MarshalPKIXPublicKey(w.jwk().Key)
	if err != nil {
		w.Fatal(err)
	}
	published, err := json.Marshal(w.jwk())
	if err != nil {
		w.Fatal(err)
	}
	changed := strings.Split(w.sign(claim("sub", "system:admin")), ".")
	longest := strings.Repeat("s", longestUsername)
	return map[string]struct{ token, want string }{
		"right":                   {w.sign(), builder},
		"for several":             {w.sign(claim("aud", []string{"harbor", ourAudience})), builder},
		"audience as a text":      {w.sign(claim("aud", ourAudience)), builder},
		"without a key id":        {w.sign(field("kid", nil)), builder},
		"without nbf and iat":     {w.sign(claim("nbf", nil), claim("iat", nil)), builder},
		"issued in the future":    {w.sign(claim("iat", time.Now().Add(time.Hour).Unix())), builder}, // which is for information only (RFC 7519 §4.1.6)
		"expired within the skew": {w.sign(ending(-29 * time.Second)), builder},
		"ends at a fraction":      {w.sign(claim("exp", float64(time.Now().Unix())+10.5)), builder},
		"the longest subject":     {w.sign(claim("sub", longest)), longest},

		"expired":                 {w.sign(ending(-31 * time.Second)), expired},
		"ends never":              {w.sign(claim("exp", nil)), notHere},
		"ends at zero":            {w.sign(claim("exp", 0)), notHere},
		"ends at a text":          {w.sign(claim("exp", "2099-01-01")), notHere},
		"ends beyond time":        {w.sign(claim("exp", 1e300)), expired},
		"ends beyond numbers":     {w.sign(claim("exp", json.Number("1e4000"))), noToken},
		"not yet valid":           {w.sign(claim("nbf", time.Now().Add(2*time.Hour).Unix())), "bad_credentials the token is not valid yet: look at the clocks"},
		"for somebody else":       {w.sign(claim("aud", []string{"harbor"})), otherAud},
		"for us in capitals":      {w.sign(claim("aud", "Breakwater")), otherAud},
		"for nobody":              {w.sign(claim("aud", nil)), notHere},
		"for an empty list":       {w.sign(claim("aud", []string{})), notHere},
		"for a number":            {w.sign(claim("aud", []any{ourAudience, 7})), notHere},
		"for the issuer too":      {w.sign(claim("aud", []string{ourAudience, clusterIssuer})), opensMore},
		"of another issuer":       {w.sign(claim("iss", "https://elsewhere.example.com")), stranger},
		"of the issuer's shadow":  {w.sign(claim("iss", clusterIssuer+"/")), stranger},
		"of it in capitals":       {w.sign(claim("iss", strings.ToUpper(clusterIssuer))), stranger},
		"of no issuer":            {w.sign(claim("iss", nil)), stranger},
		"of a list of issuers":    {w.sign(claim("iss", []string{clusterIssuer})), stranger},
		"of nobody":               {w.sign(claim("sub", nil)), nameless},
		"of an empty name":        {w.sign(claim("sub", "")), nameless},
		"of a number":             {w.sign(claim("sub", 1000)), nameless},
		"of a name too long":      {w.sign(claim("sub", longest+"s")), nameless},
		"of two lines":            {w.sign(claim("sub", "a\nb")), nameless},
		"by another key":          {newSigner(w, "one").sign(), forged},
		"by a key not there":      {newSigner(w, "two").sign(), forged},
		"alg none":                {unsigned(w), forged},
		"alg None":                {encode([]byte(`{"alg":"None","kid":"one"}`)) + "." + parts[1] + "." + parts[2], noToken},
		"no alg":                  {w.sign(field("alg", nil)), noToken},
		"alg a number":            {w.sign(field("alg", 7)), noToken},
		"alg of another curve":    {w.sign(field("alg", "ES384")), forged},
		"alg of another kind":     {w.sign(field("alg", "RS256")), forged},
		"HMAC by the public key":  {hmacSigned(w, der), forged},
		"HMAC by the key set":     {hmacSigned(w, published), forged},
		"claims exchanged":        {parts[0] + "." + changed[1] + "." + parts[2], forged},
		"signature cut off":       {parts[0] + "." + parts[1] + ".", forged},
		"signature shortened":     {w.sign()[:len(w.sign())-4], forged},
		"critical extension":      {w.sign(field("crit", []string{"exp"})), "bad_credentials the token cannot be read: get another kind"},
		"critical nothing":        {w.sign(field("crit", []string{})), "bad_credentials the token cannot be read: get another kind"},
		"over-long":               {w.sign(claim("more", strings.Repeat("x", longestJWT))), "bad_credentials the token is too long: log in with " + wanted},
		"a password":              {"correct-horse", noToken},
		"two parts":               {parts[0] + "." + parts[1], noToken},
		"encrypted, of five":      {"a.b.c.d.e", noToken},
		"dots":                    {"..", noToken},
		"garbage":                 {"garbage.garbage.garbage", noToken},
		"not base64url":           {parts[0] + "." + parts[1] + ".??", noToken},
		"claims of no JSON":       {parts[0] + "." + encode([]byte("{secret")) + "." + parts[2], noToken},
		"claims that are a list":  {parts[0] + "." + encode([]byte("[1]")) + "." + parts[2], noToken},
		"claims that are nothing": {parts[0] + "." + encode([]byte("null")) + "." + parts[2], stranger},
		"deep claims":             {parts[0] + "." + encode([]byte(strings.Repeat("[", 12000))) + "." + parts[2], noToken},
	}
}

// unsigned is a token that says of itself that it needs no signature.
func unsigned(w *tokenWorld) string {
	return signer{w, "one", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType}.sign()
}

// hmacSigned is a token signed with what everybody may know.
func hmacSigned(w *tokenWorld, secret []byte) string {
	return signer{w, "one", jwt.SigningMethodHS256, secret}.sign()
}

// The whole of it: what a client sends, and what it is told.
func TestTokenConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		discovered := newTokenWorld(t)
		filed := newTokenMode(t, func() Issuer {
			issuer := trusted(discovered.provider)
			issuer.JWKS, issuer.Client = discovered.file, nil
			return issuer
		}())
		for name, test := range tokens(discovered) {
			for _, w := range []*tokenWorld{discovered, filed} {
				for range 2 { // the second time it may be remembered
					for _, authorization := range [][]string{{"Bearer " + test.token}, {"bearer  " + test.token}, basic("whoever", test.token), basic("", test.token)} {
						if got := w.told(authorization...); got != test.want {
							t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
						}
					}
				}
			}
		}
	})
}

// told is what became of a request: the subject, or why it was refused and the message.
func (w *tokenWorld) told(authorization ...string) string {
	w.Helper()
	client, err := w.mode.Authenticate(w.Context(), bearing(authorization...))
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return came(client, err)
	}
	if refusal.Answer.Status != http.StatusUnauthorized {
		w.Errorf("status %d, want 401", refusal.Answer.Status)
	}
	if client.Subject != "" || client.Groups != nil {
		w.Errorf("a refusal brought %v", client)
	}
	return string(refusal.Why) + " " + refusal.Answer.Message
}

func TestWithoutAToken(t *testing.T) {
	w := newTokenWorld(t)
	for name, test := range map[string]struct {
		authorization []string
		want          string
	}{
		"nothing":               {nil, "no_credentials this registry wants a token: log in with " + wanted},
		"podman's nothing":      {[]string{"Basic Og=="}, "no_credentials this registry wants a token: log in with " + wanted},
		"a user name only":      {basic("whoever", ""), noToken},
		"Bearer without one":    {[]string{"Bearer "}, "bad_credentials log in with " + wanted},
		"another scheme":        {[]string{"Negotiate abc"}, "bad_credentials log in with " + wanted},
		"no base64":             {[]string{"Basic !"}, "bad_credentials log in with " + wanted},
		"two":                   {[]string{"Bearer " + w.sign(), "Bearer " + w.sign()}, "bad_credentials log in with " + wanted},
		"a token as user name":  {basic(w.sign(), ""), noToken},
		"a token and something": {[]string{"Bearer " + w.sign() + " more"}, noToken},
	} {
		if got := w.told(test.authorization...); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
		}
	}
	if w.mode.Challenge() != Basic || w.mode.Name() != "token" {
		t.Errorf("%s %s", w.mode.Name(), w.mode.Challenge())
	}
	w.wantQuestions(0)
}

func TestEveryAlgorithm(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyOf := map[string]any{
		"RS": rsaKey, "PS": rsaKey, "Ed": edKey,
		"ES256": newSigner(t, "").key, "ES384": newECKey(t, elliptic.P384()), "ES512": newECKey(t, elliptic.P521()),
	}
	for _, algorithm := range algorithms {
		key, ok := keyOf[algorithm]
		if !ok {
			key = keyOf[algorithm[:2]]
		}
		s := signer{t, "a key", jwt.GetSigningMethod(algorithm), key}
		published := s.jwk()
		for _, published.Algorithm = range []string{"", algorithm} {
			p := newProvider(clusterIssuer, published)
			w := newTokenMode(t, trusted(p))
			w.wantCome(s.sign(), builder)
			if w.events.checked[Accepted] != 1 {
				t.Errorf("%s: checks counted %v", algorithm, w.events.checked)
			}
		}
	}
}

func TestATokenIsNoGoodPastItsEnd(t *testing.T) {
	const life = 90 * time.Second
	inTokenWorld(t, func(w *tokenWorld) {
		began := time.Now()
		token := w.sign(ending(life))
		for age := time.Duration(0); age < life+5*time.Minute; age = time.Since(began) {
			want := builder
			if age >= life+tokenLeeway {
				want = "bad_credentials"
			}
			if got := w.come(token); got != want {
				t.Fatalf("after %s of %s: %s", age, life, got)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestTokensAreRemembered(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		good, bad := w.sign(), newSigner(w, "one").sign()
		w.wantCome(good, builder) // it brings the keys
		began := time.Now()
		for time.Since(began) < 2*time.Minute {
			w.wantCome(good, builder)
			w.wantCome(bad, "bad_credentials")
			time.Sleep(time.Second)
		}
		// Once more than in two minutes, since the first found other keys than were there before.
		if got := w.events.checked; got[Accepted] != 3 || got[Rejected] != 24 || got[Unknown] != 0 {
			t.Errorf("checks counted %v, want one a minute of the good token, one in 5 s of the other", got)
		}
	})
}

// While strangers' tokens take all the turns, who is known is served.
func TestVerificationsWaitTheirTurn(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		w.wantCome(w.sign(), builder)
		known, unknown := w.sign(claim("sub", "known")), w.sign(claim("sub", "unknown"))
		w.wantCome(known, "known")
		turns := 0
		for w.mode.turns.TryAcquire(1) {
			turns++
		}
		w.wantCome(known, "known")
		came := make(chan string)
		go func() { came <- w.come(unknown) }()
		impatient, leave := context.WithTimeout(w.Context(), time.Second)
		defer leave()
		if _, err := w.mode.Authenticate(impatient, bearing("Bearer "+unknown)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the client's own end", err)
		}
		w.mode.turns.Release(int64(turns))
		if got := <-came; got != "unknown" {
			t.Error(got)
		}
		if w.events.checked[Accepted] != 3 {
			t.Errorf("checks counted %v", w.events.checked)
		}
	})
}

// What was found out by keys counts while these are the keys, and no longer.
func TestKeysOfAFileAreExchanged(t *testing.T) {
	one, two := newSigner(t, "one"), newSigner(t, "one")
	p := newProvider(clusterIssuer, one.jwk())
	inTokenWorld(t, func(w *tokenWorld) {
		tokens := map[bool]string{true: one.sign(), false: two.sign()}
		for _, first := range []bool{true, false, true} {
			p.rotate(map[bool]signer{true: one, false: two}[first].jwk())
			if err := w.mode.Reload(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w.wantCome(tokens[first], builder)
				w.wantCome(tokens[!first], "bad_credentials")
			}
			p.rotate() // a file without a key is none
			if err := w.mode.Reload(); err == nil || !strings.Contains(err.Error(), "keys of "+clusterIssuer+": the JWK set holds no public key") {
				t.Errorf("a bad file: %v", err)
			}
			w.wantCome(tokens[first], builder)
		}
	}, withFile(p.file))
}

// Each issuer speaks for its own subjects and groups only.
func TestSeveralIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const devIssuer = "https://dev.example.com"
		ci, dev := newSigner(t, "one"), newSigner(t, "one")
		providers := []*provider{newProvider(clusterIssuer, ci.jwk()), newProvider(devIssuer, dev.jwk())}
		issuers := []Issuer{trusted(providers[0]), trusted(providers[1])}
		issuers[0].Prefix, issuers[1].Prefix, issuers[1].SubjectClaim, issuers[1].GroupsClaim = "ci:", "dev:", "email", "roles"
		w := newTokenMode(t, issuers...)
		theirs := []func(*jwt.Token){claim("iss", devIssuer), claim("sub", "alice"), claim("email", "ci:"+builder), claim("groups", "a"), claim("roles", []string{"b", "ci:c"})}
		for name, test := range map[string]struct{ token, want string }{
			"one":                        {ci.sign(claim("groups", "a")), "ci:" + builder + " [ci:a]"},
			"the other":                  {dev.sign(theirs...), "dev:ci:" + builder + " [dev:b dev:ci:c]"},
			"one, by the other's key":    {dev.sign(), " []"},
			"the other, by the one's":    {ci.sign(theirs...), " []"},
			"the other, without a claim": {dev.sign(claim("iss", devIssuer)), " []"},
		} {
			client, _ := w.mode.Authenticate(t.Context(), bearing("Bearer "+test.token))
			if got := fmt.Sprint(client.Subject, " ", client.Groups); got != test.want {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
		}
		if got := w.told(); got != "no_credentials this registry wants a token: log in with any user name, and as the password a token of an issuer that this registry trusts" {
			t.Error(got)
		}
		// One that is down takes nobody else with it.
		providers[1].set(func(p *provider) { p.down = true })
		if err := w.mode.Reload(); err != nil {
			t.Error(err)
		}
		providers[1].rotate()
		w.wantCome(newSigner(t, "two").sign(theirs...), "unverifiable")
		w.wantCome(ci.sign(claim("sub", "somebody else")), "ci:somebody else")
	})
}

func TestGroupsOfATokenAreRead(t *testing.T) {
	many := make([]string, mostGroups+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	long := strings.Repeat("g", longestUsername)
	inTokenWorld(t, func(w *tokenWorld) {
		for name, test := range map[string]struct {
			claim any
			want  []string
		}{
			"none":           {nil, nil},
			"a text":         {"a", []string{"p:a"}},
			"a list":         {[]string{"a", "b"}, []string{"p:a", "p:b"}},
			"an empty list":  {[]string{}, nil},
			"an empty text":  {"", nil},
			"a number":       {7, nil},
			"a mapping":      {map[string]string{"a": "b"}, nil},
			"some of a list": {[]any{"a", 7, "", nil, []string{"b"}, "c\n", long, long + "g"}, []string{"p:a", "p:" + long}},
		} {
			client, err := w.mode.Authenticate(w.Context(), bearing("Bearer "+w.sign(claim("groups", test.claim))))
			if err != nil || client.Subject != "p:"+builder || !slices.Equal(client.Groups, test.want) {
				t.Errorf("%s: %v %v, want %v", name, client, err, test.want)
			}
		}
		client, err := w.mode.Authenticate(w.Context(), bearing("Bearer "+w.sign(claim("groups", many))))
		if err != nil || len(client.Groups) != mostGroups {
			t.Errorf("%d groups, %v", len(client.Groups), err)
		}
	}, func(i *Issuer) { i.Prefix = "p:" })
}

// Nothing that a client sends as a token is told again, but what an issuer's name, a
// key's id or an audience would be, and of these the beginning; and the subject, once
// the signature was found right.
func TestTokensAreNotTold(t *testing.T) {
	inTokenWorld(t, func(w *tokenWorld) {
		sent := tokens(w)
		for name, change := range map[string]func(*jwt.Token){
			"long issuer":   claim("iss", strings.Repeat("i", 5000)),
			"long key id":   field("kid", strings.Repeat("k", 5000)),
			"deep key id":   field("kid", []any{strings.Repeat("k", 5000), "a\nb"}),
			"long audience": claim("aud", []string{strings.Repeat("a", 5000), "a\nb"}),
			"long number":   claim("exp", json.Number("1"+strings.Repeat("0", 5000))),
			"long alg":      field("alg", strings.Repeat("a", 5000)),
		} {
			sent[name] = struct{ token, want string }{w.sign(change), ""}
		}
		for name, test := range sent {
			_, err := w.mode.Authenticate(w.Context(), bearing("Bearer "+test.token))
			if err == nil {
				continue
			}
			told := err.Error()
			if len(told) > 600 || strings.ContainsAny(told, "\n\r") {
				t.Errorf("%s: told %d bytes: %.700q", name, len(told), told)
			}
			for _, part := range strings.Split(test.token, ".") {
				if len(part) > 8 && strings.Contains(told, part) || strings.Contains(told, builder) && !strings.Contains(told, "it is that of") || strings.Contains(told, "{secret") {
					t.Errorf("%s: told: %s", name, told)
				}
			}
		}
		w.wantLogged()
	})
}

func TestNewTokenNeedsIssuersApart(t *testing.T) {
	good := newProvider(clusterIssuer, newSigner(t, "one").jwk())
	with := func(issuer, prefix string) Issuer {
		i := trusted(newProvider(issuer))
		i.Prefix = prefix
		return i
	}
	file := func(read func() ([]byte, error)) Issuer {
		i := trusted(good)
		i.JWKS = read
		return i
	}
	for want, issuers := range map[string][]Issuer{
		"no issuer is trusted":                                                                                                  nil,
		`the issuer "" needs an audience other than itself`:                                                                     {{Audience: "x"}},
		`the issuer "https://a" needs an audience other than itself`:                                                            {{Issuer: "https://a"}},
		`the issuer "https://b" needs an audience other than itself`:                                                            {{Issuer: "https://b", Audience: "https://b"}},
		"the issuer https://a is given twice":                                                                                   {with("https://a", "a:"), with("https://a", "b:")},
		"the prefixes of https://b and https://a begin alike: one could name the other's subjects":                              {with("https://a", "ci:"), with("https://b", "ci:b:")},
		"the prefixes of https://c and https://a begin alike: one could name the other's subjects":                              {with("https://a", "a:"), with("https://b", "b:"), with("https://c", "")},
		"keys of https://cluster.example.com: no such file":                                                                     {file(func() ([]byte, error) { return nil, errors.New("no such file") })},
		"keys of https://cluster.example.com: the keys are not a JWK set: invalid character 's' looking for beginning of value": {file(func() ([]byte, error) { return []byte("secret"), nil })},
	} {
		if _, err := NewToken(TokenOptions{Issuers: issuers, Events: newCounted()}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Whatever comes is refused, and none of it is passed on, unless the issuer signed it.
func FuzzTokenNobodySigned(f *testing.F) {
	w := newTokenWorld(f)
	for _, test := range tokens(w) {
		if strings.HasPrefix(test.want, "bad_credentials") {
			f.Add(test.token)
		}
	}
	good := strings.Split(w.sign(), ".")
	f.Add(good[0] + "." + good[1] + "." + strings.Repeat("A", len(good[2])))
	f.Fuzz(func(t *testing.T, token string) {
		if token == "" {
			return
		}
		client, err := w.mode.Authenticate(t.Context(), bearing("Basic "+base64.StdEncoding.EncodeToString([]byte("whoever:"+token))))
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || refusal.Why != BadCredentials || client.Subject != "" {
			t.Errorf("%q: %v %v", token, client, err)
		}
	})
}
