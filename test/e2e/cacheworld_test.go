//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"

	dto "github.com/prometheus/client_model/go"
)

// blockSize is what the files of blobs are rounded up to, bytes.
const blockSize = 4096

// Settings of the cache that a test wants, as the configuration has them. What is ""
// is as Breakwater has it by itself, but that nothing of the disk is left free, since
// it is the machine's.
type settings struct {
	filled   *harbor // with content of the test's own
	dir      string  // a folder of the test's own
	maxSize  string
	lockWait string
	upstream []string // further lines on Harbor, such as "tag_ttl: 1s"
	routes   []string // lines; with none, the one that Breakwater makes of Harbor's own name
	usual    string   // the listener's default, where there are several
}

// A cacheWorld is a world whose Breakwater keeps its folder, its addresses and its
// configuration when it is started again.
type cacheWorld struct {
	*world
	settings
	config string     // file
	life   *testing.T // with which the programs end: a test whose parts may start them
}

func newCacheWorld(t *testing.T, s settings) *cacheWorld {
	t.Helper()
	if s.dir == "" {
		s.dir = filepath.Join(t.TempDir(), "cache")
	}
	if s.filled == nil {
		s.filled = startHarbor(t)
	}
	b := &breakwater{registry: freeAddress(t), admin: freeAddress(t)}
	w := &cacheWorld{world: &world{harbor: s.filled, breakwater: b}, settings: s, life: t}
	w.config = w.writeConfig(t, b.registry, b.admin)
	b.serve(t, "--config", w.config)
	w.tap = newTap(t, b.registry)
	w.registry = w.tap.address
	t.Cleanup(func() { w.end(t) })
	return w
}

// writeConfig writes the configuration of an instance at these addresses.
func (w *cacheWorld) writeConfig(t *testing.T, registry, admin string) string {
	t.Helper()
	cache := map[string]string{"dir": w.dir, "min_free": "0%"}
	if w.maxSize != "" {
		cache["max_size"] = w.maxSize
	}
	if w.lockWait != "" {
		cache["lock_wait"] = w.lockWait
	}
	section := must(json.Marshal(cache))(t) // which is YAML too
	text := fmt.Sprintf("cache: %s\nupstreams:\n  harbor:\n    url: %s\n    username: %s\n    password_file: %s\n",
		section, w.harbor.url, robotName, passwordFile(t, robotPassword))
	for _, line := range w.upstream {
		text += "    " + line + "\n"
	}
	if len(w.routes) > 0 {
		text += "routes:\n  " + strings.Join(w.routes, "\n  ") + "\n"
	}
	listener := fmt.Sprintf("address: %q", registry)
	if w.usual != "" {
		listener += ", default: " + w.usual
	}
	text += fmt.Sprintf("listeners: [{%s}]\nadmin: {address: %q}\n", listener, admin)
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// stop ends the program in good order and checks what it wrote.
func (w *cacheWorld) stop(t *testing.T) {
	t.Helper()
	if err := w.breakwater.stop(); err != nil {
		t.Error(err)
	}
	w.breakwater.checkLog(t)
	checkNoSecrets(t, "the log", w.breakwater.output.String(), w.harbor.Secrets())
}

// serveAgain starts the program again after it was stopped or killed.
func (w *cacheWorld) serveAgain(t *testing.T) {
	t.Helper()
	b := &breakwater{registry: w.breakwater.registry, admin: w.breakwater.admin}
	b.launch(w.life, "--config", w.config)
	b.waitReady(t)
	w.breakwater = b
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 15 s: %s", what)
		}
	}
}

// value is a metric, summed over all series that have this value of the label; an
// empty label stands for all.
func (w *cacheWorld) value(t *testing.T, name, label, value string) (sum float64) {
	t.Helper()
	family := scrape(t, w.world)["breakwater_"+name]
	if family == nil {
		t.Fatalf("there is no metric breakwater_%s", name)
	}
	for _, metric := range family.GetMetric() {
		if label == "" || labelled(metric, label, value) {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

func labelled(metric *dto.Metric, label, value string) bool {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == label {
			return pair.GetValue() == value
		}
	}
	return false
}

// checkTold makes sure that the log says this; the program is to be stopped, since its
// log is buffered.
func (w *cacheWorld) checkTold(t *testing.T, message string) {
	t.Helper()
	if !strings.Contains(w.breakwater.output.String(), message) {
		t.Errorf("no line of the log says: %s", message)
	}
}

// contentRequests are the requests that reached Harbor for manifests and blobs, as
// "METHOD PATH".
func (w *cacheWorld) contentRequests() (asked []string) {
	for _, r := range w.harbor.Requests() {
		if r.IsManifest() || r.IsBlob() {
			asked = append(asked, r.Method+" "+r.Path)
		}
	}
	return asked
}

// quiet waits until Harbor hears nothing for a while: what a pull entails in the
// background is over.
func (w *cacheWorld) quiet() {
	everything := func(harbortest.Request) bool { return true }
	for before := -1; before != w.harbor.Count(everything); time.Sleep(400 * time.Millisecond) {
		before = w.harbor.Count(everything)
	}
}
