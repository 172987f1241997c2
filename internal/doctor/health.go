package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"breakwater/proxy/upstream"
)

// needed are the parts of Harbor without which a pull fails.
var needed = []string{"core", "database", "registry"}

// health prints what Harbor's health page says, which needs no credentials and
// always answers 200. It lags behind: Harbor asks its parts every few seconds.
func (v *visit) health(ctx context.Context) {
	ctx, cancel := step(ctx)
	defer cancel()
	states, err := v.healthPage(ctx)
	if err != nil {
		if v.harbor {
			v.Warn("health", "Harbor's health page cannot be read: "+err.Error(), "look at Harbor's core and its log")
		}
		return // not a Harbor, or what is wrong was said already
	}
	ill, weak, spare := states.unhealthy()
	v.ill = len(ill) > 0
	switch {
	case v.ill:
		v.Fail("health", "Harbor says that "+are(ill)+" unhealthy: pulls fail", "mend Harbor; as long as it is ill it refuses good credentials too")
	case len(weak) > 0:
		v.Warn("health", "Harbor says that "+are(weak)+" unhealthy: pulls are slow", "look at Harbor's redis")
	case len(spare) > 0:
		v.OK("health", "Harbor says that "+are(spare)+" unhealthy, which no pull needs; all else is healthy")
	default:
		v.OK("health", "Harbor says that all its parts are healthy")
	}
}

// partStates are the parts that the page names, with their states.
type partStates []struct{ Name, Status string }

// unhealthy parts: those that pulls need, that make them slow, that they do
// without.
func (s partStates) unhealthy() (ill, weak, spare []string) {
	for _, part := range s {
		switch {
		case part.Status == "healthy":
		case slices.Contains(needed, part.Name):
			ill = append(ill, part.Name)
		case part.Name == "redis":
			weak = append(weak, part.Name)
		default:
			spare = append(spare, part.Name)
		}
	}
	return ill, weak, spare
}

func (v *visit) healthPage(ctx context.Context) (partStates, error) {
	req, err := v.request(ctx, http.MethodGet, "/api/v2.0/health")
	if err != nil {
		return nil, err
	}
	resp, err := v.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s", withoutURL(err))
	}
	defer upstream.Drop(resp)
	var page struct{ Components partStates }
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it is answered with %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&page) != nil || len(page.Components) == 0 {
		return nil, fmt.Errorf("it is not the JSON document that Harbor sends")
	}
	return page.Components, nil
}

// are joins names with their verb: "database is", "portal and registryctl are".
func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return and(names) + " are"
}

// and joins at least one word: "push", "push and delete", "a, b and c".
func and(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
