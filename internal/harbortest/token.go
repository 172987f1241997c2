package harbortest

import (
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	tokenIssuer  = "harbor-token-issuer"
	tokenService = "harbor-registry"
	tokenLeeway  = time.Minute // a token is good for this long after its exp
)

// Claims are the claims of a token, as the Docker token specification names
// them. An anonymous token has no subject.
type Claims struct {
	jwt.RegisteredClaims
	Audience string   `json:"aud"` // one string, where RegisteredClaims has a list
	Access   []Access `json:"access"`
}

// Access is what a token grants on one resource.
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// SetTokenLife sets expires_in of the tokens issued from now on; 30 minutes at
// first.
func (h *Harbor) SetTokenLife(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokenLife = d
}

// RevokeTokens makes every token that was issued so far worthless at once, as
// if it had expired. A real Harbor does so when its signing key is replaced.
func (h *Harbor) RevokeTokens() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.live)
}

// serveToken is Harbor's token service: GET with Basic or no credentials. Only
// a question without scope is answered 401; with a scope, refused credentials
// bring an anonymous token.
func (h *Harbor) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	query := r.URL.Query()
	if service := query.Get("service"); service != tokenService {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		write(w, "Unable to handle service: "+service)
		return
	}
	var account *Account
	if name, password, ok := r.BasicAuth(); ok {
		if a, good := h.login(r.Context(), name, password); good {
			account = &a
			h.noteAccount(r, a.Name)
		}
	}
	if account == nil && !query.Has("scope") {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var access []Access
	for _, parameter := range query["scope"] {
		for scope := range strings.FieldsSeq(parameter) {
			access = append(access, h.grant(account, scope))
		}
	}
	h.answerToken(w, r, account, access)
}

func (h *Harbor) answerToken(w http.ResponseWriter, r *http.Request, account *Account, access []Access) {
	token, claims, err := h.issue(account, access)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, err := json.Marshal(struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"` // always empty
		ExpiresIn   int    `json:"expires_in"`
		IssuedAt    string `json:"issued_at"`
	}{token, "", int(claims.ExpiresAt.Sub(claims.IssuedAt.Time) / time.Second), claims.IssuedAt.UTC().Format(time.RFC3339)})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		write(w, string(body))
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	zip := gzip.NewWriter(w)
	defer zip.Close()
	write(zip, string(body))
}

// grant answers one scope: all that the account may do there, whatever actions
// were asked for.
func (h *Harbor) grant(account *Account, scope string) Access {
	kind, rest, _ := strings.Cut(scope, ":")
	name := rest
	if i := strings.LastIndex(rest, ":"); i >= 0 {
		name = rest[:i]
	}
	access := Access{Type: kind, Name: name, Actions: []string{}}
	switch {
	case h.isDown(Database):
	case kind == "registry" && name == "catalog" && account != nil && account.Admin:
		access.Actions = []string{"*"}
	case kind == "repository" && strings.Contains(name, "/"):
		if p, ok := h.project(name); ok {
			access.Actions = rights(account, p.Project)
		}
	}
	return access
}

// rights lists what an account, or nobody in particular, may do in a project.
func rights(account *Account, p Project) []string {
	if account == nil {
		account = &Account{}
	}
	return account.actions(p)
}

// issue signs a token for the account, or an anonymous one for nil.
func (h *Harbor) issue(account *Account, access []Access) (string, Claims, error) {
	now := time.Now()
	h.mu.Lock()
	life := h.tokenLife
	h.mu.Unlock()
	id := make([]byte, 12)
	randomBytes(id)
	claims := Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    tokenIssuer,
			ExpiresAt: jwt.NewNumericDate(now.Add(life)),
			NotBefore: jwt.NewNumericDate(now),
			IssuedAt:  jwt.NewNumericDate(now),
			ID:        base64.RawURLEncoding.EncodeToString(id),
		},
		Audience: tokenService,
		Access:   access,
	}
	if account != nil {
		claims.Subject = account.Name
	}
	by := h.signatory()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	unsigned.Header["kid"] = by.kid
	token, err := unsigned.SignedString(by.key)
	if err != nil {
		return "", Claims{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live[claims.ID] = true
	h.keepSecret(token)
	return token, claims, nil
}

// verify returns the claims of a token that is ours, in time and not revoked.
func (h *Harbor) verify(token string) (*Claims, bool) {
	var claims Claims
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return &h.signatory().key.PublicKey, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Name}),
		jwt.WithIssuer(tokenIssuer), jwt.WithLeeway(tokenLeeway), jwt.WithExpirationRequired())
	if err != nil || claims.Audience != tokenService {
		return nil, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return &claims, h.live[claims.ID]
}

// newSignatory makes a key and its id in the form of libtrust, which Harbor uses.
func newSignatory() signatory {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("harbortest: no RSA key: " + err.Error()) // crypto/rand does not fail
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic("harbortest: no key id: " + err.Error()) // an RSA key can be marshalled
	}
	sum := sha256.Sum256(der)
	id := base32.StdEncoding.EncodeToString(sum[:30])
	var groups []string
	for ; len(id) >= 4; id = id[4:] {
		groups = append(groups, id[:4])
	}
	return signatory{key: key, kid: strings.Join(groups, ":")}
}

// randomBytes fills b; crypto/rand does not fail.
func randomBytes(b []byte) { _, _ = rand.Read(b) }
