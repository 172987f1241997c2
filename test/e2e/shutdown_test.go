//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// SIGTERM while a body is under way: nobody new is let in, the body is finished
// and whole, and then the program ends with status 0.
func TestShutdownFinishesBodies(t *testing.T) {
	const size = 48 << 20 // bytes; no socket's buffers hold so much
	w := newWorld(t)
	big := must(harbortest.Image("big", size))(t)
	must(w.harbor.Push("team-a/big", "1.0", big))(t)
	layer := layersOf(t, big)[0]

	// Past the tap, which would take the body in at once. The client reads
	// little, so that most of the body is still on the other side.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + w.breakwater.registry + "/v2/team-a/big/blobs/" + layer.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != size {
		t.Fatalf("status %d, length %d, want 200 and %d", resp.StatusCode, resp.ContentLength, size)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}

	if err := w.breakwater.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.breakwater.waitUntil(t, 10*time.Second, func() error {
		conn, err := net.Dial("tcp", w.breakwater.registry)
		if err != nil {
			return nil // refused: nobody listens any more
		}
		_ = conn.Close()
		return errors.New("new connections are still accepted")
	})

	if _, err := io.Copy(sum, resp.Body); err != nil {
		t.Fatalf("the body under way was cut: %v", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != layer.Hex {
		t.Errorf("the body under way has the digest sha256:%s, want %s", got, layer)
	}
	select { // without a second SIGTERM, which stop sends
	case <-w.breakwater.exited:
	case <-time.After(stopLimit):
	}
	if err := w.breakwater.stop(); err != nil {
		t.Error(err)
	}
}
