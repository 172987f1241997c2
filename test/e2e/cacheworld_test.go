//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"breakwater/internal/harbortest"

	"github.com/opencontainers/go-digest"
	dto "github.com/prometheus/client_model/go"
)

// blockSize is what the files of blobs are rounded up to, bytes.
const blockSize = 4096

// Settings of the cache that a test wants, as the configuration has them. What is ""
// is as Breakwater has it by itself, but that nothing of the disk is left free, since
// it is the machine's.
type settings struct {
	dir      string // a folder of the test's own
	maxSize  string
	lockWait string
	upstream []string // further lines on Harbor, such as "tag_ttl: 1s"
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
	b := &breakwater{registry: freeAddress(t), admin: freeAddress(t)}
	w := &cacheWorld{world: &world{harbor: startHarbor(t), breakwater: b}, settings: s, life: t}
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
	text += fmt.Sprintf("listeners: [{address: %q}]\nadmin: {address: %q}\n", registry, admin)
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

// cache runs `breakwater cache`, with JSON as its output, and returns its exit status.
func (w *cacheWorld) cache(t *testing.T, args ...string) (output []byte, status int) {
	t.Helper()
	args = append([]string{"cache", "--config", w.config, "-o", "json"}, args...)
	cmd := newHome(t).command(tool(t, "breakwater"), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if failed := new(exec.ExitError); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if stderr.Len() > 0 && cmd.ProcessState.ExitCode() == 0 {
		t.Errorf("breakwater %s complains: %s", strings.Join(args, " "), &stderr)
	}
	return stdout.Bytes(), cmd.ProcessState.ExitCode()
}

// keep runs `breakwater cache`, which must succeed, and reads the values it prints.
func keep[T any](t *testing.T, w *cacheWorld, args ...string) []T {
	t.Helper()
	output, status := w.cache(t, args...)
	if status != 0 {
		t.Fatalf("breakwater cache %s: exit status %d: %s", strings.Join(args, " "), status, output)
	}
	return values[T](t, output)
}

// values reads JSON, one value a line.
func values[T any](t *testing.T, output []byte) (all []T) {
	t.Helper()
	for line := range bytes.Lines(output) {
		var value T
		decode(t, line, &value)
		all = append(all, value)
	}
	return all
}

// What `breakwater cache` prints, as far as these tests look.
type (
	statistics struct {
		Bytes, Budget   int64
		Objects, Pinned int
		Promised        int64
		Links, Tags     int
		Blocked         []digest.Digest
	}
	heldEntry struct {
		Digest digest.Digest
		Size   int64
		Tags   []string
		Links  []struct{ Repository, Kind string }
	}
	verdict struct {
		Digest digest.Digest
		Error  string
	}
	purged struct{ Objects, Links int }
)

func (w *cacheWorld) stat(t *testing.T) statistics {
	t.Helper()
	all := keep[statistics](t, w, "stat")
	if len(all) != 1 {
		t.Fatalf("cache stat printed %d values, want 1", len(all))
	}
	return all[0]
}

// checkAccounts compares what `cache stat` says with the files there are.
func (w *cacheWorld) checkAccounts(t *testing.T) {
	t.Helper()
	stat, files := w.stat(t), filesBelow(t, filepath.Join(w.dir, "blobs"))
	if len(files) != stat.Objects {
		t.Errorf("there are %d files of blobs, and cache stat says %d objects", len(files), stat.Objects)
	}
	used := int64(0)
	for _, info := range files {
		used += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if off := used - stat.Bytes; off > blockSize*int64(len(files)) || off < -blockSize*int64(len(files)) {
		t.Errorf("blobs take %d bytes of the disk, and cache stat says %d", used, stat.Bytes)
	}
}

// filesBelow lists the files below a folder, by path.
func filesBelow(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	files := make(map[string]fs.FileInfo)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		files[path] = info
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// file is where a blob's bytes are kept.
func (w *cacheWorld) file(d digest.Digest) string {
	return filepath.Join(w.dir, "blobs", string(d.Algorithm()), d.Encoded()[:2], d.Encoded())
}

// A blob was pushed to a repository.
type blob struct {
	repository string
	digest     digest.Digest
	content    []byte
}

func (b blob) path() string { return "/v2/" + b.repository + "/blobs/" + b.digest.String() }

// pushBlob pushes size bytes that seed makes.
func (w *cacheWorld) pushBlob(t *testing.T, repository string, seed uint64, size int) blob {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(content) // it never fails
	registry := must(w.harbor.Content(repository))(t)
	hash := must(registry.PushBlob(repository, content))(t)
	return blob{repository, digest.Digest(hash.String()), content}
}

// ask is one GET past the tap, on a connection of its own.
func (w *cacheWorld) ask(t *testing.T, path string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	request := must(http.NewRequest(http.MethodGet, "http://"+w.breakwater.registry+path, nil))(t)
	for name, values := range header {
		request.Header[name] = values
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp := must(client.Do(request))(t)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: the body broke after %d bytes: %v", path, len(body), err)
	}
	return resp, body
}

// checkBlob pulls a blob and compares its bytes.
func (w *cacheWorld) checkBlob(t *testing.T, b blob) {
	t.Helper()
	resp, body := w.ask(t, b.path(), nil)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET %s: status %d: %.200s", b.path(), resp.StatusCode, body)
	} else if !bytes.Equal(body, b.content) {
		t.Errorf("GET %s: %d bytes came that are not the %d that were pushed", b.path(), len(body), len(b.content))
	}
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

// held waits until the blobs are files with their last names, and all that the
// transfers had to do is done.
func (w *cacheWorld) held(t *testing.T, blobs ...blob) {
	t.Helper()
	for _, b := range blobs {
		eventually(t, "a file for "+b.path(), func() bool {
			_, err := os.Stat(w.file(b.digest))
			return err == nil
		})
	}
	eventually(t, "the end of the transfers", func() bool {
		return w.value(t, "cache_promised_bytes", "", "")+w.value(t, "cache_pinned", "", "") == 0
	})
}

// waitObjects waits until so many blobs and manifests are on disk: manifests and small
// blobs are written after they were served.
func (w *cacheWorld) waitObjects(t *testing.T, objects int) {
	t.Helper()
	eventually(t, fmt.Sprint(objects, " objects on disk"), func() bool {
		return w.value(t, "cache_objects", "", "") == float64(objects)
	})
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
