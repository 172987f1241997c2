package demo_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"breakwater/internal/demo"
)

func open(t *testing.T) *demo.Stage {
	t.Helper()
	stage, err := demo.Open()
	if err != nil {
		t.Fatal(err)
	}
	stage.TagTTL = 0 // an honest proxy counts pulls instead
	t.Cleanup(func() {
		if err := stage.Close(); err != nil {
			t.Error(err)
		}
	})
	return stage
}

func TestTheStoryOfOnePull(t *testing.T) {
	stage := open(t)
	_, address := newHonest(t, stage)
	var out bytes.Buffer
	if err := stage.Tell(t.Context(), &out, address); err != nil {
		t.Fatal(err)
	}
	if err := stage.Invite(&out, address, "127.0.0.1:9090"); err != nil {
		t.Fatal(err)
	}
	story := out.String()
	for _, want := range []string{
		"Harbor      " + stage.URL,
		"Breakwater  http://" + address,
		"Harbor itself answers 401 Unauthorized, with a Bearer challenge and a cookie.",
		"GET /v2/                 200              GET /service/token       200  password\n",
		"GET manifests/1.0        200  manifest    GET /service/token       200  password\n",
		"                                          GET manifests/1.0        200  token\n",
		"200  config ", "200  layer 1 ", "200  layer 2 ", "200  layer 3 ",
		"got     manifest, config and 3 layers, ",
		"secret  the password went to Harbor's token service only (6×)",
		"hidden  no challenge, cookie, token or password in the 6 answers to the client\n",
		"The same pull again: the same 2", " bytes, and Harbor saw nothing.\n",
		"Harbor itself answers 502 Bad Gateway.",
		"GET manifests/1.0        200  manifest    nothing\n",
		" bytes, none of them from Harbor\n",
		"told    Cache-Status: honest; hit; detail=stale\n",
		"curl http://" + address + "/v2/_catalog ",
		"docker pull " + address + "/platform/shop:1.0 ",
		"curl http://127.0.0.1:9090/metrics ",
	} {
		if !strings.Contains(story, want) {
			t.Errorf("the story lacks %q", want)
		}
	}
	const widest = 100
	for line := range strings.Lines(story) {
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > widest || strings.TrimRight(line, " \t") != line {
			t.Errorf("this line is too long, or ends with blanks: %q", line)
		}
	}
	for _, secret := range stage.Harbor.Secrets() {
		if strings.Contains(story, secret) {
			t.Error("the story tells a secret")
		}
	}
	if t.Failed() {
		t.Log("\n" + story)
	}
}

func TestNoMetricsWithoutAnAdminPort(t *testing.T) {
	var out bytes.Buffer
	if err := open(t).Invite(&out, "127.0.0.1:5000", ""); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "metrics") {
		t.Errorf("metrics that are not served:\n%s", out.String())
	}
}

func TestNobodyListens(t *testing.T) {
	stage := open(t)
	_, address := newHonest(t, stage)
	if err := stage.Tell(t.Context(), broken{}, address); !errors.Is(err, errFull) {
		t.Errorf("Tell: %v", err)
	}
	if err := stage.Invite(broken{}, address, ""); !errors.Is(err, errFull) {
		t.Errorf("Invite: %v", err)
	}
}

// TestTheListenerLeaves while the story waits: that promises nothing of the rest.
func TestTheListenerLeaves(t *testing.T) {
	stage := open(t)
	stage.TagTTL = time.Hour
	_, address := newHonest(t, stage)
	ctx, leave := context.WithCancel(t.Context())
	story := writer(func(text string) {
		if strings.Contains(text, "1h0m0s later") {
			leave()
		}
	})
	if err := stage.Tell(ctx, story, address); err == nil || err.Error() != "the story was interrupted" {
		t.Errorf("Tell: %v", err)
	}
}

// writer is called with what is written.
type writer func(string)

func (w writer) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

var errFull = errors.New("no space left on device")

// broken is a writer as of a full disk.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errFull }
