package tokencache_test

import (
	"context"
	"fmt"
	"net/http"

	"breakwater/internal/redact"
	"breakwater/tokencache"
)

func ExampleCache_Transport() {
	upstream := newUpstream() // a registry at http://harbor.test
	cache, err := tokencache.New(tokencache.Options{
		Registry: parse("http://harbor.test"),
		Credentials: func() (tokencache.Credentials, error) {
			return tokencache.Credentials{Username: "robot$team-a+puller", Password: redact.Secret(secret)}, nil
		},
		Transport: upstream, // a real program gives an *http.Transport
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()

	ctx := tokencache.WithScope(context.Background(),
		tokencache.Scope{Type: "repository", Name: "team-a/app", Actions: []string{"pull"}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://harbor.test/v2/team-a/app/manifests/1.0", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := cache.Transport(upstream).RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	for _, line := range upstream.requests() {
		fmt.Println(line)
	}
	// Output:
	// 200 OK
	// GET /v2/
	// GET /service/token Basic repository:team-a/app:pull
	// GET /v2/team-a/app/manifests/1.0 Bearer
}

func ExampleCache_Grant() {
	upstream := newUpstream()
	cache, err := tokencache.New(tokencache.Options{
		Registry: parse("http://harbor.test"),
		Credentials: func() (tokencache.Credentials, error) {
			return tokencache.Credentials{Username: "robot$team-a+puller", Password: redact.Secret(secret)}, nil
		},
		Transport: upstream,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()

	pull := tokencache.Scope{Type: "repository", Name: "team-a/app", Actions: []string{"pull"}}
	grant, err := cache.Grant(context.Background(), pull)
	fmt.Println(grant.Subject, grant.Allows(pull), err)

	pull.Name = "team-b/secret"
	_, err = cache.Grant(context.Background(), pull)
	fmt.Println(err)
	// Output:
	// robot$team-a+puller true <nil>
	// http://harbor.test grants "robot$team-a+puller" nothing on repository:team-b/secret:pull: give the account that right there (at Harbor: on the project), or take the repository out of what is served
}

func ExampleParseChallenges() {
	h := http.Header{"Www-Authenticate": {
		`Bearer realm="https://harbor.example.com/service/token",service="harbor-registry",scope="repository:team-a/app:pull,push", Basic realm="harbor"`,
	}}
	for _, c := range tokencache.ParseChallenges(h) {
		fmt.Println(c.Scheme, c.Parameters["realm"], c.Parameters["scope"])
	}
	// Output:
	// bearer https://harbor.example.com/service/token repository:team-a/app:pull,push
	// basic harbor
}
