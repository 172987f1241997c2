package access_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"breakwater/internal/pattern"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
)

// A gate for one network: who comes from elsewhere is turned away, and what no rule
// allows looks as if it were not there.
func ExampleGate() {
	gate := access.New(access.Options{
		Listener: ":5000",
		Mode:     access.NewAnonymous([]netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}),
		Allow:    access.Policy{{Anyone: true, Pull: pattern.All("docker.io/**")}},
		Hide:     true,
		Limits:   access.Limits{Connections: 1024, AddressPulls: 256, SubjectPulls: 4096},
		Events:   loginCounter{},
	})
	defer func() { _ = gate.Close() }() // of a mode without files
	ctx := context.Background()

	r := httptest.NewRequest(http.MethodGet, "/v2/team-a/app/tags/list", nil)
	r.RemoteAddr = "192.0.2.1:1000"
	_, err := gate.Authenticate(ctx, r)
	fmt.Println(err)

	r.RemoteAddr = "10.42.0.7:1000"
	client, err := gate.Authenticate(ctx, r)
	fmt.Println(client.Address, err)

	for _, repository := range []access.Repository{
		{Upstream: "harbor", Name: "hub-proxy/library/nginx", Names: []string{"docker.io/library/nginx", "harbor.example.com/hub-proxy/library/nginx"}},
		{Upstream: "harbor", Name: "team-b/app", Names: []string{"harbor.example.com/team-b/app"}},
	} {
		fmt.Println(gate.Authorise(ctx, client, registry.KindTags, repository))
	}
	// Output:
	// wrong_address: DENIED: 192.0.2.1 is not an address that this registry serves: its operator can add a network: no network of this listener's anonymous.networks holds the client's address
	// 10.42.0.7 <nil>
	// <nil>
	// not_allowed: NAME_UNKNOWN: team-b/app is not known here: of allow it is meant by allow[0], without that repository
}
