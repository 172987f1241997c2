package config_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/config"

	"gopkg.in/yaml.v3"
)

const minimal = "upstreams: {harbor: {url: https://harbor.example.com}}\n"

// everything sets every key that can be set at once.
const everything = `
cache: {dir: /var/lib/breakwater, max_size: 60GiB, min_free: 20GB, memory: 128MiB, lock_wait: 0s}
upstreams:
  harbor:
    url: https://harbor.example.com:8443/
    username: robot$breakwater
    password_file: /secrets/password
    token_url: https://token.example.com/service/token
    realms: ["https://auth.example.com"]
    ca_file: /secrets/ca.pem
    cert_file: /secrets/cert.pem
    key_file: /secrets/key.pem
    redirects: &networks [10.0.0.0/8, "fd00::/8"]
    tag_ttl: 1m
    stale_if_error: forever
    access_ttl: 5m
    denial_confirm: 10s
    record_pull: 0s
    proxy_settle: 1h
  region: {url: "https://region.example.com:5443", bearer_token_file: /secrets/token}
routes:
  docker.io: {to: harbor/hub-proxy, proxy_cache: true, repositories: ["**"]}
  quay.io: {to: harbor/quay_proxy, proxy_cache: true, tag_ttl: 0s, repositories: [prometheus/*]}
  "harbor.example.com:8443": {to: harbor, complete: true, repositories: ["team-a/**", team-b/app]}
  ghcr.io: {to: region, repositories: ["**"]}
listeners:
  - {address: "localhost:5000", default: docker.io}
  - {address: "[::1]:0", anonymous: {}, allow: [{pull: ["*/team-a/**", "harbor.example.com:8443/team-a/**"]}], hide: true}
  - {address: ":5001", anonymous: {networks: *networks}, limits: {connections: 1, address_pulls: 2, subject_pulls: 1000000}}
  - address: ":5002"
    tls: &tls {cert_file: /secrets/cert.pem, key_file: /secrets/key.pem}
    password: {htpasswd_file: /secrets/htpasswd}
    allow: &rules [{subjects: [alice, "ci-*"], groups: [platform], pull: ["docker.io/**", "harbor.example.com:8443/team-b/app"]}, {subjects: ["carol*"], pull: ["**"]}]
  - address: ":5003"
    tls: *tls
    token: {issuer: "https://issuer.example.com/A/", audience: breakwater, ca_file: /secrets/ca.pem, bearer_token_file: /secrets/token}
    allow: *rules
  - address: ":5004"
    tls: *tls
    token:
      - {issuer: "http://127.0.0.1:8080", audience: breakwater, prefix: "ci:", subject_claim: email, groups_claim: roles}
      - {issuer: "http://issuer.example.com", audience: breakwater, prefix: "dev:", jwks_file: /secrets/jwks.json}
    allow: *rules
  - {address: ":5005", tls: *tls, mtls: {ca_file: /secrets/clients.pem}, allow: *rules}
  - {address: ":5006", tls: *tls, harbor: {upstream: harbor}}
admin: {address: ""}
log: {level: debug}
shutdown_grace: 1m30s
`

func TestWhatIsNotWrittenIsTheDefault(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", folder)
	got, err := config.Parse("config.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	harbor := got.Upstreams["harbor"]
	if harbor.Name != "harbor" || harbor.URL.String() != "https://harbor.example.com" {
		t.Errorf("upstream = %+v", harbor)
	}
	if harbor.TokenURL.URL != nil {
		t.Error("a token URL that was not written must be nil")
	}
	defaults := config.DefaultUpstream()
	if harbor.TagTTL != defaults.TagTTL || harbor.RecordPull != defaults.RecordPull {
		t.Errorf("what was not written of the upstream is not the default: %+v", harbor)
	}
	want := config.Default()
	want.Upstreams, want.Cache.Dir, want.Cache.Default = got.Upstreams, folder+"/breakwater", true
	want.Routes = map[string]config.Route{"harbor.example.com": {To: "harbor", TagTTL: defaults.TagTTL, Repositories: []string{"**"}}}
	want.Listeners[0].Default = "harbor.example.com"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNoListenersIsTheDefaultOne(t *testing.T) {
	got, err := config.Parse("config.yaml", []byte(minimal+"listeners: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default().Listeners
	want[0].Default = "harbor.example.com"
	if !reflect.DeepEqual(got.Listeners, want) {
		t.Errorf("listeners = %v", got.Listeners)
	}
}

func TestEveryValueIsRead(t *testing.T) {
	path, plain := written(t, "config.yaml", everything)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams["harbor"]
	for what, pair := range map[string][2]any{
		"dir":       {c.Cache.Dir, "/var/lib/breakwater"},
		"max_size":  {c.Cache.MaxSize, 60 * config.GiB},
		"min_free":  {c.Cache.MinFree, config.Reserve{Size: 20_000_000_000}},
		"memory":    {c.Cache.Memory, 128 * config.MiB},
		"lock_wait": {c.Cache.LockWait.Duration, time.Duration(0)},
		"default":   {c.Cache.Default, false},
		"tag_ttl":   {u.TagTTL.Duration, time.Minute},
		"stale":     {u.StaleIfError.Duration, config.Forever},
		"access":    {u.AccessTTL.Duration, 5 * time.Minute},
		"denial":    {u.DenialConfirm.Duration, 10 * time.Second},
		"record":    {u.RecordPull.Duration, time.Duration(0)},
		"settle":    {u.ProxySettle.Duration, time.Hour},
		"docker.io": {fmt.Sprint(c.Routes["docker.io"]), "{harbor/hub-proxy true false 15m [**]}"},
		"quay.io":   {fmt.Sprint(c.Routes["quay.io"]), "{harbor/quay_proxy true false 0s [prometheus/*]}"},
		"harbor":    {fmt.Sprint(c.Routes["harbor.example.com:8443"]), "{harbor false true 1m [team-a/** team-b/app]}"},
		"ghcr.io":   {fmt.Sprint(c.Routes["ghcr.io"]), "{region false false 10s [**]}"},
		"bearer":    {plain(c.Upstreams["region"].BearerTokenFile), "/secrets/token"},
		"url":       {u.URL.Host, "harbor.example.com:8443"},
		"username":  {u.Username, "robot$breakwater"},
		"token_url": {u.TokenURL.Path, "/service/token"},
		"realms":    {fmt.Sprint(u.Realms), "[https://auth.example.com]"},
		"files":     {plain(fmt.Sprint(c.Files())), "[/secrets/ca.pem /secrets/cert.pem /secrets/clients.pem /secrets/htpasswd /secrets/jwks.json /secrets/key.pem /secrets/password]"},
		"redirects": {fmt.Sprint(u.Redirects), "[10.0.0.0/8 fd00::/8]"},
		"admin":     {c.Admin.Address, config.Address("")},
		"level":     {c.Log.Level, "debug"},
		"grace":     {c.ShutdownGrace.Duration, 90 * time.Second},
		"warnings":  {len(c.Warnings), 0},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %v, want %v", what, pair[0], pair[1])
		}
	}
	for i, want := range []string{
		"{address: localhost:5000, default: docker.io, anonymous: {networks: [127.0.0.0/8, '::1/128']}, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
		"{address: '[::1]:0', anonymous: {networks: [127.0.0.0/8, '::1/128']}, allow: [{pull: ['*/team-a/**', 'harbor.example.com:8443/team-a/**']}], hide: true, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
		"{address: ':5001', anonymous: {networks: [10.0.0.0/8, 'fd00::/8']}, limits: {connections: 1, address_pulls: 2, subject_pulls: 1000000}}",
		"{address: ':5002', tls: TLS, password: {htpasswd_file: /secrets/htpasswd}, allow: RULES, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
		"{address: ':5003', tls: TLS, token: [{issuer: 'https://issuer.example.com/A/', audience: breakwater, ca_file: /secrets/ca.pem, bearer_token_file: /secrets/token, subject_claim: sub, groups_claim: groups}], allow: RULES, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
		"{address: ':5004', tls: TLS, token: [{issuer: 'http://127.0.0.1:8080', audience: breakwater, prefix: 'ci:', subject_claim: email, groups_claim: roles}, {issuer: 'http://issuer.example.com', audience: breakwater, jwks_file: /secrets/jwks.json, prefix: 'dev:', subject_claim: sub, groups_claim: groups}], allow: RULES, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
		"{address: ':5005', tls: TLS, mtls: {ca_file: /secrets/clients.pem}, allow: RULES, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
		"{address: ':5006', tls: TLS, harbor: {upstream: harbor}, limits: {connections: 1024, address_pulls: 256, subject_pulls: 4096}}",
	} {
		want = strings.NewReplacer("TLS", "{cert_file: /secrets/cert.pem, key_file: /secrets/key.pem}",
			"RULES", "[{subjects: [alice, ci-*], groups: [platform], pull: [docker.io/**, 'harbor.example.com:8443/team-b/app']}, {subjects: [carol*], pull: ['**']}]").Replace(want)
		if got := plain(asYAML(t, c.Listeners[i])); got != block(t, want) {
			t.Errorf("listeners[%d] is\n%swant\n%s", i, got, block(t, want))
		}
	}
	if !u.Redirects[0].Contains(u.Redirects[0].Addr().Next()) {
		t.Error("a network must work as a prefix")
	}
}

// block is a YAML text as asYAML would write it.
func block(t *testing.T, flow string) string {
	t.Helper()
	var tree yaml.Node
	if err := yaml.Unmarshal([]byte(flow), &tree); err != nil {
		t.Fatal(err)
	}
	var value any = unstyled(&tree)
	return asYAML(t, value)
}

func unstyled(n *yaml.Node) *yaml.Node {
	n.Style = 0
	for _, child := range n.Content {
		unstyled(child)
	}
	return n
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]config.Size{
		"67108864": 64 << 20, "67108864B": 64 << 20, "65536 KiB": 64 << 20, "64MiB": 64 << 20, "1TiB": 1 << 40,
		"68000kB": 68e6, "68MB": 68e6, "1GB": 1e9, "2TB": 2e12,
	} {
		c, err := config.Parse("c", []byte(minimal+"cache: {dir: /c, max_size: "+text+"}\n"))
		if err != nil || c.Cache.MaxSize != want {
			t.Errorf("%s = %d (%v), want %d", text, c.Cache.MaxSize, err, want)
		}
	}
	for size, want := range map[config.Size]string{0: "0", 1000: "1000", 1 << 10: "1KiB", 1536 << 20: "1536MiB", 3 << 40: "3TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is printed as %s, want %s", int64(size), got, want)
		}
	}
	for _, text := range []string{"1K", "64Mi", "64mib", "1.5GiB", "-1GiB", "+64MiB", "GiB", "0x4000000", "64MiB/s", "9223372036854775808", "''"} {
		if c, err := config.Parse("c", []byte(minimal+"cache: {dir: /c, max_size: "+text+"}\n")); err == nil {
			t.Errorf("%s was taken for %d bytes", text, c.Cache.MaxSize)
		}
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", time.Minute: "1m", 30 * time.Minute: "30m", 90 * time.Minute: "1h30m",
		10 * time.Hour: "10h", time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms", config.Forever: "2562047h47m16.854775807s",
	} {
		if got := (config.Duration{Duration: d}).String(); got != want {
			t.Errorf("%s is printed as %s, want %s", d, got, want)
		}
	}
	if got := (config.Period{Duration: config.Forever}).String(); got != "forever" {
		t.Errorf("forever is printed as %s", got)
	}
}

// TestPlainHTTPOnThisMachine draws no warning: nobody listens on the way.
func TestPlainHTTPOnThisMachine(t *testing.T) {
	for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:8080"} {
		c, err := config.Parse("config.yaml", []byte("upstreams: {harbor: {url: 'http://"+host+"', username: robot$a, password_env: HARBOR_PASSWORD}}"))
		if err != nil || len(c.Warnings) > 0 {
			t.Errorf("%s: %v, warnings %v", host, err, c.Warnings)
		}
	}
}
