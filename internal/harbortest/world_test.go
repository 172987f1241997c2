package harbortest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// world is a seeded Harbor that a recording is played against, with the
// translation of what was recorded into what this Harbor has.
type world struct {
	t      *testing.T
	h      *Harbor
	server *Server
	door   *memoryListener // nginx, on the address that the recorded one had

	ours      map[string]string // recorded digests (hex), sessions, upload ids and states → ours
	passwords map[string]string // of accounts that Seed does not know
	tokens    map[string]string // by their description in the recording
}

const recordedAddress = "127.0.0.1:8880"

func newWorld(t *testing.T, entries []recorded) *world {
	t.Helper()
	w := &world{t: t, h: New(), ours: map[string]string{}, passwords: map[string]string{}, tokens: map[string]string{}}
	w.must(Seed(w.h))
	w.door = newMemoryListener(recordedAddress)
	w.server = &Server{}
	w.server.serve(w.door, w.h)
	w.seedMore()
	for _, e := range entries {
		for body := range strings.SplitSeq(e.body, "\n") {
			w.learnFile(body)
		}
	}
	w.learnRoles()
	return w
}

func (w *world) close() { w.must(w.server.Close()) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// seedMore adds what only the recordings need.
func (w *world) seedMore() {
	upstream, err := w.h.Upstream("hub-proxy")
	w.must(err)
	for _, tag := range []string{"1.0", "2.0"} {
		late, err := DockerImage("late "+tag, 3000)
		w.must(err)
		_, err = upstream.Push("library/late", tag, late)
		w.must(err)
	}
}

// pushImage adds an image of one layer.
func (w *world) pushImage(repository string, size int) {
	img, err := Image(repository, size)
	w.must(err)
	_, err = w.h.Push(repository, "1.0", img)
	w.must(err)
	w.learnRoles()
}

// translate replaces everything recorded that has another name here.
func (w *world) translate(text string) string {
	var pairs []string
	for recorded, ours := range w.ours {
		pairs = append(pairs, recorded, ours)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func (w *world) password(account string) string {
	if p, ok := w.passwords[account]; ok {
		return p
	}
	return Password(account)
}

// ask sends a request over a connection of its own and reads the whole answer.
// A body that ends early is reported by cut.
func (w *world) ask(method, head string, body []byte) (response *http.Response, answer []byte, cut bool) {
	w.t.Helper()
	conn, err := w.door.dial(context.Background())
	w.must(err)
	defer conn.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = conn.Write(append([]byte(head), body...)) // the server may answer and leave before it has read all
	}()
	reader := bufio.NewReader(conn)
	for response == nil || response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			w.t.Fatalf("%s: %v", head, err)
		}
	}
	if response.ContentLength > 0 && method != http.MethodHead { // large ones in one piece
		answer = make([]byte, response.ContentLength)
		n, short := io.ReadFull(response.Body, answer)
		answer, err = answer[:n], short
	} else {
		answer, err = io.ReadAll(response.Body)
	}
	conn.Close()
	<-written
	return response, answer, err != nil
}

// token returns a token for an account, "anonymous" for none, with the given
// scopes, separated by " + "; it is the one token of that description.
func (w *world) token(account, scopes string) string {
	description := account + "; " + scopes
	if known := w.tokens[description]; known != "" {
		return known
	}
	target := "/service/token?service=harbor-registry"
	if scopes != "no scope" {
		for scope := range strings.SplitSeq(scopes, " + ") {
			target += "&scope=" + scope
		}
	}
	head := "GET " + target + " HTTP/1.1\r\nHost: " + recordedAddress + "\r\n"
	if account != "anonymous" {
		head += "Authorization: " + w.basic(account, w.password(account)) + "\r\n"
	}
	response, body, _ := w.ask(http.MethodGet, head+"\r\n", nil)
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		w.t.Fatalf("token for %s: %d %s", description, response.StatusCode, body)
	}
	w.tokens[description] = answer.Token
	return answer.Token
}

func (w *world) basic(account, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(account+":"+password))
}

var (
	basicPattern  = regexp.MustCompile(`Basic base64\("([^:]+):<(.*)>"\)`)
	bearerPattern = regexp.MustCompile(`eyJ\.\.\.<JWT: ([^>]*)>`)
)

// credentials turns the notation of a header line into real credentials.
func (w *world) credentials(line string) string {
	if m := basicPattern.FindStringSubmatch(line); m != nil {
		password := "wrong"
		if m[2] == "its right password" {
			password = w.password(m[1])
		}
		line = strings.Replace(line, m[0], w.basic(m[1], password), 1)
	}
	if m := bearerPattern.FindStringSubmatch(line); m != nil {
		token := w.tokens[m[1]]
		if token == "" {
			account, scopes, ok := strings.Cut(m[1], "; ")
			if !ok {
				w.t.Fatalf("no token %q", m[1])
			}
			token = w.token(account, scopes)
		}
		line = strings.Replace(line, m[0], token, 1)
	}
	return line
}

// play sends one recorded request.
func (w *world) play(e recorded) (response *http.Response, answer []byte, cut bool) {
	body := []byte(w.translate(e.body))
	if m := filePattern.FindStringSubmatch(e.body); m != nil {
		size, err := strconv.Atoi(m[1])
		w.must(err)
		body = fileContent(m[2], size)
	} else if len(body) > 0 {
		// A manifest that is pushed has the digest of its own bytes, here and there.
		w.ours[digest.FromString(e.body).Encoded()] = digest.FromBytes(body).Encoded()
	}
	head := w.translate(e.request) + "\r\n"
	for _, line := range e.sent {
		if line != "" && !strings.HasPrefix(line, "Content-Length:") && !strings.HasPrefix(line, "Transfer-Encoding:") {
			head += w.credentials(w.translate(line)) + "\r\n"
		}
	}
	if e.method() != http.MethodGet && e.method() != http.MethodHead {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return w.ask(e.method(), head+"\r\n", body)
}

// learn takes over from an answer what only this Harbor can know: sessions,
// upload ids and upload state.
func (w *world) learn(e recorded, response *http.Response) {
	if id := e.header.Get("Docker-Upload-Uuid"); id != "" {
		w.ours[id] = response.Header.Get("Docker-Upload-Uuid")
	}
	_, theirs, ok := strings.Cut(e.header.Get("Location"), "?_state=")
	_, ours, ok2 := strings.Cut(response.Header.Get("Location"), "?_state=")
	if ok && ok2 {
		w.ours[theirs] = ours
	}
	if theirs, ours := sid(e.header), sid(response.Header); theirs != "" && ours != "" {
		w.ours[theirs] = ours
	}
}

func sid(header http.Header) string {
	for _, line := range header.Values("Set-Cookie") {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name == "sid" {
			return cookie.Value
		}
	}
	return ""
}

// longToken makes a token for so many repositories, padded to so many
// characters; or one less, because base64 cannot have every length.
func (w *world) longToken(repositories, characters int) string {
	account := Account{Name: Pusher}
	var access []Access
	for i := range repositories {
		access = append(access, Access{Type: "repository", Name: fmt.Sprintf("team-a/n%02d", i), Actions: []string{"pull"}})
	}
	for token := ""; ; access[0].Name += "x" {
		longer, _, err := w.h.issue(&account, access)
		w.must(err)
		if len(longer) > characters {
			return token
		}
		token = longer
		if missing := characters - len(longer); missing > 8 {
			access[0].Name += strings.Repeat("x", missing*3/4-4)
		}
	}
}
