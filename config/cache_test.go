package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"breakwater/config"
)

func TestCacheWithoutAFolder(t *testing.T) {
	home := t.TempDir()
	for _, test := range []struct{ name, home, xdg, dir, warning string }{
		{"home", home, "", home + "/.cache/breakwater", ""},
		{"root's home in a container", "/", "", "/.cache/breakwater", ""},
		{"XDG", home, home + "/elsewhere", home + "/elsewhere/breakwater", ""},
		{"no home", "", "", "", "cache.dir"},
		{"relative home", "somewhere", "", "", "cache.dir"},
		{"relative XDG", home, "somewhere", "", "cache.dir"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("HOME", test.home)
			t.Setenv("XDG_CACHE_HOME", test.xdg)
			c, err := config.Parse("config.yaml", []byte(minimal+"cache: {max_size: 1GiB, min_free: 5%}\n"))
			if err != nil {
				t.Fatal(err)
			}
			if c.Cache.Dir != test.dir || !c.Cache.Default {
				t.Errorf("the cache is in %q, default %t; want %q", c.Cache.Dir, c.Cache.Default, test.dir)
			}
			var warning string
			if len(c.Warnings) > 0 {
				warning = c.Warnings[0].Path
			}
			if warning != test.warning {
				t.Errorf("warnings %v, want %q", c.Warnings, test.warning)
			}
		})
	}
}

// TestLoadCache needs neither the password nor an upstream on the command line.
func TestLoadCache(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(folder, "home"))
	file := filepath.Join(folder, "config.yaml")
	document := "cache: {dir: /var/cache/x, max_size: 1GiB}\n" +
		"upstreams: {harbor: {url: https://harbor.example.com, username: robot$a, password_file: /no/such/file}}\n"
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, dir string
		want      string
		size      config.Size
		isDefault bool
	}{
		{file, "", "/var/cache/x", config.GiB, false},
		{"", "relative", folder + "/relative", 10 * config.GiB, false},
		{"", "/absolute", "/absolute", 10 * config.GiB, false},
		{"", "", folder + "/home/breakwater", 10 * config.GiB, true},
	} {
		c, err := config.LoadCache(test.path, test.dir)
		if err != nil {
			t.Fatal(err)
		}
		if c.Dir != test.want || c.MaxSize != test.size || c.Default != test.isDefault || c.LockWait != config.Default().Cache.LockWait {
			t.Errorf("LoadCache(%q, %q) = %+v", test.path, test.dir, c)
		}
	}

	want := "none.yaml: document: none.yaml cannot be read: no such file or directory; create the file, or name the right one"
	if _, err := config.LoadCache("none.yaml", ""); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := os.WriteFile(file, []byte("cache: {dirr: /x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want = file + `:1: cache.dirr: unknown key; did you mean "dir"?` + "\n" + file + ":1: upstreams: is missing: there is nothing to serve; write upstreams: {harbor: {url: https://harbor.example.com}}"
	if _, err := config.LoadCache(file, ""); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
