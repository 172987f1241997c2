package access

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func (w *passwordWorld) replace(t *testing.T, p *Password, file string) {
	t.Helper()
	w.file.Store(&file)
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
}

func TestReloadTakesAwayAtOnce(t *testing.T) {
	p, world := newTestPassword(t, line("alice", "right")+line("bob", "right")+line("carol", "right"))
	for _, username := range []string{"alice", "bob", "carol"} {
		expect(t, p, "192.0.2.1", username, "right", username)
	}
	world.replace(t, p, line("bob", "replaced")+line("carol", "right"))
	expect(t, p, "192.0.2.1", "alice", "right", "bad_credentials")
	expect(t, p, "192.0.2.1", "bob", "right", "bad_credentials")
	expect(t, p, "192.0.2.1", "bob", "replaced", "bob")
	world.hashes.Store(0)
	expect(t, p, "192.0.2.1", "carol", "right", "carol")
	world.expectHashes(t, 0) // of who stayed nothing is forgotten

	world.replace(t, p, "# nobody\n")
	expect(t, p, "192.0.2.1", "carol", "right", "bad_credentials")
}

// Whoever tried before the operator added them need not wait for a refusal to be
// forgotten.
func TestReloadLetsInAtOnce(t *testing.T) {
	p, world := newTestPassword(t, line("alice", "old"))
	expect(t, p, "192.0.2.1", "alice", "new", "bad_credentials")
	expect(t, p, "192.0.2.1", "bob", "new", "bad_credentials")
	world.replace(t, p, line("alice", "new")+line("bob", "new"))
	expect(t, p, "192.0.2.1", "alice", "new", "alice")
	expect(t, p, "192.0.2.1", "bob", "new", "bob")
}

// A check may begin under one file and end under another.
func TestReloadInMidCheck(t *testing.T) {
	for _, test := range []struct {
		name, before, after, password string
		want                          string
		hashes                        int64
	}{
		{"user removed", line("alice", "right"), line("bob", "x"), "right", "bad_credentials", 2},
		{"password replaced", line("alice", "old"), line("alice", "new"), "old", "bad_credentials", 2},
		{"password replaced by this one", line("alice", "old"), line("alice", "new"), "new", "alice", 2},
		{"user added", line("bob", "x"), line("alice", "right"), "right", "alice", 2},
		{"another user removed", line("alice", "right") + line("bob", "x"), line("alice", "right"), "right", "alice", 1},
		{"another user removed, wrong", line("alice", "right") + line("bob", "x"), line("alice", "right"), "wrong", "bad_credentials", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, world := newTestPassword(t, test.before)
				world.takes = 50 * time.Millisecond
				done := make(chan string)
				go func() {
					done <- came(p.Authenticate(context.Background(), request("192.0.2.1", "alice", test.password)))
				}()
				time.Sleep(world.takes / 2)
				world.replace(t, p, test.after)
				if got := <-done; got != test.want {
					t.Errorf("came to %s, want %s", got, test.want)
				}
				world.expectHashes(t, test.hashes)
				expect(t, p, "192.0.2.1", "alice", test.password, test.want)
				world.expectHashes(t, test.hashes) // and so it is remembered
			})
		})
	}
}

func TestBrokenFileLeavesTheOldOne(t *testing.T) {
	p, world := newTestPassword(t, line("alice", "right"))
	world.file.Store(ptr(line("alice", "new") + "bob:$apr1$x$y\n"))
	const want = "htpasswd file: line 2: the password is hashed with Apache's MD5 ($apr1$), and only bcrypt is read: " + anew
	if err := p.Reload(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	gone := errors.New("gone")
	p.options.Read = func() ([]byte, error) { return nil, gone }
	if err := p.Reload(); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
	expect(t, p, "192.0.2.1", "alice", "right", "alice")
	expect(t, p, "192.0.2.1", "alice", "new", "bad_credentials")
}
