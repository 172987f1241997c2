package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/blobcache/disk"
	"breakwater/config"
	"breakwater/internal/control"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

var (
	layer    = digest.FromString("layer")
	manifest = digest.FromString("manifest")
	nothing  = digest.FromString("what is not held")
)

// keptCache is a cache that an operator looks after: what it holds, and what it was
// asked.
type keptCache struct {
	results []control.Result
	asked   []string
	opened  []config.Cache
	closed  int
	err     error
	stop    context.CancelFunc // if set, Verify is interrupted
}

func (k *keptCache) ask(format string, args ...any) error {
	k.asked = append(k.asked, fmt.Sprintf(format, args...))
	return k.err
}

func (k *keptCache) List(_ context.Context, repository string, yield func(control.Entry) error) error {
	for _, e := range []control.Entry{
		{Digest: layer, Size: 3 << 29, Used: time.Now().Add(-3 * time.Hour), Links: []control.Link{
			{Origin: "https://h.test:443", Repository: "team-b/x", Kind: "blob", Suspended: true}, {Origin: "https://h.test:443", Repository: "team-a/app", Kind: "blob"}}},
		{Digest: manifest, Size: 700, Used: time.Now(), Tags: []string{"https://h.test:443/team-a/app:1.0"},
			Links: []control.Link{{Origin: "https://h.test:443", Repository: "team-a/app", Kind: "manifest"}}},
	} {
		if err := yield(e); err != nil {
			return err
		}
	}
	return k.ask("list %s", repository)
}

func (k *keptCache) Verify(ctx context.Context, rate int64, yield func(control.Result) error) error {
	for _, r := range k.results {
		if err := yield(r); err != nil {
			return err
		}
	}
	if k.stop != nil {
		k.stop()
		<-ctx.Done()
		return ctx.Err()
	}
	return k.ask("verify %d", rate)
}

func (k *keptCache) Stat() (control.Stat, error) {
	return control.Stat{Bytes: 3 << 29, Objects: 2, Budget: 10 << 30, Free: 1 << 40, Promised: 1 << 20, Pinned: 1, Oldest: time.Now().Add(-72 * time.Hour),
		Links: 3, Tags: 1, Repositories: 2, Blocked: []digest.Digest{layer}}, k.ask("stat")
}

func (k *keptCache) PurgeRepository(name string) (control.Purged, error) {
	return control.Purged{Objects: 1, Bytes: 1 << 20, Links: 2}, k.ask("purge repository %s", name)
}

func (k *keptCache) PurgeDigest(d digest.Digest) (control.Purged, error) {
	if d == nothing {
		return control.Purged{}, k.ask("purge digest %s", d)
	}
	return control.Purged{Objects: 1, Bytes: 1 << 20, Links: 2}, k.ask("purge digest %s", d)
}

func (k *keptCache) PurgeAll() (control.Purged, error) {
	return control.Purged{Objects: 1, Bytes: 1 << 20, Links: 2}, k.ask("purge all")
}

func (k *keptCache) Block(d digest.Digest) error   { return k.ask("block %s", d) }
func (k *keptCache) Unblock(d digest.Digest) error { return k.ask("unblock %s", d) }

// cacheFolder is a folder that a store has made its own.
func cacheFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "FORMAT"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// keep runs `breakwater cache` with args on k, which is stopped unless an instance
// answers for it.
func (k *keptCache) keep(ctx context.Context, args ...string) (string, error) {
	command := cacheCommand(func(c config.Cache) (control.Cache, func() error, error) {
		k.opened = append(k.opened, c)
		return k, func() error { k.closed++; return nil }, nil
	})
	return execute(ctx, command, args...)
}

// execute runs a command with args, and returns what it says.
func execute(ctx context.Context, command *cobra.Command, args ...string) (string, error) {
	var stdout bytes.Buffer
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetOut(&stdout)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	return stdout.String(), err
}

func TestCacheCommands(t *testing.T) {
	for _, test := range []struct {
		args        []string
		asked       string
		table, json string
	}{
		{[]string{"ls"}, "list ",
			"DIGEST" + strings.Repeat(" ", 65) + "        SIZE   USED  KIND      IN\n" +
				layer.String() + "     1.5 GiB     3h  blob      team-a/app, team-b/x (suspended)\n" +
				manifest.String() + "       700 B     0s  manifest  team-a/app, team-a/app:1.0\n",
			`{"digest":"` + layer.String() + `","size":1610612736,"used":"`},
		{[]string{"ls", "team-a/app"}, "list team-a/app", layer.String(), `"tags":["https://h.test:443/team-a/app:1.0"]`},
		{[]string{"stat"}, "stat", "held        1.5 GiB in 2 objects\n", `"bytes":1610612736,"objects":2,`},
		{[]string{"verify"}, "verify 0|verify 52428800", "verified 2 objects, 1.0 KiB: 0 wrong\n", `{"digest":"` + layer.String() + `","size":512}` + "\n"},
		{[]string{"verify", "--rate", "20MiB"}, "verify 20971520", "0 wrong", ""},
		{[]string{"verify", "--rate", "0"}, "verify 0", "0 wrong", ""},
		{[]string{"purge", "team-a/app"}, "purge repository team-a/app", "purged 1 objects, 1.0 MiB, and 2 links\n", `{"objects":1,"bytes":1048576,"links":2}` + "\n"},
		{[]string{"purge", layer.String()}, "purge digest " + layer.String(), "purged 1", ""},
		{[]string{"purge", "--all"}, "purge all", "purged 1", ""},
		{[]string{"block", layer.String()}, "block " + layer.String(), "blocked " + layer.String() + "\n", `{"blocked":"` + layer.String() + `"}` + "\n"},
		{[]string{"purge", nothing.String()}, "purge digest " + nothing.String(), "nothing held\n", `{"objects":0,"bytes":0,"links":0}` + "\n"},
		{[]string{"unblock", manifest.String()}, "stat", manifest.String() + " was not blocked\n", `{"not_blocked":"` + manifest.String() + `"}` + "\n"},
		{[]string{"unblock", layer.String()}, "stat, unblock " + layer.String(), "unblocked " + layer.String() + "\n", `{"unblocked":"` + layer.String() + `"}` + "\n"},
	} {
		for _, state := range []string{"stopped", "running"} {
			t.Run(state+" "+strings.Join(test.args, " "), func(t *testing.T) {
				k := &keptCache{results: []control.Result{{Digest: layer, Size: 512}, {Digest: manifest, Size: 512}}}
				dir := cacheFolder(t)
				if state == "running" {
					answering(t, dir, k)
				}
				for format, want := range map[string]string{"table": test.table, "json": test.json} {
					said, err := k.keep(t.Context(), append(test.args, "--cache-dir", dir, "-o", format)...)
					if err != nil || !strings.Contains(said, want) {
						t.Errorf("%s: %v\n%s\nwant\n%s", format, err, said, want)
					}
				}
				asked, want := k.asked[:len(k.asked)/2], test.asked // the same for each format
				if stopped, running, differ := strings.Cut(test.asked, "|"); differ {
					want = map[string]string{"stopped": stopped, "running": running}[state]
				}
				if strings.Join(asked, ", ") != want || !slices.Equal(asked, k.asked[len(asked):]) {
					t.Errorf("asked for %q, want %q", asked, want)
				}
				if opens := map[string]int{"stopped": 2}[state]; len(k.opened) != opens || k.closed != opens {
					t.Errorf("opened %d times, closed %d times; want %d", len(k.opened), k.closed, opens)
				}
			})
		}
	}
}

func answering(t *testing.T, dir string, cache control.Cache) {
	t.Helper()
	server, err := control.Serve(dir, cache, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A folder that holds more than the command knows to be allowed loses nothing.
func TestAStoppedCacheIsOpenedWithoutALimit(t *testing.T) {
	k, dir := new(keptCache), cacheFolder(t)
	file := write(t, "config.yaml", "cache: {dir: "+dir+", max_size: 1GiB, min_free: 20%, lock_wait: 5m}\n"+
		"upstreams: {harbor: {url: https://harbor.example.com, username: robot$a, password_file: /no/such/file}}\n")
	said, err := k.keep(t.Context(), "stat", "--config", file)
	if err != nil || !strings.Contains(said, dir+" (stopped)\n") || strings.Contains(said, "may hold") {
		t.Fatalf("%s%v", said, err)
	}
	c := k.opened[0]
	if c.Dir != dir || c.MaxSize < 1<<50 || c.MinFree != (config.Reserve{}) || c.LockWait.Duration != 0 {
		t.Errorf("opened with %+v", c)
	}
}

// What no instance holds to has no limit, and is not said to have the one that it
// was opened with.
func TestStatSaysWhichCacheThisIs(t *testing.T) {
	k, dir := new(keptCache), cacheFolder(t)
	said, err := k.keep(t.Context(), "stat", "--cache-dir", dir, "-o", "json")
	if want := `{"dir":"` + dir + `","running":false,"bytes":1610612736,"objects":2,"free":`; err != nil || !strings.HasPrefix(said, want) {
		t.Errorf("stopped: %v\n%s\nwant\n%s", err, said, want)
	}
	answering(t, dir, k)
	said, err = k.keep(t.Context(), "stat", "--cache-dir", dir, "-o", "json")
	if want := `{"dir":"` + dir + `","running":true,"bytes":1610612736,"objects":2,"budget":10737418240,"free":`; err != nil || !strings.HasPrefix(said, want) {
		t.Errorf("running: %v\n%s\nwant\n%s", err, said, want)
	}
}

func TestCacheMistakes(t *testing.T) {
	dir := cacheFolder(t)
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"purge"}, "--all"},
		{[]string{"purge", "--all", "team-a/app"}, "--all and team-a/app are both given"},
		{[]string{"purge", "team-a/app:1.0"}, `"team-a/app:1.0" is neither a repository nor a digest`},
		{[]string{"purge", "sha256:abc"}, "is neither a repository nor a digest"},
		{[]string{"purge", "Team-A/app"}, "is neither"},
		{[]string{"purge", "a", "b"}, "accepts at most 1 arg"},
		{[]string{"block"}, "accepts 1 arg"},
		{[]string{"block", "team-a/app"}, "is not a digest"},
		{[]string{"unblock", layer.String() + "0"}, "is not a digest"},
		{[]string{"ls", layer.String()}, "is not a repository's name"},
		{[]string{"verify", "--rate", "fast"}, `"fast" is not a size`},
		{[]string{"stat", "-o", "yaml"}, "write table or json"},
		{[]string{"stat", "--config", "x"}, "--cache-dir and --config are both given"},
		{[]string{"list"}, "unknown command"},
	} {
		k := new(keptCache)
		_, err := k.keep(t.Context(), append(test.args, "--cache-dir", dir)...)
		if err == nil || !strings.Contains(err.Error(), test.says) || errors.As(err, new(failure)) {
			t.Errorf("%q: %v, want a mistake with %q", test.args, err, test.says)
		}
		if len(k.opened)+len(k.asked) > 0 {
			t.Errorf("%q: the cache was opened", test.args)
		}
	}
	k := new(keptCache)
	_, err := k.keep(t.Context(), "stat", "--config", "/no/such/file.yaml")
	if !errors.As(err, new(config.Problems)) {
		t.Errorf("a configuration that is not there: %v", err)
	}
}

func TestCacheFailures(t *testing.T) {
	empty := t.TempDir()
	k := new(keptCache)
	for _, dir := range []string{empty, filepath.Join(empty, "none")} {
		_, err := k.keep(t.Context(), "ls", "--cache-dir", dir)
		if !errors.As(err, new(failure)) || !strings.Contains(err.Error(), "no cache in") || len(k.opened) > 0 {
			t.Errorf("a folder that is no cache: %v", err)
		}
	}
	if found, err := os.ReadDir(empty); err != nil || len(found) > 0 {
		t.Errorf("it became one: %v (%v)", found, err)
	}

	dir := cacheFolder(t)
	command := cacheCommand(func(config.Cache) (control.Cache, func() error, error) {
		return nil, nil, &disk.LockedError{Dir: dir, PID: 4711, Host: "node-1", Since: time.Now()}
	})
	_, err := execute(t.Context(), command, "ls", "--cache-dir", dir)
	if !errors.As(err, new(failure)) || !strings.Contains(err.Error(), "process 4711 on node-1") || !strings.Contains(err.Error(), control.Socket) {
		t.Errorf("locked by an instance that does not answer: %v", err)
	}

	k.err = errors.New("the disk is on fire")
	for _, args := range [][]string{{"ls"}, {"stat"}, {"verify"}, {"purge", "--all"}, {"block", layer.String()}} {
		_, err := k.keep(t.Context(), append(args, "--cache-dir", dir)...)
		if !errors.As(err, new(failure)) || err.Error() != k.err.Error() {
			t.Errorf("%q: %v", args, err)
		}
	}
	if said, err := k.keep(t.Context(), "verify", "--cache-dir", dir); err == nil || said != "" {
		t.Errorf("a verification that did not begin says %q", said)
	}
	if k.closed != len(k.opened) {
		t.Errorf("opened %d times, closed %d times", len(k.opened), k.closed)
	}
}

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	k := &keptCache{results: []control.Result{{Digest: layer, Size: 512, Err: "its bytes are another digest's"}, {Digest: manifest, Size: 512}}}
	dir := cacheFolder(t)
	said, err := k.keep(t.Context(), "verify", "--cache-dir", dir)
	if failed, ok := errors.AsType[failure](err); !ok || failed.err != nil {
		t.Errorf("it ends with %v, want a failure that has been told", err)
	}
	if want := layer.String() + "  512 B  its bytes are another digest's\nverified 2 objects, 1.0 KiB: 1 wrong\n"; said != want {
		t.Errorf("got\n%s\nwant\n%s", said, want)
	}

	ctx, stop := context.WithCancel(t.Context())
	k.stop = stop
	said, err = k.keep(ctx, "verify", "--cache-dir", dir)
	if !errors.As(err, new(failure)) || err.Error() != "interrupted" || !strings.HasSuffix(said, ": 1 wrong\n") {
		t.Errorf("interrupted: %v\n%s", err, said)
	}
}

func TestNeverIsNoAge(t *testing.T) {
	if got := ago(time.Time{}); got != "-" {
		t.Errorf("never is %s", got)
	}
}
