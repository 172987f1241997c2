package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"

	"breakwater/internal/flight"
	"breakwater/proxy/registry"
)

// A Breakwater may have another one as its upstream. Where the way leads in a circle a
// request would wait for itself; so each question upstream says by Via (RFC 9110 §7.6.3)
// which Breakwaters it came through, by a pseudonym for each process that says nothing of
// where it runs.

// mostHops is how many Breakwaters a request may have come through. More are a circle
// of which somebody on the way hides a part.
const mostHops = 8

func newPseudonym() string { return "breakwater-" + strings.ToLower(rand.Text()) }

// hop is an entry that a Breakwater wrote, in a group of its own the pseudonym. Others
// are no concern of ours and do not go on: a client can write whatever it likes.
var hop = regexp.MustCompile(`^[12]\.[01] (breakwater-[a-z2-7]{26})$`)

// ownHop is our own entry for a request that nobody sent, and for answers.
func (p *Proxy) ownHop() string { return "1.1 " + p.pseudonym }

// takeChain refuses a request that comes in a circle (RFC 5842 §7.2), and keeps for
// questions upstream which way it came.
func (x *exchange) takeChain() error {
	var chain []string
	for _, field := range x.r.Header.Values("Via") {
		for entry := range strings.SplitSeq(field, ",") {
			found := hop.FindStringSubmatch(textproto.TrimString(entry))
			if found == nil {
				continue
			}
			if chain = append(chain, found[0]); len(chain) > mostHops {
				return x.circle("it came through more than %d Breakwaters", mostHops)
			}
			if found[1] == x.pseudonym {
				return x.circle("it came through this Breakwater before")
			}
		}
	}
	own := fmt.Sprintf("%d.%d %s", x.r.ProtoMajor, x.r.ProtoMinor, x.pseudonym)
	x.ctx = withVia(x.ctx, strings.Join(append(chain, own), ", "))
	return nil
}

func (x *exchange) circle(format string, args ...any) error {
	where := "of each Breakwater's upstreams"
	if x.origin != nil {
		where = "of upstream " + x.Upstream.Name() + ", to which the route " + x.route.Name + " leads"
	}
	return registry.Errorf(http.StatusLoopDetected, registry.CodeUnavailable,
		"the request goes in a circle, for "+format+": look at the url "+where, args...)
}

type viaKey struct{}

// withVia says what Via is in questions that are asked with the context.
func withVia(ctx context.Context, via string) context.Context {
	return context.WithValue(ctx, viaKey{}, via)
}

// via is what Via says upstream: the way that the request came, and us.
func (p *Proxy) via(ctx context.Context) string {
	if via, ok := ctx.Value(viaKey{}).(string); ok {
		return via
	}
	return p.ownHop()
}

// circular tells that the way by which a question came leads in a circle. That says
// nothing of what was asked for, and nothing to whoever came by another way.
func circular(err error) bool {
	var refusal *registry.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusLoopDetected
}

// byWay is what a flight is about, and for whom: all, or, where the way of whoever began
// that leads in a circle, those who came by another one.
type byWay[K comparable] struct {
	key K
	way string
}

// way tells those apart who came by another one: other Breakwaters before us.
func way(via string) string { return " by " + via[:max(strings.LastIndex(via, ", "), 0)] }

// together does work once for all who want it, within the context of a flight, which
// carries nobody's values but the way of whoever began it.
func together[K comparable, V any](ctx context.Context, flights *flight.Group[byWay[K], V], via string, key K, work func(context.Context) (V, error)) (V, error) {
	own := false
	asked := func(ctx context.Context) (V, error) {
		own = true
		return work(withVia(ctx, via))
	}
	found, err := flights.Do(ctx, byWay[K]{key: key}, asked)
	if circular(err) && !own {
		return flights.Do(ctx, byWay[K]{key, way(via)}, asked)
	}
	return found, err
}
