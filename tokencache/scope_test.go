package tokencache_test

import (
	"reflect"
	"strings"
	"testing"

	"breakwater/tokencache"
)

func TestParseScope(t *testing.T) {
	for text, want := range map[string]tokencache.Scope{
		"repository:team-a/app:pull":             {Type: "repository", Name: "team-a/app", Actions: []string{"pull"}},
		"repository:team-a/app:pull,push":        {Type: "repository", Name: "team-a/app", Actions: []string{"pull", "push"}},
		"registry:catalog:*":                     {Type: "registry", Name: "catalog", Actions: []string{"*"}},
		"repository:host.test:5000/a/b:pull":     {Type: "repository", Name: "host.test:5000/a/b", Actions: []string{"pull"}},
		"repository(plugin):samalba/my-app:pull": {Type: "repository(plugin)", Name: "samalba/my-app", Actions: []string{"pull"}},
	} {
		got, err := tokencache.ParseScope(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseScope(%q) = %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("String() = %q, want %q", got, text)
		}
	}
	for _, text := range []string{"", "repository", "repository:app", ":app:pull", "repository::pull", "repository:app:", "a:b:c d:e:f"} {
		if got, err := tokencache.ParseScope(text); err == nil {
			t.Errorf("ParseScope(%q) = %+v, want an error", text, got)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	f.Add("repository:team-a/app:pull,push")
	f.Add("registry:catalog:*")
	f.Add("::")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := tokencache.ParseScope(text)
		if err != nil {
			return
		}
		if s.String() != text {
			t.Fatalf("%q became %q", text, s)
		}
		if strings.Contains(text, " ") {
			t.Fatalf("%q holds a space, which separates scopes", text)
		}
	})
}
