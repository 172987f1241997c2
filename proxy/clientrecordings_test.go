package proxy_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/registry"
)

// Whatever real clients were seen to ask a mirror for, they get: right in status, header
// and bytes, from a Harbor that sees only what it must; and again once it is down.
func TestRecordedClients(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.txt")
	if err != nil || len(files) != 12 {
		t.Fatalf("%d clients, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := newMirror(t, string(text))
			pulls := readPulls(t, string(text))
			for _, p := range pulls {
				m.replay(p)
			}
			m.asDesigned()
			m.harbor.SetDown(harbortest.Core, true)
			again := map[string]bool{}
			for _, p := range pulls {
				p.asked = slices.DeleteFunc(p.asked, func(a asked) bool {
					what := a.method + a.target
					known := again[what]
					again[what] = true
					return known || !m.held(a)
				})
				m.replay(p)
			}
		})
	}
}

// pull is what one client asked for, in its order; testdata/clients/README.md has the
// format.
type pull struct {
	name  string
	of    string // the registry that it takes us for
	basic bool   // we ask who it is
	asked []asked
}

type asked struct {
	line, method, target string
	header               []string
	status               string // of a plain registry, if it was not made to fail
}

func readPulls(t *testing.T, text string) (pulls []pull) {
	t.Helper()
	header := map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case line == "", words[0] == "#":
		case words[0] == "==":
			pulls = append(pulls, pull{name: words[1], of: words[3], basic: strings.HasSuffix(line, " asking for Basic")})
		case strings.HasSuffix(words[0], ":"):
			header[words[0]] = append(header[words[0]], strings.TrimPrefix(line, words[0]+" "))
		default:
			a := asked{line: line, method: words[0], target: words[1], header: slices.Clone(header["all:"])}
			line, a.status, _ = strings.Cut(line, " => ")
			for _, word := range strings.Fields(line)[2:] {
				if field, ok := strings.CutPrefix(word, "Range:"); ok {
					a.header = append(a.header, "Range: "+field)
					continue
				}
				if header[word+":"] == nil {
					t.Fatalf("%s: nothing is %q", a.line, word)
				}
				a.header = append(a.header, header[word+":"]...)
			}
			pulls[len(pulls)-1].asked = append(pulls[len(pulls)-1].asked, a)
		}
	}
	return pulls
}

// kinds of credentials, in the place of those that were recorded.
var kinds = strings.NewReplacer(
	"{account}", base64.StdEncoding.EncodeToString([]byte("alice:"+client)),
	"{of docker.io}", base64.StdEncoding.EncodeToString([]byte("alice:password-at-docker.io")),
	"{token}", "header.claims.signature-of-somebody",
)

var named = regexp.MustCompile(`\{([a-z0-9.-]+)\}`)

// spelled writes digests where the recording has names.
func (m *mirror) spelled(target string) string {
	return named.ReplaceAllStringFunc(target, func(name string) string {
		name = strings.Trim(name, "{}")
		if of, ok := strings.CutSuffix(name, ".tag"); ok {
			return strings.Replace(m.contents[of].digest.String(), ":", "-", 1)
		}
		return m.contents[name].digest.String()
	})
}

func (m *mirror) replay(p pull) {
	m.url = m.listeners[p.of]
	if p.basic {
		m.url = m.listeners[p.of+" asking"]
	}
	for _, a := range p.asked {
		header := make([]string, len(a.header))
		for i, field := range a.header {
			header[i] = kinds.Replace(field)
		}
		if _, _, found, ok := m.find(a); ok && strings.Contains(a.line, ",") { // several parts are of what is held; else the whole comes
			for !m.store.Held(found.digest) && m.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		got := m.ask(a.method, m.spelled(a.target), header)
		fault := m.judge(p, a, got)
		// A plain registry had no referrers API; Harbor has.
		if fault == nil && a.status != "" && a.status != strconv.Itoa(got.StatusCode) && !strings.Contains(a.target, "/referrers/") {
			fault = errors.New("a plain registry answered otherwise")
		}
		if fault != nil {
			m.Errorf("%s: %s\n\t%v\n\t%s %v %.200q", p.name, a.line, fault, got.Status, got.Header, got.body)
		}
	}
}

// ask is send for large bodies: the next one overwrites them, and layers, which are
// compared with what they must be, are not searched for secrets.
func (m *mirror) ask(method, target string, header []string) answer {
	req, err := http.NewRequestWithContext(m.Context(), method, m.url+target, nil)
	m.must(err)
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		req.Header.Add(name, value)
	}
	m.shows(req)
	resp, err := m.transport.RoundTrip(req)
	m.must(err)
	defer func() { _ = resp.Body.Close() }()
	m.body.Reset()
	_, err = m.body.ReadFrom(resp.Body)
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = resp.Header.Write(&m.answers)
	if m.body.Len() < mib {
		_, _ = m.answers.Write(m.body.Bytes())
	}
	return answer{Response: resp, body: m.body.Bytes(), err: err}
}

// place is what a target says, once the ways to name a route are taken off.
var place = regexp.MustCompile(`^(?:/docker\.io)?/v2/(?:(?:docker\.io|harbor\.example\.com)/)?([^?]+)/(manifests|blobs|referrers|tags)/([^?]+)`)

// find is the content that was asked for; ok is false where there is none.
func (m *mirror) find(a asked) (repository, kind string, found content, ok bool) {
	at := place.FindStringSubmatch(a.target)
	if at == nil {
		return "", "", content{}, false
	}
	name := strings.Trim(at[3], "{}")
	if tagged, isTag := m.tags[at[1]+":"+m.spelled(at[3])]; isTag {
		name = tagged
	}
	found, ok = m.contents[name]
	return at[1], at[2], found, ok
}

// held tells whether the answer is kept, so that it can be had without Harbor.
func (m *mirror) held(a asked) bool {
	_, kind, _, ok := m.find(a)
	return a.target == "/v2/" || ok && (kind == "manifests" || kind == "blobs")
}

// designed are the questions that Harbor may be asked, and upstreams of its proxy-cache
// project only through it.
var designed = regexp.MustCompile(`^(GET /v2/|GET /service/token\?account=robot%24everything&scope=repository%3A(hub-proxy%2Flibrary|team-a)%2F[a-z]+%3Apull&service=harbor-registry|` +
	`(GET|HEAD) /v2/(hub-proxy/library|team-a)/[a-z]+/(manifests|blobs)/[A-Za-z0-9:-]+|GET /v2/(hub-proxy/library|team-a)/[a-z]+/(tags/list(\?n=1000)?|referrers/sha256:[0-9a-f]{64}))$`)

// asDesigned looks through what Harbor saw: questions that the design names, in our own
// words, and no blob twice for one repository, but where it said no to a HEAD: a
// proxy-cache project does of what it has not stored yet.
func (m *mirror) asDesigned() {
	blobs := map[string]int{}
	for _, r := range m.harbor.Requests() {
		question := r.Method + " " + r.Path
		if r.Query != "" {
			question += "?" + r.Query
		}
		if !designed.MatchString(question) {
			m.Errorf("Harbor was asked %s", question)
		}
		for name, values := range r.Header {
			switch {
			case name == "Authorization", name == "Via", // which m.nothingSecret looks through, and says who we are
				name == "User-Agent" && (values[0] == "breakwater/test" || r.IsToken() || r.Path == "/v2/"),
				name == "Accept" && (!r.IsManifest() || values[0] == registry.ManifestTypes),
				name == "Accept-Encoding" && values[0] == "identity",
				name == "Range" && r.IsBlob():
			default:
				m.Errorf("Harbor was asked %s with %s: %q", question, name, values)
			}
		}
		switch {
		case !r.IsBlob():
		case r.Method == http.MethodHead && r.Status == http.StatusNotFound:
			blobs[r.Path]--
		case r.Method == http.MethodGet:
			if blobs[r.Path]++; blobs[r.Path] > 1 {
				m.Errorf("Harbor was asked again: %s", question)
			}
		}
	}
	if len(blobs) == 0 {
		m.Error("Harbor was asked for no blob")
	}
}
