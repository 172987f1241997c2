package access_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/tokencache"
)

// harbor knows alice, who may pull from team-a. In a program it is an
// [upstream.Client].
type harbor struct{}

func (harbor) Ask(_ context.Context, theirs tokencache.Credentials, scopes ...tokencache.Scope) (tokencache.Grant, error) {
	fmt.Println("Harbor is asked about", theirs.Username, scopes)
	var granted tokencache.Grant
	if theirs.Username == "alice" && theirs.Password == "wonderland" {
		granted.Subject = "alice"
		granted.Access = []tokencache.Scope{{Type: "repository", Name: "team-a/app", Actions: []string{"pull"}}}
	} else if len(scopes) == 0 {
		return granted, &tokencache.RefusedError{Upstream: "https://harbor.example.com"}
	}
	return granted, nil
}

func (harbor) Grant(context.Context, tokencache.Scope) (tokencache.Grant, error) {
	return tokencache.Grant{Subject: "robot$breakwater"}, nil
}

func (harbor) Health(context.Context) error { return nil }

func ExampleNewHarbor() {
	gate := access.New(access.Options{
		Listener: ":5443",
		Mode:     access.NewHarbor(access.HarborOptions{Upstream: harbor{}, Name: "harbor", Listener: ":5443", Events: loginCounter{}}),
		Allow:    access.Everything(), // that Harbor allows
		Limits:   access.Limits{Connections: 1024, AddressPulls: 256, SubjectPulls: 4096},
		Events:   loginCounter{},
	})
	defer gate.Close()

	ctx := context.Background()
	app := access.Repository{Upstream: "harbor", Name: "team-a/app", Names: []string{"harbor.example.com/team-a/app"}}
	for _, password := range []string{"wonderland", "underground"} {
		pull := httptest.NewRequest(http.MethodGet, "/v2/team-a/app/manifests/1.0", nil)
		pull.SetBasicAuth("alice", password)
		for range 2 {
			client, err := gate.Authenticate(ctx, pull)
			if err == nil {
				err = gate.Authorise(ctx, client, registry.KindManifest, app)
			}
			fmt.Println(err)
		}
	}
	// Output:
	// Harbor is asked about alice [repository:team-a/app:pull]
	// <nil>
	// <nil>
	// Harbor is asked about alice [repository:team-a/app:pull]
	// Harbor is asked about alice []
	// Harbor is asked about alice []
	// bad_credentials: UNAUTHORIZED: wrong user name or password: not the login of a user
	// bad_credentials: UNAUTHORIZED: wrong user name or password: not the login of a user
}
