//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Nothing is open by accident: on an address that others reach, and with an account, it
// does not start before somebody wrote who may pull. What it says to write can be
// pasted as it is.
func TestServeRefusesToBeOpen(t *testing.T) {
	h, admin := newHome(t), freeAddress(t)
	_, port, err := net.SplitHostPort(freeAddress(t))
	mustDo(t, err)
	harbor := startHarbor(t)
	password := passwordFile(t, robotPassword)
	refused := func(t *testing.T, args ...string) string {
		t.Helper()
		cmd := h.command(tool(t, "breakwater"), append([]string{"serve"}, args...)...)
		output, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("serve %s: exit status %d (%v), want 2:\n%s", strings.Join(args, " "), code, err, output)
		}
		return string(output)
	}

	t.Run("by flags", func(t *testing.T) {
		output := refused(t, "--upstream", harbor.url, "--username", robotName, "--password-file", password, "--listen", ":"+port, "--admin-listen", admin)
		if !strings.Contains(output, "add --anonymous 10.0.0.0/8") || threeLines.FindString(output) == "" {
			t.Errorf("it does not say what to add:\n%s", output)
		}
	})

	t.Run("by a file", func(t *testing.T) {
		config := filepath.Join(t.TempDir(), "config.yaml")
		text := fmt.Sprintf("cache: {dir: %q}\nupstreams:\n  harbor:\n    url: %s\n    username: %s\n    password_file: %s\nadmin: {address: %q}\nlisteners:\n  - address: \":%s\"\n",
			filepath.Join(t.TempDir(), "cache"), harbor.url, robotName, password, admin, port)
		mustDo(t, os.WriteFile(config, []byte(text), 0o600))
		lines := threeLines.FindString(refused(t, "--config", config))
		if lines == "" {
			t.Fatal("it does not say which three lines to add")
		}

		for network, status := range map[string]int{"10.0.0.0/8": http.StatusForbidden, "127.0.0.0/8": http.StatusOK} {
			pasted := text + strings.Replace(strings.TrimPrefix(lines, "\n"), "10.0.0.0/8", network, 1) + "\n"
			mustDo(t, os.WriteFile(config, []byte(pasted), 0o600))
			b := &breakwater{admin: admin}
			b.serve(t, "--config", config)
			if got, body, err := get("http://127.0.0.1:" + port + appPath); err != nil || got != status {
				t.Errorf("from 127.0.0.1, with the network %s: status %d, error %v, want %d: %s", network, got, err, status, body)
			}
			mustDo(t, b.stop())
		}
	})
}

// threeLines are what is to be pasted below the address, as they are printed.
var threeLines = regexp.MustCompile(`\n {4}anonymous:\n {6}networks:\n {8}- 10\.0\.0\.0/8.*`)
