package explain_test

import (
	"fmt"
	"strings"
	"testing"

	"breakwater/internal/explain"
	"breakwater/proxy/registry"
)

const hex = "5e35fc2ef2d4b9ee1d4f8e4f1e5d9a2f3b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e"

func TestParseImage(t *testing.T) {
	for text, want := range map[string]explain.Image{
		"nginx":                               {Registry: "docker.io", Implied: true, Repository: "library/nginx", Tag: "latest"},
		"nginx:1.27":                          {Registry: "docker.io", Implied: true, Repository: "library/nginx", Tag: "1.27"},
		"acme/app":                            {Registry: "docker.io", Implied: true, Repository: "acme/app", Tag: "latest"},
		"docker.io/nginx":                     {Registry: "docker.io", Repository: "library/nginx", Tag: "latest"},
		"docker.io/library/nginx:1.27":        {Registry: "docker.io", Repository: "library/nginx", Tag: "1.27"},
		"index.docker.io/nginx":               {Registry: "docker.io", Repository: "library/nginx", Tag: "latest"},
		"quay.io/x/y":                         {Registry: "quay.io", Repository: "x/y", Tag: "latest"},
		"Quay.IO/x/y":                         {Registry: "quay.io", Repository: "x/y", Tag: "latest"},
		"localhost/x":                         {Registry: "localhost", Repository: "x", Tag: "latest"},
		"127.0.0.1:5000/quay.io/x/y":          {Registry: "127.0.0.1:5000", Repository: "quay.io/x/y", Tag: "latest"},
		"127.0.0.1:5000/nginx:1":              {Registry: "127.0.0.1:5000", Repository: "nginx", Tag: "1"},
		"[::1]:5000/nginx":                    {Registry: "[::1]:5000", Repository: "nginx", Tag: "latest"},
		"h.test/team-a/app@sha256:" + hex:     {Registry: "h.test", Repository: "team-a/app", Digest: "sha256:" + hex},
		"h.test/team-a/app:1.0@sha256:" + hex: {Registry: "h.test", Repository: "team-a/app", Digest: "sha256:" + hex},
		"nginx@sha512:" + hex + hex:           {Registry: "docker.io", Implied: true, Repository: "library/nginx", Digest: "sha512:" + hex + hex},
	} {
		got, err := explain.ParseImage(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v (%v), want %+v", text, got, err, want)
		}
		if again, err := explain.ParseImage(got.String()); err != nil || again.String() != got.String() {
			t.Errorf("%s in full is %s, and that is %s (%v)", text, got, again, err)
		}
	}
}

func TestImagesThatAreNone(t *testing.T) {
	for _, text := range []string{
		"", "/", "Nginx", "nginx:", "nginx:-1", "nginx@latest", "nginx@sha256:" + hex[1:], "nginx@sha384:" + hex + hex[:32],
		"https://docker.io/nginx", "docker.io/", "a//b", "a/../b", "nginx\n", "h.test/" + strings.Repeat("x", 256), "nginx:" + strings.Repeat("x", 129),
	} {
		if got, err := explain.ParseImage(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

// What is read asks for what could come from a client.
func FuzzParseImage(f *testing.F) {
	for _, text := range []string{"nginx", "h.test:1/a/b:c", "nginx@sha256:" + hex, "127.0.0.1:5000/quay.io/x/y", "a@b@c", "[::1]/x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		image, err := explain.ParseImage(text)
		if err != nil {
			return
		}
		for _, here := range []bool{false, true} {
			want := image.Request(here)
			got, err := registry.Parse(want.Method, want.Here())
			if err != nil || got != want {
				t.Errorf("%q asks for %+v, which is read as %+v (%v)", text, want, got, err)
			}
		}
	})
}

func ExampleParseImage() {
	image, err := explain.ParseImage("nginx")
	if err != nil {
		panic(err)
	}
	fmt.Println(image, image.Request(false).Here())
	// Output: docker.io/library/nginx:latest /v2/library/nginx/manifests/latest?ns=docker.io
}
