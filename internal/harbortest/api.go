package harbortest

import (
	"encoding/json"
	"net/http"
	"time"
)

// serveAPI answers the few questions of Harbor's own API that a registry client
// asks.
func (x *exchange) serveAPI() {
	switch x.r.URL.Path {
	case "/api/v2.0/ping":
		x.answerJSON(http.StatusOK, "text/plain", []byte("Pong"))
	case "/api/v2.0/health":
		x.serveHealth()
	case "/api/v2.0/systeminfo":
		x.serveSystemInfo()
	case "/api/version":
		x.answerJSON(http.StatusOK, "text/plain; charset=utf-8", []byte(`{"version":"v2.0"}`+"\n"))
	default:
		http.NotFound(x.w, x.r)
	}
}

type component struct {
	Error  string `json:"error,omitempty"`
	Name   string `json:"name"`
	Status string `json:"status"`
}

// serveHealth is always 200; the parts are named with what Harbor believed at
// its last check. Portal and registryctl do not run here, as they did not when
// Harbor was recorded.
func (x *exchange) serveHealth() {
	state := func(name string, healthy bool) component {
		if !healthy {
			return component{Error: "failed to check health: connection refused", Name: name, Status: "unhealthy"}
		}
		return component{Name: name, Status: "healthy"}
	}
	x.answer(struct {
		Components []component `json:"components"`
		Status     string      `json:"status"`
	}{[]component{
		state("core", true),
		state("database", x.h.thoughtHealthy(Database)),
		state("jobservice", true),
		state("portal", false),
		state("redis", x.h.thoughtHealthy(Redis)),
		state("registry", x.h.thoughtHealthy(Storage)),
		state("registryctl", false),
	}, "unhealthy"})
}

// serveSystemInfo names the version to those who have credentials only.
func (x *exchange) serveSystemInfo() {
	info := map[string]any{
		"auth_mode": "db_auth", "banner_message": "", "oidc_provider_name": "", "primary_auth_mode": false, "self_registration": false,
	}
	if x.h.identify(x.r).account != nil {
		info["harbor_version"] = "v2.16.0-c50c7ddd-c50c7ddd"
		info["external_url"] = x.h.scheme(x.r) + "://" + x.r.Host
		info["registry_url"] = x.r.Host
		info["current_time"] = time.Now().UTC().Format(time.RFC3339Nano)
		info["project_creation_restriction"] = "everyone"
		info["registry_storage_provider_name"] = "filesystem"
		info["has_ca_root"], info["notification_enable"] = false, true
		x.h.mu.Lock()
		info["read_only"] = x.h.readOnly
		x.h.mu.Unlock()
	}
	x.answer(info)
}

// answer sends a value as the API does.
func (x *exchange) answer(value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(x.w, err.Error(), http.StatusInternalServerError)
		return
	}
	x.answerJSON(http.StatusOK, "application/json", append(body, '\n'))
}
