//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const builder = "system:serviceaccount:ci-a:builder"

// A tokenWorld has a door, for the tokens of an issuer whose keys are fetched.
type tokenWorld struct {
	*accessWorld
	issuer *issuer
	at     string // the door
}

func newTokenWorld(t *testing.T) *tokenWorld {
	t.Helper()
	w := &tokenWorld{accessWorld: newAccessWorld(t)}
	own := w.login("breakwater", "Pv4mXe9tKsQz7Jd2") // what Breakwater shows to the issuer
	w.issuer = startIssuer(t, w.authority, own.secret)
	w.at = w.tlsDoor(t, ownAddress(t), fmt.Sprintf(
		`token: {issuer: %q, audience: %s, ca_file: %q, bearer_token_file: %q}, allow: [{subjects: ["system:serviceaccount:ci-*:*"], pull: ["harbor.example.com/team-a/**"]}]`,
		w.issuer.URL, audience, w.writeTo(t, t.TempDir()), passwordFile(t, own.secret)))
	return w
}

// A pod's token is the password, with any user name, of each client; containerd sends
// it as it is.
func TestTokensOfClients(t *testing.T) {
	w := newTokenWorld(t)
	w.serve(t)
	good := w.login("token", w.issuer.token(t, builder))
	over := w.login("token", w.issuer.token(t, builder, with("exp", time.Now().Add(-time.Hour).Unix())))

	t.Run("docker", func(t *testing.T) {
		docker := startDaemon(t, newHome(t), w.etcDocker(t), nil)
		docker.checkLogin(t, w.at, good, over)
		docker.pull(t, w.at+"/team-a/app:1.0")
		docker.checkImage(t, w.at+"/team-a/app:1.0", digestOf(t, w.harbor.app), w.harbor.app)
		docker.checkRefused(t, w.at+"/library/base:1.0", builder+" may not pull from library/base")
	})
	t.Run("skopeo", func(t *testing.T) { w.checkSkopeo(t, w.at, good, over) })
	t.Run("podman", func(t *testing.T) { w.checkPodman(t, w.at, good, over) })
	t.Run("crane", func(t *testing.T) { w.checkCrane(t, w.at, good, over) })
	t.Run("containerd", func(t *testing.T) {
		containerd, host := startContainerd(t, w.newHome(t), debians(t)), "https://"+w.at
		with := func(l login) string {
			return hosts(t, host, fmt.Sprintf("ca = %q", w.writeTo(t, t.TempDir())), header(host, "Bearer "+l.secret))
		}
		containerd.checkPull(t, with(good), "team-a/app", w.harbor.app)
		containerd.checkRefused(t, with(over), "team-a/app", "401 Unauthorized")
		containerd.checkRefused(t, with(good), "library/base", "403 Forbidden")
	})
	w.checkRefusals(t, w.at, "no_credentials", "bad_credentials", "not_allowed")
}

// What is forged, over, or for somebody else is refused, in words that help its owner.
func TestTokensThatAreNotGood(t *testing.T) {
	w := newTokenWorld(t)
	outage := w.door(t, "127.0.0.1", fmt.Sprintf(
		`token: {issuer: "https://127.0.0.1:1", audience: %s}, allow: [{subjects: ["**"], pull: ["**"]}]`, audience))
	w.serve(t)
	i := w.issuer
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	pem := must(i.keys().Keys[0].MarshalJSON())(t)
	good := w.login("token", i.token(t, builder))
	for name, tt := range map[string]struct{ token, says string }{
		"expired":             {i.token(t, builder, with("exp", time.Now().Add(-time.Hour).Unix())), "expired"},
		"without an end":      {i.token(t, builder, func(claims jwt.MapClaims) { delete(claims, "exp") }), ""},
		"not valid yet":       {i.token(t, builder, with("nbf", time.Now().Add(time.Hour).Unix())), ""},
		"for somebody else":   {i.token(t, builder, with("aud", []string{"vault"})), fmt.Sprintf("for another audience: get one for %q", audience)},
		"for the issuer, too": {i.token(t, builder, with("aud", []string{audience, i.URL})), "audience"},
		"of another issuer":   {i.token(t, builder, with("iss", "https://issuer.test")), "issuer"},
		"of another key":      {i.signed(t, jwt.SigningMethodES256, other, i.claims(builder)), ""},
		"without a signature": {i.signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, i.claims(builder)), ""},
		"by the public key":   {i.signed(t, jwt.SigningMethodHS256, pem, i.claims(builder)), ""},
		"over-long":           {i.token(t, builder, with("more", strings.Repeat("x", 20<<10))), ""},
		"cut":                 {good.secret[:len(good.secret)-20], ""},
		"no token":            {"Lq9xWm2dTyVb6Hs4", ""},
	} {
		bad := w.login("token", tt.token)
		w.ask(t, w.at, appPath, bad.basic).check(t, name+", as password", http.StatusUnauthorized, "UNAUTHORIZED: ", tt.says)
		w.ask(t, w.at, appPath, bad.bearer).check(t, name+", as Bearer", http.StatusUnauthorized, "UNAUTHORIZED: ", tt.says)
	}
	w.ask(t, w.at, ping).check(t, "nobody", http.StatusUnauthorized, i.URL, audience)
	w.ask(t, w.at, appPath, good.bearer).check(t, "a good one", http.StatusOK)
	stranger := w.login("token", i.token(t, "system:serviceaccount:prod:builder"))
	w.ask(t, w.at, appPath, stranger.bearer).check(t, "of whom no rule speaks", http.StatusForbidden, "DENIED: ")

	// The issuer is down: its keys are in hand, those of an issuer that was never
	// reached are not, and that is no reason to throw a token away.
	i.Close()
	another := w.login("token", i.token(t, builder))
	w.ask(t, w.at, appPath, another.bearer).check(t, "a new one, with the issuer down", http.StatusOK)
	unheard := w.login("token", i.token(t, builder, with("iss", "https://127.0.0.1:1")))
	w.ask(t, outage, appPath, unheard.basic).check(t, "of an issuer that was never reached", http.StatusServiceUnavailable, "UNAVAILABLE: ")
	w.checkRefusals(t, w.at, "no_credentials", "bad_credentials", "not_allowed")
	w.checkRefusals(t, outage, "unverifiable")
}

// Of several issuers, here with keys in files, what one says of a name is not another's.
func TestTokensOfSeveralIssuers(t *testing.T) {
	w := newAccessWorld(t)
	cluster, forge := startIssuer(t, w.authority, ""), startIssuer(t, w.authority, "")
	door := w.door(t, "127.0.0.1", fmt.Sprintf(`token: [{issuer: %q, audience: %s, prefix: "k8s:", jwks_file: %q}, `+
		`{issuer: %q, audience: %s, prefix: "forge:", jwks_file: %q, subject_claim: job, groups_claim: teams}], `+
		`allow: [{subjects: ["k8s:%s"], pull: ["harbor.example.com/team-a/**"]}, {groups: ["forge:base"], pull: ["harbor.example.com/library/**"]}]`,
		cluster.URL, audience, cluster.keysFile(t), forge.URL, audience, forge.keysFile(t), builder))
	w.serve(t)

	pod := w.login("token", cluster.token(t, builder))
	job := w.login("job", forge.token(t, "7", with("job", builder), with("teams", []string{"base"})))
	forged := w.login("job", forge.token(t, builder, with("iss", cluster.URL)))
	base := "/v2/library/base/manifests/1.0"
	w.ask(t, door, appPath, pod.basic).check(t, "a pod", http.StatusOK)
	w.ask(t, door, base, pod.basic).check(t, "a pod", http.StatusForbidden, "k8s:"+builder+" may not pull from library/base")
	w.ask(t, door, base, job.bearer).check(t, "a job of the group", http.StatusOK)
	w.ask(t, door, appPath, job.bearer).check(t, "a job with the pod's name", http.StatusForbidden, "forge:"+builder+" may not pull")
	w.ask(t, door, appPath, forged.bearer).check(t, "a job that says it is of the cluster", http.StatusUnauthorized, "UNAUTHORIZED: ")
}
