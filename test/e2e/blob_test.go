//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

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
