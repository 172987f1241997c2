package proxy_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/proxy/access"
)

// slow is a client that reads nothing until it is told to.
type slow struct {
	*httptest.ResponseRecorder
	read chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.read
	return s.ResponseRecorder.Write(p)
}

// slowly begins a pull from that address, and leaves it in the middle of the answer.
func (b *bubble) slowly(from string, path string, username string) (finish func() int) {
	s := &slow{httptest.NewRecorder(), make(chan struct{})}
	request := b.request("GET " + path)
	request.RemoteAddr = from
	if username != "" {
		request.SetBasicAuth(username, client)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.proxy.Behind(b.gate, b.policy.usual).ServeHTTP(s, request)
	}()
	synctest.Wait()
	return func() int {
		close(s.read)
		<-done
		return s.Code
	}
}

// from makes a request from that address, and tells how long the answer took.
func (b *bubble) from(address, request, username string) (answer, time.Duration) {
	b.Helper()
	r := b.request(request)
	r.RemoteAddr = address
	if username != "" {
		r.SetBasicAuth(username, client)
	}
	began := time.Now()
	got := b.serve(r)
	return got, time.Since(began)
}

func (b *bubble) limited(addressPulls, subjectPulls int) {
	b.Helper()
	l := passwordListener(b)
	b.gate = access.New(access.Options{
		Listener: "test", Mode: l.mode, Allow: l.allow, Events: b.events,
		Limits: access.Limits{Connections: 1 << 20, AddressPulls: addressPulls, SubjectPulls: subjectPulls},
	})
}

// Whoever takes its answers slowly keeps nobody else waiting but itself, and that not
// for ever.
func TestOneClientMayKeepSoMuchBusy(t *testing.T) {
	for name, c := range map[string]struct {
		addressPulls, subjectPulls int
		busy                       []string // who has pulls under way, as "address user"
		waits                      []string
		served                     []string
	}{
		"an address": {2, 100, []string{"192.0.2.1:1 alice", "192.0.2.1:2 bob"},
			[]string{"192.0.2.1:3 alice", "192.0.2.1:4 bob"}, []string{"192.0.2.2:1 alice", "[2001:db8::1]:1 bob"}},
		"an address of IPv6 is a /64": {2, 100, []string{"[2001:db8::1]:1 alice", "[2001:db8::2]:1 alice"},
			[]string{"[2001:db8::3]:3 alice"}, []string{"[2001:db8:0:1::1]:1 alice", "192.0.2.1:1 alice"}},
		"IPv4 as IPv6 is IPv4": {1, 100, []string{"[::ffff:192.0.2.1]:1 alice"}, []string{"192.0.2.1:1 alice"}, []string{"[::ffff:192.0.2.2]:1 alice"}},
		"a subject, wherever it is": {100, 2, []string{"192.0.2.1:1 alice", "192.0.2.2:1 alice"},
			[]string{"192.0.2.3:1 alice"}, []string{"192.0.2.1:1 bob", "192.0.2.3:1 bob"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				base := b.imageOf("library/base", "1.0")
				b.pull(base.repository, base.tag)
				path := "/v2/library/base/blobs/" + base.blob
				b.limited(c.addressPulls, c.subjectPulls)
				split := func(who string) (address, user string) { address, user, _ = strings.Cut(who, " "); return }
				var finish []func() int
				for _, who := range c.busy {
					address, user := split(who)
					finish = append(finish, b.slowly(address, path, user))
				}
				for _, who := range c.served {
					address, user := split(who)
					if got, took := b.from(address, "GET "+path, user); got.StatusCode != 200 || took != 0 {
						t.Errorf("%s: %s after %s", who, got.Status, took)
					}
				}
				for _, who := range c.waits {
					address, user := split(who)
					// What costs nothing is answered at once.
					if got, took := b.from(address, "GET /v2/", user); got.StatusCode != 200 || took != 0 {
						t.Errorf("%s: GET /v2/: %s after %s", who, got.Status, took)
					}
					got, took := b.from(address, "GET "+path, user)
					if got.StatusCode != 503 || got.Header.Get("Retry-After") != "5" || took != 12*time.Second {
						t.Errorf("%s: %s after %s, Retry-After %q", who, got.Status, took, got.Header.Get("Retry-After"))
					}
					if n := len(b.events.refusals); n == 0 || b.events.refusals[n-1] != access.TooManyAtOnce {
						t.Errorf("%s is counted as %v", who, b.events.refusals)
					}
					if !strings.Contains(b.log.String(), `"refused":"too_many_at_once"`) {
						t.Errorf("%s: no line says why\n%s", who, b.log)
					}
				}
				// Whoever waits has its turn as soon as there is one.
				address, user := split(c.waits[0])
				time.AfterFunc(3*time.Second, func() {
					if status := finish[0](); status != 200 {
						t.Errorf("the slow one got %d", status)
					}
				})
				if got, took := b.from(address, "GET "+path, user); got.StatusCode != 200 || took != 3*time.Second {
					t.Errorf("after a turn was free: %s after %s", got.Status, took)
				}
				for _, f := range finish[1:] {
					f()
				}
				if refused := len(b.events.refusals); refused != len(c.waits) {
					t.Errorf("%d refusals are counted, want %d", refused, len(c.waits))
				}
			})
		})
	}
}

// However many wait, and however they leave, what was taken is given back.
func TestWhoeverLeavesTheQueueTakesNothingAlong(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		base := b.imageOf("library/base", "1.0")
		b.pull(base.repository, base.tag)
		path := "/v2/library/base/blobs/" + base.blob
		b.limited(1, 100)
		finish := b.slowly("192.0.2.1:1", path, "alice")
		statuses := make(chan int)
		const waiting = 50
		for range waiting {
			go func() {
				got, _ := b.from("192.0.2.1:2", "GET "+path, "alice")
				statuses <- got.StatusCode
			}()
		}
		b.pass(20 * time.Second)
		for range waiting {
			if status := <-statuses; status != 503 {
				t.Errorf("one of those who waited got %d", status)
			}
		}
		// One that goes away takes no turn along either.
		ctx, leave := context.WithTimeout(b.Context(), time.Second)
		defer leave()
		left := b.request("GET " + path).WithContext(ctx)
		left.RemoteAddr = "192.0.2.1:2"
		left.SetBasicAuth("alice", client)
		b.serve(left)
		finish()
		for range 3 {
			if got, took := b.from("192.0.2.1:2", "GET "+path, "alice"); got.StatusCode != 200 || took != 0 {
				t.Errorf("afterwards: %s after %s", got.Status, took)
			}
		}
	})
}
