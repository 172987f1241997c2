package registry_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"breakwater/proxy/registry"
)

const (
	zeros256 = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	zeros512 = "sha512:" + "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)

func parse(t *testing.T, method, target string) (registry.Request, error) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatalf("net/http would refuse %q itself: %v", target, err)
	}
	return registry.Parse(method, u)
}

func TestParse(t *testing.T) {
	for target, want := range map[string]registry.Request{
		"/v2/":                       {Kind: registry.KindBase},
		"/v2/?ns=docker.io":          {Kind: registry.KindBase, NS: "docker.io"},
		"/v2/_catalog?n=3&last=a%2F": {Kind: registry.KindCatalog, N: "3", Last: "a/"},
		"/v2/team-a/app/tags/list":   {Kind: registry.KindTags, Name: "team-a/app"},
		"/v2/a/tags/list?n=0&last=1": {Kind: registry.KindTags, Name: "a", N: "0", Last: "1"},

		"/v2/a/manifests/1.0":                              {Kind: registry.KindManifest, Name: "a", Tag: "1.0"},
		"/v2/a/manifests/" + zeros256:                      {Kind: registry.KindManifest, Name: "a", Digest: zeros256},
		"/v2/a/manifests/b/manifests/c?ns=ghcr.io":         {Kind: registry.KindManifest, Name: "a/manifests/b", Tag: "c", NS: "ghcr.io"},
		"/v2/x/blobs/manifests/latest":                     {Kind: registry.KindManifest, Name: "x/blobs", Tag: "latest"},
		"/v2/a_b/c__d/e-f/g--h.i/manifests/_x":             {Kind: registry.KindManifest, Name: "a_b/c__d/e-f/g--h.i", Tag: "_x"},
		"/v2/a/blobs/" + zeros256:                          {Kind: registry.KindBlob, Name: "a", Digest: zeros256},
		"/v2/a/blobs/" + zeros512:                          {Kind: registry.KindBlob, Name: "a", Digest: zeros512},
		"/v2/a/referrers/" + zeros256:                      {Kind: registry.KindReferrers, Name: "a", Digest: zeros256},
		"/v2/a/referrers/" + zeros256 + "?n=1":             {Kind: registry.KindReferrers, Name: "a", Digest: zeros256, N: "1"},
		"/v2/a/manifests/sha256-" + zeros256[7:]:           {Kind: registry.KindManifest, Name: "a", Tag: "sha256-" + zeros256[7:]},
		"/v2/" + strings.Repeat("a", 255) + "/manifests/1": {Kind: registry.KindManifest, Name: strings.Repeat("a", 255), Tag: "1"},
		"/quay.io/v2/":                                     {Kind: registry.KindBase, Prefix: "quay.io"},
		"/quay.io/v2/_catalog?n=1":                         {Kind: registry.KindCatalog, Prefix: "quay.io", N: "1"},
		"/quay.io/v2/a/b/manifests/1?ns=x":                 {Kind: registry.KindManifest, Prefix: "quay.io", Name: "a/b", Tag: "1", NS: "x"},
		"/harbor.test_8443/v2/a/tags/list":                 {Kind: registry.KindTags, Prefix: "harbor.test_8443", Name: "a"},
		"/quay.io/v2/docker.io/a/tags/list":                {Kind: registry.KindTags, Prefix: "quay.io", Name: "docker.io/a"},
		"/quay.io/v2/v2/a/tags/list":                       {Kind: registry.KindTags, Prefix: "quay.io", Name: "v2/a"},
		"/v2/v2/tags/list":                                 {Kind: registry.KindTags, Name: "v2"},
		"/v2/quay.io/v2/tags/list":                         {Kind: registry.KindTags, Name: "quay.io/v2"},
		"/a/v2/b/blobs/" + zeros256 + "?ns=%0A":            {Kind: registry.KindBlob, Prefix: "a", Name: "b", Digest: zeros256, NS: "\n"},
		"/v2/a/referrers/" + zeros256 + "?artifactType=application%2Fx%2Bjson": {
			Kind: registry.KindReferrers, Name: "a", Digest: zeros256, ArtifactType: "application/x+json"},
		"/v2/a/referrers/" + zeros256 + "?artifactType=application/x+json": { // the "+" that clients forget to encode
			Kind: registry.KindReferrers, Name: "a", Digest: zeros256, ArtifactType: "application/x+json"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			want.Method = method
			got, err := parse(t, method, target)
			if err != nil || got != want {
				t.Errorf("Parse(%s %s) = %+v, %v\nwant %+v", method, target, got, err, want)
			}
		}
	}
}

func TestParseWrites(t *testing.T) {
	for request, want := range map[string]registry.Kind{
		"POST /v2/a/blobs/uploads/":                   registry.KindUpload,
		"POST /v2/a/blobs/uploads":                    registry.KindUpload,
		"POST /v2/a/blobs/uploads/?mount=" + zeros256: registry.KindUpload,
		"PATCH /v2/a/blobs/uploads/0001?_state=x":     registry.KindUpload,
		"GET /v2/a/blobs/uploads/0001":                registry.KindUpload,
		"PUT /v2/a/manifests/1.0":                     registry.KindWrite,
		"DELETE /v2/a/manifests/" + zeros256:          registry.KindWrite,
		"DELETE /v2/a/blobs/" + zeros256:              registry.KindWrite,
		"POST /v2/":                                   registry.KindWrite,
		"OPTIONS /v2/a/tags/list":                     registry.KindWrite,
		"CONNECT /v2/a/tags/list":                     registry.KindWrite,
		"POST /quay.io/v2/a/blobs/uploads/":           registry.KindUpload,
		"PUT /quay.io/v2/a/manifests/1.0":             registry.KindWrite,
	} {
		method, target, _ := strings.Cut(request, " ")
		got, err := parse(t, method, target)
		if err != nil || got.Kind != want || got.Kind.Reads() {
			t.Errorf("Parse(%s) = %+v, %v; want kind %s, not a read", request, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for target, want := range map[string]registry.Error{
		"/":                     {Status: 404, Code: registry.CodeUnsupported},
		"/v1/_ping":             {Status: 404, Code: registry.CodeUnsupported},
		"/v2":                   {Status: 404, Code: registry.CodeUnsupported}, // the proxy redirects it
		"/v2/a":                 {Status: 404, Code: registry.CodeUnsupported},
		"/v2/a/tags":            {Status: 404, Code: registry.CodeUnsupported},
		"/v2/a/tags/list/":      {Status: 404, Code: registry.CodeUnsupported},
		"/v2/_catalog/":         {Status: 404, Code: registry.CodeUnsupported},
		"/v2/manifests/1":       {Status: 404, Code: registry.CodeUnsupported},
		"//v2/a/tags/list":      {Status: 404, Code: registry.CodeUnsupported},
		"/quay.io/":             {Status: 404, Code: registry.CodeUnsupported},
		"/quay.io/v2":           {Status: 404, Code: registry.CodeUnsupported}, // the proxy redirects it
		"/quay.io/v1/_ping":     {Status: 404, Code: registry.CodeUnsupported},
		"/quay.io//v2/":         {Status: 404, Code: registry.CodeUnsupported},
		"/a/quay.io/v2/":        {Status: 404, Code: registry.CodeUnsupported},
		"/v2/v2/":               {Status: 404, Code: registry.CodeUnsupported},
		"/Quay.io/v2/":          {Status: 404, Code: registry.CodeUnsupported},
		"/quay.io:443/v2/":      {Status: 404, Code: registry.CodeUnsupported},
		"/../v2/":               {Status: 404, Code: registry.CodeUnsupported},
		"/quay%2eio/v2/":        {Status: 400, Code: registry.CodeNameInvalid},
		"/v2//manifests/1":      {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a//b/manifests/1":  {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/../a/manifests/1":  {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a/./b/manifests/1": {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a%2Fb/manifests/1": {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a/manifests/1%2e0": {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a/b c/manifests/1": {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/é/manifests/1":     {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/A/manifests/1":     {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a./manifests/1":    {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/a___b/manifests/1": {Status: 400, Code: registry.CodeNameInvalid},
		"/v2/" + strings.Repeat("a", 256) + "/manifests/1":  {Status: 400, Code: registry.CodeNameInvalid},
		"/" + strings.Repeat("a", 256) + "/v2/":             {Status: 404, Code: registry.CodeUnsupported},
		"/v2/a/manifests/":                                  {Status: 404, Code: registry.CodeManifestUnknown},
		"/v2/a/manifests/.INVALID":                          {Status: 404, Code: registry.CodeManifestUnknown},
		"/v2/a/manifests/" + strings.Repeat("t", 129):       {Status: 404, Code: registry.CodeManifestUnknown},
		"/v2/a/manifests/1@" + zeros256:                     {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/manifests/sha256:abc":                        {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/manifests/sha384:" + strings.Repeat("0", 96): {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/blobs/latest":                                {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/blobs/sha256:" + strings.Repeat("F", 64):     {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/blobs/" + zeros256 + "0":                     {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/referrers/latest":                            {Status: 400, Code: registry.CodeDigestInvalid},
		"/v2/a/tags/list?n=-1":                              {Status: 400, Code: registry.CodePaginationNumberInvalid},
		"/v2/a/tags/list?n=abc":                             {Status: 400, Code: registry.CodePaginationNumberInvalid},
		"/v2/a/tags/list?n=+1":                              {Status: 400, Code: registry.CodePaginationNumberInvalid},
		"/v2/a/tags/list?n=1&n=2":                           {Status: 400, Code: registry.CodeUnsupported},
		"/v2/a/tags/list?limit=2":                           {Status: 400, Code: registry.CodeUnsupported},
		"/v2/a/tags/list?n=1;last=2":                        {Status: 400, Code: registry.CodeUnsupported},
		"/v2/a/manifests/1?ns=a&ns=b":                       {Status: 400, Code: registry.CodeUnsupported},
		"/v2/a/manifests/1?n=1":                             {Status: 400, Code: registry.CodeUnsupported},
		"/v2/a/manifests/1?ns=" + strings.Repeat("a", 300):  {Status: 400, Code: registry.CodeUnsupported},
	} {
		_, err := parse(t, http.MethodGet, target)
		var refused *registry.Error
		if !errors.As(err, &refused) {
			t.Errorf("Parse(%s) = %v, want a refusal", target, err)
			continue
		}
		if refused.Status != want.Status || refused.Code != want.Code {
			t.Errorf("Parse(%s) refused with %d %s, want %d %s", target, refused.Status, refused.Code, want.Status, want.Code)
		}
		if len(refused.Message) > 300 {
			t.Errorf("Parse(%s): a message of %d bytes repeats too much of what the client sent", target, len(refused.Message))
		}
	}
}

func TestEveryRealClientParses(t *testing.T) {
	file, err := os.Open("testdata/client-requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	seen := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		method, target, _ := strings.Cut(lines.Text(), " ")
		if _, err := parse(t, method, target); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		seen++
	}
	if seen < 30 {
		t.Errorf("only %d requests read", seen)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"/v2/", "/v2/_catalog?n=1", "/v2/a/b/manifests/1.0?ns=docker.io", "/v2/a/blobs/" + zeros256,
		"/v2/a/referrers/" + zeros512 + "?artifactType=a/b%2Bc", "/v2/a/tags/list?last=%20", "/v2/%2e%2e/manifests/x", "/v2/a/blobs/uploads/",
		"/quay.io/v2/", "/quay.io/v2/a/b/tags/list?ns=docker.io&n=1", "/v2/v2/tags/list", "/v2/v2/v2/tags/list", "/a_1/v2/_catalog?ns=%0A%26"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r, err := registry.Parse(http.MethodGet, u)
		var refused *registry.Error
		if err != nil {
			if !errors.As(err, &refused) || refused.Status < 400 || refused.Status > 499 || !strings.Contains(string(refused.Body()), string(refused.Code)) {
				t.Fatalf("Parse(%q) failed without a client error: %v", target, err)
			}
			return
		}
		if !r.Kind.Reads() {
			return
		}
		// What parses is canonical: building and parsing again changes nothing, and of what
		// upstream is asked nothing but the words for a registry.
		here, err := url.ParseRequestURI(r.Here().String())
		if err != nil {
			t.Fatalf("Parse(%q) = %+v, whose %s is no request", target, r, r.Here())
		}
		if again, err := registry.Parse(http.MethodGet, here); err != nil || again != r {
			t.Fatalf("Parse(%q) = %+v; %s parses to %+v, %v", target, r, here, again, err)
		}
		again, err := registry.Parse(http.MethodGet, r.URL())
		r.Prefix, r.NS = "", ""
		if err != nil || again != r {
			t.Fatalf("Parse(%q) = %+v; its URL %s parses to %+v, %v", target, r, r.URL(), again, err)
		}
	})
}

func ExampleParse() {
	u, _ := url.Parse("/v2/library/nginx/manifests/1.27?ns=docker.io")
	r, _ := registry.Parse(http.MethodGet, u)
	fmt.Println(r.Kind, r.Name, r.Reference(), r.NS)
	fmt.Println(r.URL())

	u, _ = url.Parse("/v2/library%2Fnginx/manifests/1.27")
	_, err := registry.Parse(http.MethodGet, u)
	fmt.Println(err)
	// Output:
	// manifest library/nginx 1.27 docker.io
	// /v2/library/nginx/manifests/1.27
	// NAME_INVALID: percent-encoding has no place in a registry path: nothing in it needs to be encoded
}

func ExampleRequest_Here() {
	u, _ := url.Parse("/quay.io/v2/coreos/etcd/tags/list?ns=quay.io&n=10")
	r, _ := registry.Parse(http.MethodGet, u)
	fmt.Println("upstream:", r.URL())
	r.Last = "v3.5.0"
	fmt.Println("next page:", r.Here())
	// Output:
	// upstream: /v2/coreos/etcd/tags/list?n=10
	// next page: /quay.io/v2/coreos/etcd/tags/list?last=v3.5.0&n=10&ns=quay.io
}
