package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"

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

// along takes the way over to work that is shared, whose context carries nobody's
// values: it counts as asked by whoever began it.
func along[V any](ctx context.Context, work func(context.Context) (V, error)) func(context.Context) (V, error) {
	via, ok := ctx.Value(viaKey{}).(string)
	if !ok {
		return work
	}
	return func(ctx context.Context) (V, error) { return work(withVia(ctx, via)) }
}
