package tokencache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/tokencache"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A conversation is a cache before the stand-in for Harbor, both in one bubble.
type conversation struct {
	*harbortest.Harbor
	server *harbortest.Server
	client *http.Client
	cache  *tokencache.Cache
	logs   *observer.ObservedLogs

	mu    sync.Mutex // guards creds
	creds tokencache.Credentials
}

func (c *conversation) login(account, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creds = tokencache.Credentials{Username: account, Password: redact.Secret(password)}
}

func converse(t *testing.T, f func(*testing.T, *conversation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		harbor := harbortest.New()
		if err := harbortest.Seed(harbor); err != nil {
			t.Fatal(err)
		}
		server := harbor.StartInMemory()
		defer server.Close()
		transport := server.Transport()
		defer transport.CloseIdleConnections()
		core, logs := observer.New(zapcore.DebugLevel)
		c := &conversation{Harbor: harbor, server: server, logs: logs}
		c.login(harbortest.Puller, harbortest.Password(harbortest.Puller))
		cache, err := tokencache.New(tokencache.Options{
			Registry: parse(server.URL), Transport: transport, Log: zap.New(core),
			Credentials: func() (tokencache.Credentials, error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.creds, nil
			},
			Health: func(ctx context.Context) error { return databaseHealth(ctx, transport, server.URL) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		c.cache, c.client = cache, &http.Client{Transport: cache.Transport(transport)}
		harbor.ResetRequests()
		f(t, c)
		c.leaksNothing(t)
	})
}

// databaseHealth reads Harbor's own word, which is always status 200.
func databaseHealth(ctx context.Context, transport http.RoundTripper, origin string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/api/v2.0/health", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var health struct {
		Components []struct{ Name, Status string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return err
	}
	for _, part := range health.Components {
		if part.Name == "database" && part.Status != "healthy" {
			return errors.New("database is " + part.Status)
		}
	}
	return nil
}

// get asks for a path with a scope; the error may be any of tokencache's.
func (c *conversation) get(ctx context.Context, path, scopeText string) (int, error) {
	if scopeText != "" {
		ctx = tokencache.WithScope(ctx, scope(scopeText))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.URL+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (c *conversation) manifest(ctx context.Context, repository, tag string) (int, error) {
	return c.get(ctx, "/v2/"+repository+"/manifests/"+tag, "repository:"+repository+":pull")
}

func (c *conversation) pulls(t *testing.T, repository, tag string) {
	t.Helper()
	if status, err := c.manifest(t.Context(), repository, tag); status != http.StatusOK || err != nil {
		t.Fatalf("%s:%s = %d, %v", repository, tag, status, err)
	}
}

// asked lists what Harbor was asked since the last call.
func (c *conversation) asked() []string {
	var lines []string
	for _, r := range c.Requests() {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.Path, r.Scheme)))
	}
	c.ResetRequests()
	return lines
}

func (c *conversation) leaksNothing(t *testing.T) {
	t.Helper()
	for _, entry := range c.logs.All() {
		line := fmt.Sprintf("%s %v", entry.Message, entry.ContextMap())
		for _, hidden := range c.Secrets() {
			if strings.Contains(line, hidden) {
				t.Errorf("a secret was logged: %s", line)
			}
		}
	}
}

func TestHarborFlows(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		c.login(harbortest.Everything, harbortest.Password(harbortest.Everything))
		for _, flow := range []struct{ path, scope string }{
			{"/v2/", ""},
			{"/v2/_catalog", "registry:catalog:*"},
			{"/v2/team-a/app/tags/list", "repository:team-a/app:pull"},
			{app, "repository:team-a/app:pull"},
		} {
			if status, err := c.get(t.Context(), flow.path, flow.scope); status != http.StatusOK {
				t.Errorf("GET %s = %d, %v", flow.path, status, err)
			}
		}
		c.asked()
		c.pulls(t, "team-a/big", "1.0")
		equal(t, "warm", c.asked(), []string{"GET /v2/team-a/big/manifests/1.0 Bearer"})
	})
}

func TestHarborUnderLoad(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() { c.pulls(t, "team-a/app", "1.0") })
		}
		all.Wait()
		log := c.asked()
		pings, exchanges := 0, 0
		for _, line := range log {
			switch line {
			case "GET /v2/":
				pings++
			case "GET /service/token Basic":
				exchanges++
			}
		}
		if len(log) != 202 || pings != 1 || exchanges != 1 {
			t.Errorf("%d requests, %d pings, %d exchanges, want 202, 1, 1", len(log), pings, exchanges)
		}
		c.RevokeTokens()
		wait(60)
		c.pulls(t, "team-a/app", "1.0")
	})
}

func TestHarborRefusesThePassword(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		c.SetPassword(harbortest.Puller, "rotated-by-the-administrator")
		var refused *tokencache.CredentialError
		if _, err := c.manifest(t.Context(), "team-a/app", "1.0"); !errors.As(err, &refused) {
			t.Fatalf("error %v, want a *CredentialError", err)
		}
		equal(t, "asked", c.asked(), []string{
			"GET /v2/", "GET /service/token Basic", "GET /service/token Basic", "GET /api/v2.0/health",
		})
		for range 20 {
			if _, err := c.manifest(t.Context(), "library/base", "1.0"); !errors.As(err, &refused) {
				t.Fatalf("error %v, want a *CredentialError", err)
			}
		}
		equal(t, "under back-off", c.asked(), nil)
		c.login(harbortest.Puller, "rotated-by-the-administrator")
		c.pulls(t, "team-a/app", "1.0")
	})
}

func TestHarborGrantsNothing(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		var denied *tokencache.NoGrantError
		if _, err := c.manifest(t.Context(), "team-b/secret", "1.0"); !errors.As(err, &denied) {
			t.Fatalf("error %v, want a *NoGrantError", err)
		}
		if status, err := c.get(t.Context(), "/v2/_catalog", "registry:catalog:*"); status != http.StatusUnauthorized {
			t.Errorf("catalog = %d, %v, want upstream's 401", status, err)
		}
		c.pulls(t, "team-a/app", "1.0")
		c.SetRights(harbortest.Puller, []string{"team-a", "team-b"}, nil)
		wait(11)
		c.pulls(t, "team-b/secret", "1.0")
	})
}

func TestHarborLosesItsDatabase(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		c.pulls(t, "team-a/app", "1.0")
		c.SetDown(harbortest.Database, true)
		// Its health notices only after its own interval: until then an outage looks
		// like a refusal.
		wait(30)
		var ill *tokencache.UnavailableError
		for range 3 {
			_, _ = c.manifest(t.Context(), "team-a/app", "1.0")
			wait(20)
		}
		if _, err := c.manifest(t.Context(), "team-a/app", "1.0"); !errors.As(err, &ill) || !strings.Contains(ill.Error(), "database") {
			t.Fatalf("error %v, want an *UnavailableError that names the database", err)
		}
		c.SetDown(harbortest.Database, false)
		back := time.Now()
		for {
			status, err := c.manifest(t.Context(), "team-a/app", "1.0")
			if status == http.StatusOK {
				break
			}
			if time.Since(back) > 20*time.Second {
				t.Fatalf("still %d, %v after %s", status, err, time.Since(back))
			}
			wait(1)
		}
	})
}

func TestHarborAcrossManyTokenLives(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		began := time.Now()
		for time.Since(began) < 3*time.Hour {
			c.pulls(t, "team-a/app", "1.0")
			wait(60)
		}
		if slices.ContainsFunc(c.Requests(), func(r harbortest.Request) bool {
			return r.IsManifest() && r.Status != http.StatusOK
		}) {
			t.Error("an expired token was used")
		}
	})
}

func TestHarborBehindTLSTermination(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		c.SetExternalURL("https://harbor.test")
		var elsewhere *tokencache.RealmError
		if _, err := c.manifest(t.Context(), "team-a/app", "1.0"); !errors.As(err, &elsewhere) {
			t.Fatalf("error %v, want a *RealmError", err)
		}
		if c.Count(harbortest.Request.IsToken) != 0 {
			t.Error("the token service was asked")
		}
	})
}

func TestHarborTokenServiceFaults(t *testing.T) {
	for name, fault := range map[string]harbortest.Fault{
		"429":  {Status: http.StatusTooManyRequests, RetryAfter: "7"},
		"503":  {Status: http.StatusServiceUnavailable},
		"HTML": {HTML: true},
		"slow": {Delay: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(t *testing.T, c *conversation) {
				fault.Match, fault.Times = harbortest.Tokens, 1
				c.AddFault(fault)
				var unavailable *tokencache.UnavailableError
				if _, err := c.manifest(t.Context(), "team-a/app", "1.0"); !errors.As(err, &unavailable) {
					t.Fatalf("error %v, want an *UnavailableError", err)
				}
				time.Sleep(unavailable.RetryAfter)
				c.pulls(t, "team-a/app", "1.0")
			})
		})
	}
}
