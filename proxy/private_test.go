package proxy_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"breakwater/proxy/access"
)

// Answers that come before anybody is asked who they are, and those to odd requests,
// are no more for caches between us and the client than others.
func TestOddAnswersArePrivate(t *testing.T) {
	for name, open := range listeners {
		t.Run(name, func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				app := b.imageOf("team-a/app", "1.0")
				b.pull(app.repository, app.tag)
				blob := "/v2/team-a/app/blobs/" + app.blob
				l := open(b)
				b.gateOf(l)
				for request, c := range map[string]struct {
					header string
					status int
				}{
					"GET /v2":                             {"", 301},
					"GET /":                               {"", 404},
					"GET /v2/team-a/app/nothing":          {"", 404},
					"GET /v2/team-a%2Fapp/tags/list":      {"", 400},
					"GET /v2/team-a/app/tags/list?n=many": {"", 400},
					"GET /v2/":                            {"Upgrade: websocket", 400},
					"PUT /v2/team-a/app/manifests/1.0":    {"", 405},
					"POST /v2/team-a/app/blobs/uploads/":  {"", 405},
					"DELETE " + blob:                      {"", 405},
					"GET " + blob:                         {"Range: bytes=99999999-", 416},
					"HEAD " + blob:                        {`If-Match: "other"`, 412},
					"GET /v2/team-a/app/manifests/1.0":    {"Accept: text/html", 404},
				} {
					r := b.request(request)
					if field, value, ok := strings.Cut(c.header, ": "); ok {
						r.Header.Set(field, value)
					}
					l.say[allowed](r)
					got := b.serve(r)
					if got.StatusCode != c.status || (got.Header.Get("Cache-Control") == "private") != (name != "anonymous") {
						t.Errorf("%s: %s, want %d, Cache-Control %q\n%s", request, got.Status, c.status, got.Header.Get("Cache-Control"), got.body)
					}
				}
			})
		})
	}
}

// What nobody may know is answered the same whether it is there, is held, or is
// neither.
func TestARefusalTellsNothing(t *testing.T) {
	for _, hide := range []bool{false, true} {
		for name, open := range listeners {
			t.Run(map[bool]string{true: "hidden/", false: "shown/"}[hide]+name, func(t *testing.T) {
				inBubble(t, account, nil, func(b *bubble) {
					secret := b.imageOf("team-b/secret", "1.0")
					nothing := image{"team-b/nobody", secret.tag, secret.manifest, secret.blob} // a name as long
					elsewhere := image{"team-z/nobody", secret.tag, secret.manifest, secret.blob}
					b.pull(secret.repository, secret.tag)
					l := open(b)
					b.gateOf(l)
					b.gate.Hide = hide
					for _, who := range everybody {
						for i, w := range secret.wanted() {
							told := b.told(l.say[who], w)
							for _, other := range []image{nothing, elsewhere} {
								if got := b.told(l.say[who], other.wanted()[i]); got != strings.ReplaceAll(told, secret.repository, other.repository) {
									t.Errorf("%s, %s:\n%s\nand for what there is not:\n%s", who, w, told, got)
								}
							}
							if status := "404 Not Found"; hide != strings.HasPrefix(told, status) && (who == allowed || who == other) {
								t.Errorf("%s, %s: %s", who, w, told)
							}
						}
					}
				})
			})
		}
	}
}

// told is an answer as text, without what each answer has of its own.
func (b *bubble) told(say func(*http.Request), w wanted) string {
	b.Helper()
	got := b.ask(say, w)
	got.Header.Del("X-Request-Id")
	got.Header.Del("Content-Length") // of a message with a name in it
	var text strings.Builder
	text.WriteString(got.Status + "\n")
	for _, name := range slices.Sorted(maps.Keys(got.Header)) {
		text.WriteString(name + ": " + strings.Join(got.Header[name], ", ") + "\n")
	}
	return text.String() + string(got.body)
}

// Where nobody says who they are, it is the address that counts, whatever else they
// send.
func TestAnonymousFromElsewhere(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		app := b.imageOf("team-a/app", "1.0")
		b.pull(app.repository, app.tag)
		b.gateOf(anonymousListener(b))
		b.harbor.ResetRequests()
		for _, address := range []string{"198.51.100.7:1234", "[2001:db8::1]:1234", "127.0.0.1:1", "@"} {
			for _, w := range slices.Concat(common(), app.wanted()) {
				got := b.ask(func(r *http.Request) {
					r.RemoteAddr = address
					r.Header.Set("X-Forwarded-For", "192.0.2.1")
					r.Header.Set("Forwarded", "for=192.0.2.1")
					r.Header.Set("X-Real-Ip", "192.0.2.1")
					r.SetBasicAuth("alice", client)
				}, w)
				if got.StatusCode != 403 || got.Header.Get("Www-Authenticate") != "" {
					t.Errorf("%s, %s: %s %v", address, w, got.Status, got.Header)
				}
			}
		}
		if saw := b.saw(); len(saw) > 0 {
			t.Errorf("Harbor was asked %v", saw)
		}
		if n := len(b.events.refusals); n == 0 || slices.ContainsFunc(b.events.refusals, func(why access.Why) bool { return why != access.WrongAddress }) {
			t.Errorf("the refusals are %v", b.events.refusals)
		}
	})
}
