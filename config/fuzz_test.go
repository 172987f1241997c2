package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"breakwater/config"

	"gopkg.in/yaml.v3"
)

func asYAML(t *testing.T, value any) string {
	t.Helper()
	data, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// toPaste is what a problem may have besides its one line.
var toPaste = regexp.MustCompile(`:\n *anonymous:\n *networks:\n *- 10\.0\.0\.0/8   # where your clients are$`)

// FuzzParse holds that any document is either refused with one readable line for
// each problem, or means the same when it is written out and read again.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds (%v)", err)
	}
	for _, file := range append(files, "example.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(everything))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("config.yaml", data)
		if err != nil {
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("an error that is no Problems: %#v", err)
			}
			for _, p := range problems {
				if p.Path == "" || p.Message == "" || p.Fix == "" || p.File != "config.yaml" {
					t.Errorf("a problem without file, path, message or fix: %#v", p)
				}
				if strings.ContainsAny(toPaste.ReplaceAllString(p.Error(), ""), "\n\r") {
					t.Errorf("a problem of several lines: %q", p.Error())
				}
			}
			return
		}
		for _, l := range c.Listeners {
			if loopback := regexp.MustCompile(`^(127\.|localhost|\[::1\]|\[::ffff:127)`).MatchString(string(l.Address)); !loopback && asks(l) == 0 {
				t.Errorf("%s is open to everybody: %s", l.Address, asYAML(t, l))
			}
		}
		fits(t, c)
		again, err := config.Parse("config.yaml", []byte(asYAML(t, c)))
		if err != nil {
			t.Fatalf("what was accepted is refused once written out: %v\n%s", err, asYAML(t, c))
		}
		if got, want := asYAML(t, again), asYAML(t, c); got != want {
			t.Errorf("written out and read again\n%s\nis\n%s", want, got)
		}
	})
}
