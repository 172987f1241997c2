//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopLimit bounds the wait for a program that was asked to end; it is longer
// than the grace that breakwater and dockerd give their own clients.
const stopLimit = 40 * time.Second

// A process is a program that runs beside the test. All that it writes is kept,
// and its last lines are shown when the test has failed.
type process struct {
	name   string
	cmd    *exec.Cmd
	output transcript
	status int           // with which it may end when it was asked to, besides 0
	exited chan struct{} // closed when the program has ended and err is set
	err    error         // what cmd.Wait said
	killed bool          // by the test
}

// start runs a program until the test ends. It dies with the test binary too,
// so that a crash of the tests leaves nothing behind.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second // a grandchild may hold the output open
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the last lines of %s:\n%s", p.name, p.output.tail(40))
		}
	})
	return p
}

// stop asks the program to end, waits for it, and returns an error unless it
// ended with status 0, or the one that it has for that. Stopping it again returns the same.
func (p *process) stop() error {
	if p.killed {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
		return fmt.Errorf("%s was still running %v after SIGTERM", p.name, stopLimit)
	}
	if p.err != nil && (p.status == 0 || p.cmd.ProcessState.ExitCode() != p.status) {
		return fmt.Errorf("%s ended with: %w", p.name, p.err)
	}
	return nil
}

// kill ends the program as a power failure would, as far as it can tell.
func (p *process) kill() {
	p.killed = true
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended already
	<-p.exited
}

// waitUntil asks ready again and again until it has no error, the program has
// ended, or the limit has passed.
func (p *process) waitUntil(t *testing.T, limit time.Duration, ready func() error) {
	t.Helper()
	deadline := time.After(limit)
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended before it was ready: %v", p.name, p.err)
		case <-deadline:
			t.Fatalf("%s was not ready after %v: %v", p.name, limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A transcript keeps all that was written to it; it may be read meanwhile.
type transcript struct {
	mu    sync.Mutex // guards bytes
	bytes bytes.Buffer
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.bytes.Write(p)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.bytes.String()
}

// lines returns the lines that are not empty.
func (tr *transcript) lines() []string {
	return slices.DeleteFunc(strings.Split(tr.String(), "\n"), func(line string) bool { return line == "" })
}

func (tr *transcript) tail(n int) string {
	lines := tr.lines()
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// A home is an empty home folder for clients: no login of the person or the
// machine that runs the tests is found there. With a file ca.crt in it, clients trust
// that authority.
type home struct {
	dir string
	env []string // beside what every home has
}

func newHome(t *testing.T) home {
	t.Helper()
	h := home{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(h.dir, "auth.json"), []byte("{}"), 0o600); err != nil { // podman wants it to be there
		t.Fatal(err)
	}
	return h
}

// command prepares a client that lives in this home.
func (h home) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = h.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin",
		"HOME=" + h.dir,
		"XDG_RUNTIME_DIR=" + h.dir,
		"XDG_CONFIG_HOME=" + h.dir,
		"DOCKER_CONFIG=" + h.dir,
		"REGISTRY_AUTH_FILE=" + h.dir + "/auth.json",
		"TMPDIR=" + os.TempDir(),
	}, h.env...)
	if ca := filepath.Join(h.dir, "ca.crt"); exists(ca) {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+ca)
	}
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run runs a client to its end and returns what it wrote to its standard
// output. The test stops if the client fails.
func (h home) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	return h.tell(t, "", program, args...)
}

// tell is run of a client that reads its standard input, such as a password.
func (h home) tell(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	cmd := h.command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// fail runs a client that must fail, and must say why in these words.
func (h home) fail(t *testing.T, says, stdin, program string, args ...string) {
	t.Helper()
	cmd := h.command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(output), says) {
		t.Errorf("%s %s: %v, want a failure that says %q:\n%s", program, strings.Join(args, " "), err, says, output)
	}
}

// tool returns the path of a program that make builds into bin.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: please run the tests by `make e2e`", err)
	}
	return path
}

// installed returns the path of a program from a Debian package. Debian's own
// comes before others of the same name, since its parts belong together.
func installed(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append([]string{"/usr/bin", "/usr/sbin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: please run the tests by `make e2e`", name)
	return ""
}
