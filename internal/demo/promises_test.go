package demo_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"breakwater/internal/harbortest"
)

// TestWhatMustNotHappenIsAnError has the client pull through proxies that cheat.
func TestWhatMustNotHappenIsAnError(t *testing.T) {
	const blob, manifest, tagged = "/blobs/", "/manifests/", "/v2/platform/shop/manifests/1.0"
	stage := open(t)
	for name, test := range map[string]struct {
		cheat func(*honest)
		want  string
	}{
		"a wrong byte in a layer": {
			func(h *honest) {
				h.stage.Harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, WrongDigest: true})
			},
			"the pull failed: GET blobs/sha256:",
		},
		"a manifest that was not pushed": {
			func(h *honest) { h.after = body(manifest, `{"schemaVersion":2}`) },
			"the pull failed: GET manifests/1.0: the content has the digest",
		},
		"a body cut short": {
			func(h *honest) {
				h.stage.Harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, After: 100_000, Cut: true})
			},
			"unexpected EOF",
		},
		"a refusal": {
			func(h *honest) {
				rewrite := h.proxy.Rewrite
				h.proxy.Rewrite = func(r *httputil.ProxyRequest) {
					rewrite(r)
					if r.In.URL.Path != "/v2/" {
						r.Out.Header.Del("Authorization")
					}
				}
			},
			"the pull failed: GET /v2/platform/shop/manifests/1.0: 401 Unauthorized",
		},
		"a redirect to the client": {
			func(h *honest) {
				h.before = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, blob) {
						return false
					}
					http.Redirect(w, r, h.stage.URL+r.URL.Path, http.StatusTemporaryRedirect)
					return true
				}
			},
			"307 Temporary Redirect",
		},
		"a cookie": {
			func(h *honest) { h.after = header(blob, "Set-Cookie", "sid=1") },
			"the client was shown Harbor's Set-Cookie",
		},
		"a challenge": {
			func(h *honest) { h.after = header(manifest, "Www-Authenticate", `Basic realm="harbor"`) },
			"GET /v2/platform/shop/manifests/1.0: the client was shown Harbor's Www-Authenticate",
		},
		"a token in a header": {
			func(h *honest) {
				h.after = func(resp *http.Response) {
					_, token, _ := strings.Cut(resp.Request.Header.Get("Authorization"), " ")
					resp.Header.Set("X-Debug", "with "+token)
				}
			},
			"GET /v2/: the client was shown a secret",
		},
		"the password in a body": {
			func(h *honest) {
				h.before = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/v2/" {
						return false
					}
					_, err := io.WriteString(w, "password: "+h.password())
					return err == nil
				}
			},
			"the client was shown a secret",
		},
		"the password with every request": {
			func(h *honest) {
				rewrite := h.proxy.Rewrite
				h.proxy.Rewrite = func(r *httputil.ProxyRequest) {
					rewrite(r)
					r.Out.SetBasicAuth(h.stage.Username, h.password())
				}
			},
			"credentials where they do not belong: Basic to /v2/",
		},
		"a question about what is held": {
			during(again, func(h *honest, _ http.ResponseWriter) { delete(h.kept, tagged) }),
			"Harbor was asked again for what is held: GET /service/token",
		},
		"a cookie with what is held": {
			during(again, func(_ *honest, w http.ResponseWriter) { w.Header().Set("Set-Cookie", "sid=1") }),
			"the client was shown Harbor's Set-Cookie",
		},
		"a tag that ends with Harbor": {
			during(outage, func(h *honest, _ http.ResponseWriter) { delete(h.kept, tagged) }),
			"the pull failed: GET /v2/platform/shop/manifests/1.0: 502 Bad Gateway",
		},
		"other content while Harbor is down": {
			during(outage, func(h *honest, _ http.ResponseWriter) { h.kept[tagged] = []byte("{}") }),
			"the pull failed: GET manifests/1.0: the content has the digest",
		},
		"a stale tag that is not called so": {
			during(outage, func(h *honest, _ http.ResponseWriter) { h.pulls = again }),
			`the client was not told that the tag is not confirmed: its Cache-Status is ""`,
		},
		"a Harbor that is not down": {
			during(outage, func(h *honest, _ http.ResponseWriter) {
				h.stage.Harbor.SetDown(harbortest.Core, false)
				delete(h.kept, tagged)
			}),
			"Harbor is not down: it answered GET /service/token",
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer stage.Harbor.ClearFaults()
			h, address := newHonest(t, stage)
			test.cheat(h)
			err := stage.Tell(t.Context(), io.Discard, address)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			for _, secret := range stage.Harbor.Secrets() {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Error("the error tells a secret")
				}
			}
		})
	}
}

// TestContentThatHarborDidNotGive comes from somewhere else: what the client got
// is right, and yet it is not Harbor's private image come through.
func TestContentThatHarborDidNotGive(t *testing.T) {
	stage := open(t)
	h, address := newHonest(t, stage)
	if err := stage.Tell(t.Context(), io.Discard, address); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := stage.Tell(t.Context(), &out, address)
	if want := "the token service did not see the robot's password"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if want := "GET manifests/1.0        200  manifest    nothing\n"; !strings.Contains(out.String(), want) {
		t.Errorf("the story lacks %q:\n%s", want, out.String())
	}

	delete(h.kept, "/v2/platform/shop/manifests/1.0")
	err = stage.Tell(t.Context(), io.Discard, address)
	if want := "only 1 of the 5 parts of the image came from Harbor"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// during is a cheat in one of the pulls, at its requests for the tag.
func during(pull int, cheat func(*honest, http.ResponseWriter)) func(*honest) {
	return func(h *honest) {
		h.before = func(w http.ResponseWriter, r *http.Request) bool {
			if h.pulls == pull && strings.HasSuffix(r.URL.Path, "/manifests/1.0") {
				cheat(h, w)
			}
			return false
		}
	}
}

// header is a cheat: a field in the answers to requests of which the path has a
// part.
func header(part, field, value string) func(*http.Response) {
	return func(resp *http.Response) {
		if strings.Contains(resp.Request.URL.Path, part) {
			resp.Header.Set(field, value)
		}
	}
}

// body is a cheat: other content, likewise.
func body(part, content string) func(*http.Response) {
	return func(resp *http.Response) {
		if strings.Contains(resp.Request.URL.Path, part) {
			resp.Body = io.NopCloser(strings.NewReader(content))
			resp.ContentLength = -1
		}
	}
}
