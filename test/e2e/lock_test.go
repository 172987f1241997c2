//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// One folder, two instances: the second waits, and then says who has the folder. It
// serves if the first ends meanwhile.
func TestSecondInstanceOnAFolder(t *testing.T) {
	w := newCacheWorld(t, settings{lockWait: "1s"})
	second := func() *breakwater { return &breakwater{registry: freeAddress(t), admin: freeAddress(t)} }

	t.Run("that waits in vain", func(t *testing.T) {
		b := second()
		started := time.Now()
		cmd := newHome(t).command(tool(t, "breakwater"), "serve", "--config", w.writeConfig(t, b.registry, b.admin))
		output, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("exit status %d (%v), want 1", code, err)
		}
		if waited := time.Since(started); waited < time.Second {
			t.Errorf("it gave up after %v and not after lock_wait", waited)
		}
		host := must(os.Hostname())(t)
		for _, named := range []string{w.dir, fmt.Sprint(w.breakwater.cmd.Process.Pid), host} {
			if !strings.Contains(string(output), named) {
				t.Errorf("the second instance does not name %s:\n%s", named, output)
			}
		}
	})

	t.Run("that gets it", func(t *testing.T) {
		taken := w.pushBlob(t, "team-a/taken", 1, 200_000)
		w.checkBlob(t, taken)
		w.lockWait = "30s"
		first, b := w.breakwater, second()
		w.config = w.writeConfig(t, b.registry, b.admin)
		b.launch(t, "--config", w.config)
		eventually(t, "a line of the second that it waits", func() bool {
			return strings.Contains(b.output.String(), "waiting for the cache folder, which another process has")
		})
		if err := first.stop(); err != nil {
			t.Error(err)
		}
		b.waitReady(t)
		w.breakwater = b
		w.harbor.ResetRequests()
		w.checkBlob(t, taken)
		if asked := w.contentRequests(); len(asked) > 0 {
			t.Errorf("what the first had kept was asked for again: %v", asked)
		}
	})
}
