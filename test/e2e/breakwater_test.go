//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readyLimit bounds the start of breakwater; it does nothing slow.
const readyLimit = 20 * time.Second

// A breakwater is the real program, serving.
type breakwater struct {
	*process
	registry string // host:port of the registry; "" where clients have to log in
	admin    string // host:port of metrics and health
	started  int    // bytes of output before it served
}

// startBreakwater runs `breakwater serve` for an upstream, with nothing said but
// what must be, and returns when it says that it is ready.
func startBreakwater(t *testing.T, upstream, username, password string) *breakwater {
	t.Helper()
	b := &breakwater{registry: freeAddress(t), admin: freeAddress(t)}
	b.serve(t, "--upstream", upstream, "--username", username, "--password-file", passwordFile(t, password),
		"--listen", b.registry, "--admin-listen", b.admin)
	return b
}

// serve starts the program at the addresses of b, which the arguments name too, and
// waits until it is ready.
func (b *breakwater) serve(t *testing.T, args ...string) {
	t.Helper()
	b.launch(t, args...)
	b.waitReady(t)
}

func (b *breakwater) launch(t *testing.T, args ...string) {
	t.Helper()
	b.process = start(t, "breakwater", newHome(t).command(tool(t, "breakwater"), append([]string{"serve"}, args...)...))
}

func (b *breakwater) waitReady(t *testing.T) {
	t.Helper()
	b.waitUntil(t, readyLimit, func() error {
		urls := []string{"http://" + b.admin + "/readyz"}
		if b.registry != "" {
			urls = append(urls, "http://"+b.registry+"/v2/")
		}
		for _, url := range urls {
			if status, _, err := get(url); err != nil {
				return err
			} else if status != http.StatusOK {
				return fmt.Errorf("%s answered %d", url, status)
			}
		}
		return nil
	})
	b.started = len(b.output.String())
}

func passwordFile(t *testing.T, password string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(name, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// metrics returns the metrics page.
func (b *breakwater) metrics(t *testing.T) []byte {
	t.Helper()
	status, page, err := get("http://" + b.admin + "/metrics")
	if err != nil || status != http.StatusOK {
		t.Errorf("the metrics page answered %d, error %v", status, err)
	}
	return page
}

// checkLog makes sure that each line written while serving is one JSON object.
func (b *breakwater) checkLog(t *testing.T) {
	if len(b.logLines(t)) == 0 {
		t.Error("breakwater logged nothing while it served")
	}
}

// logLines returns the lines written while serving, parsed.
func (b *breakwater) logLines(t *testing.T) []map[string]any {
	t.Helper()
	_, whole, _ := strings.Cut("\n"+b.output.String()[b.started:], "\n")
	var lines []map[string]any
	for line := range strings.Lines(whole) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("a line of the log is not a JSON object: %v: %q", err, line)
			continue
		}
		lines = append(lines, fields)
	}
	return lines
}

// get is one GET without credentials on a connection of its own.
func get(url string) (status int, body []byte, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
