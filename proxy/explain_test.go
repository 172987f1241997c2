package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/proxy"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// resolved is the image by its digest, where a tag stands in the digest's place.
func (b *bubble) resolved(image string) string {
	b.Helper()
	if repository, tag, byDigest := strings.Cut(image, "@"); byDigest {
		return repository + "@" + b.imageOf(repository, tag).manifest
	}
	return image
}

// untag takes a tag away from Harbor.
func (b *bubble) untag(repository, tag string) {
	b.Helper()
	content, err := b.harbor.Content(repository)
	if err != nil {
		b.Fatal(err)
	}
	if err := content.DeleteTag(repository, tag); err != nil {
		b.Fatal(err)
	}
}

// requestFor is a client's for an image of Harbor, by its own name.
func requestFor(image string) registry.Request {
	request := registry.Request{Kind: registry.KindManifest, Method: http.MethodGet}
	if name, d, byDigest := strings.Cut(image, "@"); byDigest {
		request.Name, request.Digest = name, digest.Digest(d)
	} else {
		request.Name, request.Tag, _ = strings.Cut(image, ":")
	}
	return request
}

func (b *bubble) explain(image string) proxy.Explanation {
	b.Helper()
	e, err := b.proxy.Explain(b.Context(), requestFor(image), b.policy.usual)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// looked is explain, which looks and does nothing else: what is kept, counted, logged
// and remembered is what it was, and Harbor hears nothing.
func (b *bubble) looked(image string) proxy.Explanation {
	b.Helper()
	b.pass(0)
	b.harbor.ResetRequests()
	before := b.everything()
	said := b.explain(image)
	if again := b.explain(image); !reflect.DeepEqual(again, said) {
		b.Errorf("said  %+v\nagain %+v", said, again)
	}
	b.pass(0)
	if after := b.everything(); after != before {
		b.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if seen := b.harbor.Requests(); len(seen) > 0 {
		b.Errorf("Harbor saw %v", seen)
	}
	return said
}

// TestExplain has many things happen, and compares what is said with what was to be
// said, and with what a client then gets, without Harbor and then with it.
func TestExplain(t *testing.T) {
	for name, s := range situations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s.account == "" {
				s.account = account
			}
			inBubble(t, s.account, nil, func(b *bubble) {
				image := b.resolved(s.image)
				s.happens(b)
				said := b.looked(image)
				if got := told(said); got != s.says {
					t.Errorf("said  %s\nwant  %s", got, s.says)
				}
				if got := outlooksOf(said); got != s.outlooks {
					t.Errorf("outlooks  %s\nwant      %s", got, s.outlooks)
				}
				if !s.dearly {
					said = b.afterAnOutage(image, said, s.lasting)
				}
				for _, o := range said.Outlooks {
					worked, asked := b.pullPlatform(image, o.Platform)
					if here := worked && !asked; here != o.Here {
						t.Errorf("%s is served from here: %t, said %t", o.Platform, here, o.Here)
					}
					if want := !o.Denied && !o.Blocked && !s.refused; worked != want {
						t.Errorf("%s works: %t, want %t\n%s", o.Platform, worked, want, b.log)
					}
				}
			})
		})
	}
}

// afterAnOutage pulls while Harbor is down, which must go as it was said. After it all is
// as it was, unless refusals come to something meanwhile, and what is said then is
// returned.
func (b *bubble) afterAnOutage(image string, said proxy.Explanation, lasting bool) proxy.Explanation {
	b.Helper()
	b.harbor.SetDown(harbortest.Core, true)
	for _, o := range said.Outlooks {
		if worked, _ := b.pullPlatform(image, o.Platform); worked != o.Down {
			b.Errorf("with Harbor down %s works: %t, said %t", o.Platform, worked, o.Down)
		}
	}
	b.harbor.SetDown(harbortest.Core, false)
	after := b.looked(image)
	if (told(after) != told(said) || after.Right.Fault != said.Right.Fault) && !lasting {
		b.pass(11 * time.Second) // what failed is asked for again
		after = b.looked(image)
	}
	if told(after) != told(said) && !lasting {
		b.Errorf("said   %s\nafter  %s", told(said), told(after))
	}
	return after
}

// pullPlatform pulls as a client does, and tells whether it worked, and whether upstream
// was asked.
func (b *bubble) pullPlatform(image, platform string) (worked, asked bool) {
	worked = true
	get := func(request registry.Request) []byte {
		a := b.send("GET " + request.Here().String())
		worked = worked && a.StatusCode == http.StatusOK
		asked = asked || !strings.Contains(a.Header.Get("Cache-Status"), "hit")
		return a.body
	}
	request := requestFor(image)
	body := get(request)
	var document struct {
		Manifests []struct {
			Digest   digest.Digest
			Platform struct{ OS, Architecture string }
		}
	}
	if worked && json.Unmarshal(body, &document) != nil {
		b.Errorf("no manifest: %s", body)
	}
	for _, m := range document.Manifests {
		if m.Platform.OS+"/"+m.Platform.Architecture == platform {
			body = get(registry.Request{Kind: registry.KindManifest, Name: request.Name, Digest: m.Digest})
		}
	}
	if !worked {
		return false, asked
	}
	for _, child := range listed(b.T, body) {
		if !child.manifest {
			get(registry.Request{Kind: registry.KindBlob, Name: request.Name, Digest: child.digest})
		}
	}
	return worked, asked
}

// told is an explanation in a line, without numbers.
func told(e proxy.Explanation) string {
	var words []string
	if e.Right.Revoked {
		words = append(words, "revoked")
	}
	if e.Right.Denied != "" {
		words = append(words, "denied for "+e.Right.Denied)
	}
	word := func(word string, marks map[string]bool) {
		for _, mark := range []string{"suspected", "refused", "next"} {
			if marks[mark] {
				word += " " + mark
			}
		}
		words = append(words, word)
	}
	if t := e.Tag; t != nil {
		word("tag "+t.State, map[string]bool{"suspected": t.Suspected, "refused": t.Refused != "", "next": t.Next != ""})
	}
	var walk func(proxy.Object)
	walk = func(o proxy.Object) {
		word(o.Kind+" "+o.State, map[string]bool{"suspected": o.Suspected, "refused": o.Refused != ""})
		for _, c := range o.Children {
			walk(c)
		}
	}
	if e.Manifest != nil {
		walk(*e.Manifest)
	}
	return strings.Join(words, ", ")
}

func outlooksOf(e proxy.Explanation) string {
	var all []string
	for _, o := range e.Outlooks {
		words := []string{o.Platform}
		for word, is := range map[string]bool{"blocked": o.Blocked, "here": o.Here, "down": o.Down, "denied": o.Denied, "needs": len(o.Needs) > 0} {
			if is {
				words = append(words, word)
			}
		}
		slices.SortFunc(words[1:], func(a, b string) int {
			order := []string{"blocked", "here", "down", "denied", "needs"}
			return slices.Index(order, a) - slices.Index(order, b)
		})
		for _, n := range o.Needs {
			need := fmt.Sprint(n.Count, " ", n.What, " ", n.State)
			if n.Must {
				need += "!"
			}
			words = append(words, need)
		}
		all = append(all, strings.TrimSpace(strings.Join(words, " ")))
	}
	return strings.Join(all, ", ")
}

// everything that there is to be seen of a Breakwater.
func (b *bubble) everything() string {
	var all strings.Builder
	fmt.Fprintf(&all, "%+v\n", b.cache.Stats())
	if err := b.cache.Entries(b.Context(), "", func(e blobcache.Entry) error {
		slices.Sort(e.Tags)
		slices.SortFunc(e.Links, func(a, b blobcache.Linked) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		_, err := fmt.Fprintf(&all, "%+v\n", e)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.events.note(func() {
		fmt.Fprintln(&all, b.events.inFlight, len(b.events.served), b.events.mismatches, b.events.upstream, b.events.exchanges, b.events.states, b.events.cache)
	})
	index := b.cache.Index()
	for _, repository := range index.Repositories() {
		fmt.Fprintln(&all, repository, index.Epoch(repository))
		var lines []string
		for name, tag := range index.Tags(repository) {
			lines = append(lines, fmt.Sprintf("%s %+v", name, tag))
		}
		for target, link := range index.Links(repository) {
			lines = append(lines, fmt.Sprintf("%+v %+v", target, link))
		}
		slices.Sort(lines)
		fmt.Fprintln(&all, strings.Join(lines, "\n"))
	}
	all.WriteString(b.log.String())
	return all.String()
}
