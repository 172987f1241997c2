package clientkit_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"breakwater/internal/clientkit"
)

// files are containerd's, of two routes and a default.
func files(t *testing.T, at string) []clientkit.File {
	t.Helper()
	m := mirror(t, at, everyRegistry)
	m.Routes = routes[:2]
	s, err := clientkit.Containerd(m)
	if err != nil {
		t.Fatal(err)
	}
	return s.Files
}

// lay makes a folder of files; a text that begins with → is where a link leads.
func lay(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		target, link := strings.CutPrefix(text, "→")
		var err error
		if link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// found reads a folder back: files, links, and empty folders with a slash.
func found(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch entry.Type() {
		case fs.ModeDir:
			if below, err := os.ReadDir(path); err != nil || len(below) > 0 {
				return err
			}
			content[name+"/"] = ""
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			content[name] = "→" + target
			return err
		default:
			text, err := os.ReadFile(path)
			content[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func with(content map[string]string, files []clientkit.File) map[string]string {
	all := map[string]string{}
	for name, text := range content {
		all[name] = text
	}
	for _, file := range files {
		all[file.Path] = file.Text
	}
	return all
}

func whats(changes []clientkit.Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, c.What+" "+c.Path)
	}
	slices.Sort(all)
	return all
}

func all(what string) []string {
	return []string{what + " _default/hosts.toml", what + " docker.io/hosts.toml", what + " harbor.example.com_8443_/hosts.toml"}
}

// What is written is there, a second time changes nothing, another configuration
// takes its place, and removing leaves what was there before.
func TestTree(t *testing.T) {
	before := map[string]string{
		"registry.k8s.io/hosts.toml": "server = \"https://registry.k8s.io\"\n",
		"gcr.io/ca.crt":              "somebody's",
		"docker.io/README":           "somebody's",
		"README":                     "somebody's",
	}
	dir := lay(t, before)
	first, second := files(t, here), files(t, there)
	for _, step := range []struct {
		do      func() ([]clientkit.Change, error)
		changes []string
		holds   map[string]string
	}{
		{func() ([]clientkit.Change, error) { return clientkit.Write(t.Context(), dir, first) }, all("written"), with(before, first)},
		{func() ([]clientkit.Change, error) { return clientkit.Write(t.Context(), dir, first) }, all("unchanged"), with(before, first)},
		{func() ([]clientkit.Change, error) { return clientkit.Write(t.Context(), dir, second) }, all("written"), with(before, second)},
		{func() ([]clientkit.Change, error) { return clientkit.Write(t.Context(), dir, second[:2]) },
			append([]string{"kept _default/hosts.toml"}, all("unchanged")[1:]...), with(before, second)},
		{func() ([]clientkit.Change, error) { return clientkit.Remove(t.Context(), dir) }, all("removed"), before},
		{func() ([]clientkit.Change, error) { return clientkit.Remove(t.Context(), dir) }, nil, before},
	} {
		changes, err := step.do()
		if err != nil {
			t.Fatal(err)
		}
		check(t, "changes", whats(changes), step.changes)
		check(t, "the folder", found(t, dir), step.holds)
	}
}

// A reader that was there first reads on in the file that it opened.
func TestReplacedAtOnce(t *testing.T) {
	dir := t.TempDir()
	first := files(t, here)
	if _, err := clientkit.Write(t.Context(), dir, first); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(filepath.Join(dir, first[0].Path))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := clientkit.Write(t.Context(), dir, files(t, there)); err != nil {
		t.Fatal(err)
	}
	if read, err := io.ReadAll(reader); err != nil || string(read) != first[0].Text {
		t.Errorf("%v, %q: want %q", err, read, first[0].Text)
	}
}

// The folder itself is made where there is none, and may be a link.
func TestTreeIsMade(t *testing.T) {
	dir := lay(t, map[string]string{"link": "→etc/certs.d"})
	made := filepath.Join(dir, "etc", "certs.d")
	for _, path := range []string{made, filepath.Join(dir, "link")} {
		if _, err := clientkit.Write(t.Context(), path, files(t, here)); err != nil {
			t.Fatal(err)
		}
		check(t, path, found(t, made), with(nil, files(t, here)))
	}
	info, err := os.Stat(filepath.Join(made, "docker.io", "hosts.toml"))
	if err != nil || info.Mode().Perm()&0o444 != 0o444 {
		t.Errorf("%v, %v: want a file that the client can read, whoever it runs as", info.Mode(), err)
	}
	if _, err := clientkit.Remove(t.Context(), filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed from nowhere: %v", err)
	}
}

// Where anything of somebody else's is in the way, nothing at all is written.
func TestForeign(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "hosts.toml")
	for name, test := range map[string]struct {
		before map[string]string
		says   string
	}{
		"a file":            {map[string]string{"docker.io/hosts.toml": "# mine\n"}, "docker.io/hosts.toml was written by somebody else: move it away"},
		"an empty file":     {map[string]string{"_default/hosts.toml": ""}, "_default/hosts.toml was written by somebody else"},
		"a link":            {map[string]string{"docker.io/hosts.toml": "→../other/hosts.toml", "other/hosts.toml": files(t, here)[0].Text}, "docker.io/hosts.toml was written by somebody else"},
		"a link outward":    {map[string]string{"docker.io/hosts.toml": "→" + outside}, "docker.io/hosts.toml was written by somebody else"},
		"a linked folder":   {map[string]string{"docker.io": "→other", "other/x": ""}, "docker.io is not a folder (a symbolic link is not followed)"},
		"a file for folder": {map[string]string{"_default": "x"}, "_default is not a folder"},
		"a folder for file": {map[string]string{"docker.io/hosts.toml/x": ""}, "docker.io/hosts.toml was written by somebody else"},
		"the other way of writing a port": {map[string]string{"harbor.example.com:8443/hosts.toml": "# mine\n"},
			"harbor.example.com:8443/hosts.toml would lose its effect"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := lay(t, test.before)
			changes, err := clientkit.Write(t.Context(), dir, files(t, here))
			if err == nil || !strings.Contains(err.Error(), test.says) || len(changes) > 0 {
				t.Errorf("%v, %v: want nothing written, and %q", changes, err, test.says)
			}
			check(t, "the folder", found(t, dir), test.before)
			if changes, err := clientkit.Remove(t.Context(), dir); err != nil || len(changes) > 0 && name != "a link" {
				t.Errorf("%v, %v: want nothing removed", changes, err)
			}
		})
	}
}

// Certificates that lose their effect are told of.
func TestCertificatesBeside(t *testing.T) {
	dir := lay(t, map[string]string{"docker.io/ca.crt": ""})
	changes, err := clientkit.Write(t.Context(), dir, files(t, here))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if noted := strings.Contains(c.Note, "ca.crt"); noted != (c.Path == "docker.io/hosts.toml") {
			t.Errorf("%s: %q", c.Path, c.Note)
		}
	}
}

// asNobody does what follows without the rights of root, which may write everywhere.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and end the thread with this goroutine: its rights are gone
		const nobody = 65534
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		if now, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); now != nobody {
			t.Errorf("still user %d", now)
			return
		}
		do()
	}()
	<-done
}

// passable lets nobody through to a temporary folder.
func passable(t *testing.T, dir string) {
	t.Helper()
	for up := dir; strings.HasPrefix(up, filepath.Clean(os.TempDir())+"/"); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be written stops there; what was written before is told, and whole.
func TestReadOnly(t *testing.T) {
	dir := lay(t, map[string]string{"docker.io/keep": "x", "harbor.example.com_8443_/keep": "x"})
	open := func(name string, mode fs.FileMode) {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	passable(t, dir)
	wanted := files(t, here)
	open("docker.io", 0o777)
	asNobody(t, func() {
		changes, err := clientkit.Write(t.Context(), dir, wanted)
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v, want that it is not permitted", err)
		}
		check(t, "changes", whats(changes), []string{"written docker.io/hosts.toml"})
	})
	before := map[string]string{"docker.io/keep": "x", "harbor.example.com_8443_/keep": "x"}
	check(t, "the folder", found(t, dir), with(before, wanted[:1]))
	open("docker.io", 0o755)
	asNobody(t, func() {
		if changes, err := clientkit.Remove(t.Context(), dir); !errors.Is(err, fs.ErrPermission) || len(changes) > 0 {
			t.Errorf("%v, %v: want that it is not permitted", changes, err)
		}
	})
	check(t, "the folder", found(t, dir), with(before, wanted[:1]))
}

// A folder that was made for a file that could not be written goes again: empty, it would
// take the registry out of _default.
func TestNoEmptyFolder(t *testing.T) {
	dir := lay(t, nil)
	passable(t, dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		const nothing = 0o777
		defer syscall.Umask(syscall.Umask(nothing)) // what is made may not even be written by its owner
		if changes, err := clientkit.Write(t.Context(), dir, files(t, here)); !errors.Is(err, fs.ErrPermission) || len(changes) > 0 {
			t.Errorf("%v, %v: want that it is not permitted", changes, err)
		}
	})
	check(t, "the folder", found(t, dir), map[string]string{})
}

const child = "CLIENTKIT_TEST_WRITES_TO"

// A writer that is killed leaves whole files, and nothing that the next one does not
// clear away.
func TestKilled(t *testing.T) {
	one, two := files(t, here), files(t, there)
	if dir := os.Getenv(child); dir != "" {
		for {
			for _, content := range [][]clientkit.File{one, two} {
				if _, err := clientkit.Write(t.Context(), dir, content); err != nil {
					t.Fatal(err)
				}
				_, _ = os.Stdout.Write([]byte("\n"))
			}
		}
	}
	dir := lay(t, map[string]string{"docker.io/keep": "x"})
	for round := range 5 {
		killDuring(t, dir, round)
		for name, text := range found(t, dir) {
			whole := func(f clientkit.File) bool { return f.Path == name && f.Text == text }
			if filepath.Base(name) == "hosts.toml" && !slices.ContainsFunc(slices.Concat(one, two), whole) {
				t.Errorf("%s is neither: %q", name, text)
			}
		}
		if _, err := clientkit.Write(t.Context(), dir, one); err != nil {
			t.Fatal(err)
		}
		check(t, "the folder", found(t, dir), with(map[string]string{"docker.io/keep": "x"}, one))
	}
}

// killDuring lets a process write again and again, and kills it after some rounds.
func killDuring(t *testing.T, dir string, rounds int) {
	t.Helper()
	writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	writer.Env = append(os.Environ(), child+"="+dir)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 1)
	for range rounds + 1 {
		if _, err := out.Read(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var killed *exec.ExitError
	if err := writer.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

// The traces of a killed writer, each as it may be left.
func TestUnfinished(t *testing.T) {
	const leftover = ".hosts.toml.breakwater"
	wanted := files(t, here)
	left := map[string]string{
		"docker.io/" + leftover: wanted[0].Text[:10], "_default/" + leftover: "", "_default/hosts.toml": wanted[2].Text,
	}
	dir := lay(t, left)
	if _, err := clientkit.Write(t.Context(), dir, wanted); err != nil {
		t.Fatal(err)
	}
	check(t, "written", found(t, dir), with(nil, wanted))

	left["quay.io/"+leftover], left["quay.io/hosts.toml"] = "x", "# mine\n"
	dir = lay(t, left)
	changes, err := clientkit.Remove(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "changes", whats(changes), []string{"removed _default/hosts.toml"})
	check(t, "removed", found(t, dir), map[string]string{"quay.io/hosts.toml": "# mine\n"})
}

// Two writers at once are one after the other.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	one, two := files(t, here), files(t, there)
	errs := make(chan error)
	for _, content := range [][]clientkit.File{one, two, one, two} {
		go func() {
			_, err := clientkit.Write(t.Context(), dir, content)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := found(t, dir); !reflect.DeepEqual(got, with(nil, one)) && !reflect.DeepEqual(got, with(nil, two)) {
		t.Errorf("the work of neither: %v", got)
	}
}

// What client-config prints, and somebody pastes, is known as its own.
func TestMarker(t *testing.T) {
	for _, file := range files(t, here) {
		if want := []byte("# breakwater client-config: " + file.Path + "\n"); !bytes.HasPrefix([]byte(file.Text), want) {
			t.Errorf("%s does not begin with %q", file.Path, want)
		}
	}
}
