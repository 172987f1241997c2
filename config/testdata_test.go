package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/config"
)

// TestEachMistakeSaysWhereWhatAndHow loads testdata: a file for each rule, which begins with
// the very lines that an operator sees.
func TestEachMistakeSaysWhereWhatAndHow(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata (%v)", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path, plain := written(t, name, string(data))
			c, err := config.Load(path)
			said := c.Warnings
			if strings.HasPrefix(name, "invalid-") {
				if !errors.As(err, &said) {
					t.Fatalf("Load = %v, want Problems", err)
				}
			} else if err != nil {
				t.Fatalf("Load = %v, want a warning only", err)
			}
			got := plain(said.Error())
			if want := wanted(string(data)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, hidden) {
				t.Error("the password was printed")
			}
			for _, p := range said {
				if p.Path == "" || p.Message == "" || p.Fix == "" {
					t.Errorf("a problem without path, message or fix: %#v", p)
				}
			}
		})
	}
}

// wanted is what the lines `# want: …` at the top of a file say.
func wanted(document string) string {
	var want []string
	for line := range strings.Lines(document) {
		text, ok := strings.CutPrefix(line, "# want: ")
		if !ok {
			break
		}
		want = append(want, strings.TrimSuffix(text, "\n"))
	}
	return strings.Join(want, "\n")
}
