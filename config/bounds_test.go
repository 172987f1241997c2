package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/config"
)

func TestBoundsOfADocument(t *testing.T) {
	long := strings.Repeat("9", 100)
	flood := "upstreams:\n  harbor:\n    redirects: &r [" + strings.Repeat("10.0.0.0/8,", 50_000) + "]\n" +
		"  a: &a {redirects: *r}\n" + "  b: *a\n  c: *a\n  d: *a\n"
	for what, test := range map[string]struct{ document, want string }{
		"too large": {strings.Repeat("#", 1<<20+1), "config.yaml: document: is larger than 1MiB; name the configuration file"},
		"too many":  {flood, "config.yaml:1: document: stands for too many values once its aliases are followed; write the values out"},
		"long":      {"shutdown_grace: " + long, "config.yaml:1: shutdown_grace: \"" + long[:64] + "…\" is not a duration; "},
		"listeners": {minimal + "listeners: [" + strings.Repeat("{address: ':0'},", 1000) + "]", "config.yaml:2: listeners: has 1000 entries; keep at most 64"},
		"routes":    {minimal + "routes: {" + numbered(1001, "r%d.example.com: {to: harbor, repositories: ['**']}, ") + "}", "config.yaml:2: routes: has 1001 entries; write 1 to 1000; without one nothing can be pulled"},
		"patterns":  {minimal + "routes: {docker.io: {to: harbor/hub, repositories: [" + numbered(1001, "a/%d, ") + "]}}", "config.yaml:2: routes.\"docker.io\".repositories: has 1001 entries; write 1 to 1000 patterns"},
		"upstreams": {"upstreams: {" + numbered(65, "u%d: {url: 'https://u%[1]d.example.com'}, ") + "}", "config.yaml:1: upstreams: has 65 entries; keep at most 64"},
		"name":      {minimal + "routes: {" + strings.Repeat("a", 256) + ": {to: harbor, repositories: ['**']}}", "config.yaml:2: routes.\"" + strings.Repeat("a", 64) + "…\": is not the name of a registry; "},
		"prefix":    {minimal + "routes: {docker.io: {to: harbor/" + strings.Repeat("a", 256) + ", repositories: ['**']}}", "config.yaml:2: routes.\"docker.io\".to: \"" + strings.Repeat("a", 64) + "…\" cannot come before a repository's name; "},
		"broken":    {"a: 'x\n" + strings.Repeat("#\n", 2000), "config.yaml: document: is not YAML: found unexpected end of stream; "},
		"itself":    {"upstreams: &u {harbor: *u}\n", "config.yaml:1: upstreams.harbor.harbor: unknown key; the keys here are "},
	} {
		_, err := config.Parse("config.yaml", []byte(test.document))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.300v, want %s", what, err, test.want)
		}
	}

	_, err := config.Parse("config.yaml", []byte(strings.Repeat("a: 1\n", 1000)+numbered(1000, "key%d: 1\n")))
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 100 {
		t.Errorf("%d problems, want 100", len(problems))
	}
}

// numbered repeats a text with the numbers from 0 on.
func numbered(count int, text string) string {
	var document strings.Builder
	for i := range count {
		fmt.Fprintf(&document, text, i)
	}
	return document.String()
}

func TestLoadNamesAFileThatIsNotThere(t *testing.T) {
	folder := t.TempDir()
	large := filepath.Join(folder, "large")
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(folder, "none"): "cannot be read: no such file or directory; create the file, or name the right one",
		folder:                        "cannot be read: is a directory; name the right file",
		large:                         "cannot be read: it is larger than 1MiB; name the right file",
	} {
		_, err := config.Load(path)
		want = fmt.Sprintf("%s: document: %s %s", path, path, want)
		if err == nil || err.Error() != want {
			t.Errorf("Load = %v\nwant   %s", err, want)
		}
	}
}
