package access_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"breakwater/proxy/access"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

func ExampleNewToken() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	checks := loginCounter{}
	mode, err := access.NewToken(access.TokenOptions{
		Issuers: []access.Issuer{{
			Issuer:   "https://cluster.example.com",
			Audience: "breakwater",
			JWKS: func() ([]byte, error) {
				return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, Use: "sig"}}})
			},
			SubjectClaim: "sub",
			GroupsClaim:  "groups",
		}},
		Listener: ":5443",
		Events:   checks,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mode.Close()

	pull := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	for _, audience := range []string{"breakwater", "vault"} {
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": "https://cluster.example.com", "aud": audience, "exp": time.Now().Add(time.Hour).Unix(),
			"sub": "system:serviceaccount:ci:builder", "groups": []string{"system:serviceaccounts:ci"},
		}).SignedString(private)
		if err != nil {
			fmt.Println(err)
			return
		}
		pull.SetBasicAuth("any", token)
		client, err := mode.Authenticate(context.Background(), pull)
		fmt.Printf("%q %q %v\n", client.Subject, client.Groups, err)
	}
	fmt.Println(checks)

	// Output:
	// "system:serviceaccount:ci:builder" ["system:serviceaccounts:ci"] <nil>
	// "" [] bad_credentials: UNAUTHORIZED: the token is for another audience: get one for "breakwater": token has invalid claims: token has invalid audience: it is that of "system:serviceaccount:ci:builder", for "vault"
	// map[accepted:1 rejected:1]
}
