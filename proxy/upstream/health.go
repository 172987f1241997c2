package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	healthPath    = "/api/v2.0/health"
	healthTimeout = 3 * time.Second
	maxHealthBody = 64 << 10
)

// Health asks Harbor how it is. It returns an error that names the unhealthy
// component, nil when all is well or when upstream has no such page (no
// Harbor). The page needs no credentials, always answers 200, and follows a
// fault only after Harbor's own check interval.
func (c *Client) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.JoinPath(healthPath).String(), nil)
	if err != nil {
		return err
	}
	resp, err := c.control.RoundTrip(req)
	if err != nil {
		return err
	}
	defer Drop(resp)
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("its health page answers %s", resp.Status)
	}
	var page struct {
		Components []struct {
			Name, Status, Error string
		}
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, maxHealthBody)).Decode(&page) != nil {
		return nil // no Harbor, or none that tells
	}
	for _, component := range page.Components {
		// Only what tokens and rights are read from: scanner or job service may
		// be down for days without a pull noticing.
		if (component.Name == "database" || component.Name == "core") && component.Status == "unhealthy" {
			return fmt.Errorf("Harbor's %s is unhealthy", component.Name)
		}
	}
	return nil
}
