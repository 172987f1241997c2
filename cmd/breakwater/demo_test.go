package main

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"breakwater/config"
	"breakwater/internal/demo"
	"breakwater/internal/harbortest"
)

// demoFolder is where the demo may put temporary files; none may be left there.
func demoFolder(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	t.Cleanup(func() {
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
	})
}

func TestDemoOnce(t *testing.T) {
	demoFolder(t)
	// What is meant for a real Harbor does not concern the demo.
	t.Setenv("BREAKWATER_USERNAME", "robot$other")
	t.Setenv("BREAKWATER_PASSWORD", "of-another")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var stdout, stderr bytes.Buffer
	if status := run([]string{"demo", "--once", "--listen", "127.0.0.1:0", "--admin-listen", ""}, &stdout, &stderr); status != exitFine {
		t.Errorf("exit status %d", status)
	}
	// Harbor's challenge, the robot's password for a token, the token for all else;
	// then nothing; then in vain.
	story := regexp.MustCompile(`(?s)  GET /v2/ +200 +nothing\n` +
		`  GET manifests/1\.0 +200  manifest +GET /v2/ +401  anonymous\n` +
		` +GET /service/token +200  password\n` +
		` +HEAD manifests/1\.0 +200  token\n` +
		` +GET manifests/sha256:\w+ +200  token\n` +
		`  GET (blobs/sha256:\w+)  200  config +GET blobs/sha256:\w+ +200  token\n` +
		`  GET (blobs/sha256:\w+)  200  layer 1 +GET blobs/sha256:\w+ +200  token\n` +
		`  GET (blobs/sha256:\w+)  200  layer 2 +GET blobs/sha256:\w+ +200  token\n` +
		`  GET (blobs/sha256:\w+)  200  layer 3 +GET blobs/sha256:\w+ +200  token\n` +
		`\n  got     manifest, config and 3 layers, \d+ bytes; each has its digest\n` +
		`  secret  the password went to Harbor's token service only \(1×\), a token elsewhere\n` +
		`  hidden  no challenge, cookie, token or password in the 6 answers to the client\n` +
		`\nThe same pull again: the same \d+ bytes, and Harbor saw nothing\.\n` +
		`\n2s later .* now Harbor is down\.\nHarbor itself answers 502 Bad Gateway\. .*` +
		`  GET /v2/ +200 +nothing\n` +
		`  GET manifests/1\.0 +200  manifest +HEAD manifests/1\.0  502  token\n.*` +
		`  GET (blobs/sha256:\w+)  200  config +nothing\n` +
		`  GET (blobs/sha256:\w+)  200  layer 1 +nothing\n` +
		`  GET (blobs/sha256:\w+)  200  layer 2 +nothing\n` +
		`  GET (blobs/sha256:\w+)  200  layer 3 +nothing\n` +
		`\n  got     the same \d+ bytes, none of them from Harbor\n` +
		`  told    Cache-Status: breakwater; hit; detail=stale\n$`)
	if !story.Match(stdout.Bytes()) {
		t.Errorf("the story does not match %v:\n%s", story, &stdout)
	}
	if stderr.Len() > 0 {
		t.Errorf("beside the story: %s", &stderr)
	}
}

// TestDemoRunsUntilInterrupted runs what the demo tells its reader to try.
func TestDemoRunsUntilInterrupted(t *testing.T) {
	demoFolder(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	story, stdout := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run([]string{"demo", "--listen", taken.Addr().String(), "--admin-listen", "127.0.0.1:0"}, stdout, &stderr)
		_ = stdout.Close()
	}()

	told := bufio.NewScanner(story)
	if !told.Scan() || told.Text() != taken.Addr().String()+" is in use here: Breakwater takes another port." {
		t.Errorf("the story begins with %q", told.Text())
	}
	curl := regexp.MustCompile(`^  curl (\S+) +# (401|404)?`)
	var last string
	tried := 0
	for !strings.HasSuffix(last, "/metrics") && told.Scan() {
		found := curl.FindStringSubmatch(told.Text())
		if found == nil {
			continue
		}
		last = found[1]
		resp, err := http.Get(last)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = resp.Body.Close()
		if want := cmp.Or(found[2], "200"); !strings.HasPrefix(resp.Status, want) {
			t.Errorf("%s: %s, want %s", last, resp.Status, want)
		}
		tried++
	}
	if tried != 7 {
		t.Errorf("%d commands worked, want 7: %v", tried, told.Err())
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(story); err != nil || len(rest) > 0 {
		t.Errorf("told after the end: %s (%v)", rest, err)
	}
	if status := <-ended; status != exitFine {
		t.Errorf("exit status %d", status)
	}
	if stderr.Len() > 0 {
		t.Errorf("beside the story: %s", &stderr)
	}
	if resp, err := http.Get(last); err == nil {
		_ = resp.Body.Close()
		t.Error("Breakwater still answers")
	}
}

// TestDemoFails where Harbor's bytes are wrong, which Breakwater does not hand on,
// and where Breakwater is told not to rely on what it holds.
func TestDemoFails(t *testing.T) {
	demoFolder(t)
	for name, test := range map[string]struct {
		fault  harbortest.Fault
		change func(*config.Upstream, *config.Route)
		want   string
	}{
		"wrong byte in a layer": {
			fault: harbortest.Fault{Match: harbortest.Blobs, WrongDigest: true},
			want:  "the pull failed: GET /v2/platform/shop/blobs/sha256:",
		},
		"wrong byte in the manifest": {
			fault: harbortest.Fault{Match: harbortest.Manifests, WrongDigest: true},
			want:  "the pull failed: GET /v2/platform/shop/manifests/1.0: 502 Bad Gateway",
		},
		"no token": {
			fault: harbortest.Fault{Match: harbortest.Tokens, Status: http.StatusForbidden},
			want:  "the pull failed: GET /v2/platform/shop/manifests/1.0: 503 Service Unavailable",
		},
		"each tag is asked about": {
			change: func(_ *config.Upstream, r *config.Route) { r.TagTTL.Duration = 0 },
			want:   "Harbor was asked again for what is held: HEAD /v2/platform/shop/manifests/1.0",
		},
		"nothing outlives Harbor": {
			change: func(u *config.Upstream, _ *config.Route) { u.StaleIfError.Duration = 0 },
			want:   "the pull failed: GET /v2/platform/shop/manifests/1.0: 503 Service Unavailable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stage, err := demo.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer stage.Close()
			c, err := demoConfiguration(stage, "127.0.0.1:0", "")
			if err != nil {
				t.Fatal(err)
			}
			if test.change == nil {
				stage.Harbor.AddFault(test.fault)
			} else {
				for name, r := range c.Routes {
					u := c.Upstreams[r.To]
					test.change(&u, &r)
					c.Upstreams[r.To], c.Routes[name] = u, r
				}
			}
			var stdout, stderr bytes.Buffer
			err = play(t.Context(), stage, c, true, &stdout, &stderr)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if strings.Contains(stdout.String(), "none of them from Harbor") ||
				test.change == nil && strings.Contains(stdout.String(), "each has its digest") {
				t.Errorf("the story ends well:\n%s", &stdout)
			}
		})
	}
}

func TestDemoMistakes(t *testing.T) {
	demoFolder(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"demo", "--listen", "nowhere"}, "--listen: "},
		{[]string{"demo", "--listen", "0.0.0.0:5000"}, "--listen: "},
		{[]string{"demo", "--admin-listen", "127.0.0.1"}, "--admin-listen: "},
		{[]string{"demo", "twice"}, "unknown command"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(test.args, &stdout, &stderr); status != exitMistaken {
			t.Errorf("%v: exit status %d", test.args, status)
		}
		if !strings.Contains(stderr.String(), test.want) || stdout.Len() > 0 {
			t.Errorf("%v: %s%s", test.args, &stdout, &stderr)
		}
	}
}
