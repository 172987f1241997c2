package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"
)

// slow is how long a token may take before it is worth a word. Harbor's take
// 20 ms for a robot and 120 ms for a user.
const slow = 2 * time.Second

// robotPrefix is how Harbor's robots are called unless its administrator chose
// another prefix.
const robotPrefix = "robot$"

// token prints whether there is a token for our account. It reports whether
// the steps that need one can be tried.
func (v *visit) token(ctx context.Context) bool {
	var (
		nobody    *tokencache.NoGrantError
		elsewhere *tokencache.RealmError
	)
	switch {
	case v.refusal == nil && v.who.Account == "":
		return true // nothing is asked of us
	case v.refusal == nil:
		return v.again(ctx)
	case errors.As(v.refusal, &nobody) && nobody.Account == "":
		v.Note("token", "none: no account is configured, so only what everybody may pull can be had")
		return true
	case errors.As(v.refusal, &elsewhere):
		v.skip("token", "no password is sent to that realm")
		return false
	}
	seen, todo := v.explain(v.refusal)
	v.Fail("token", seen, todo)
	return false
}

// again asks for a second token: the first one's time holds the connection and
// the challenge, this one's is what a pull waits for.
func (v *visit) again(ctx context.Context) bool {
	ctx, cancel := step(ctx)
	defer cancel()
	began := time.Now()
	grant, err := v.Client.Grant(ctx, tokencache.Scope{})
	passed := time.Since(began)
	if err != nil {
		seen, todo := v.explain(err)
		v.Fail("token", "the first one came, the second did not: "+seen, todo)
		return false
	}
	seen := "in " + took(passed)
	switch {
	case grant.Opaque:
		seen += ", as " + grant.Account + "; it cannot be read, so nothing is known of its rights"
	case grant.Subject == "":
		seen += ", as " + grant.Account + "; it names nobody (no sub)"
	default:
		seen += ", its sub is " + grant.Subject
	}
	if !grant.Opaque {
		seen += ", good for " + life(grant.ExpiresAt.Sub(began))
	}
	if passed > slow {
		v.Warn("token", seen, "find out why it is slow: each pull of a new project waits for it (Harbor: is redis up?)")
		return true
	}
	v.OK("token", seen)
	return true
}

// account prints what kind of account Harbor knows us by, as far as name and
// rights tell.
func (v *visit) account(ctx context.Context) {
	name := v.who.Account
	if !v.harbor || name == "" {
		return
	}
	if robot, ok := strings.CutPrefix(name, robotPrefix); ok {
		seen := name + " looks like a robot"
		if project, _, of := strings.Cut(robot, "+"); of {
			seen += " of project " + project
		}
		v.OK("account", seen)
		return
	}
	const robotAdvice = "use a robot that may pull what is served and nothing else (in Harbor: Robot Accounts)"
	if v.administrator(ctx) {
		v.Warn("account", name+" is an administrator: its password opens everything in Harbor", robotAdvice)
		return
	}
	v.Warn("account", fmt.Sprintf("%s looks like a user, for robots begin with %s: each time anybody gives a wrong password for it, "+
		"Harbor refuses the right one too for 1.5 s", name, robotPrefix), robotAdvice+"; if it is one, under another prefix, all is well")
}

// life prints how long a token lasts.
func life(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

// administrator: only its tokens grant the catalog.
func (v *visit) administrator(ctx context.Context) bool {
	ctx, cancel := step(ctx)
	defer cancel()
	catalog := upstream.Scopes(registry.Request{Kind: registry.KindCatalog})[0]
	grant, err := v.Client.Grant(ctx, catalog)
	return err == nil && grant.Allows(catalog)
}
