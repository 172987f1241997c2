package tokencache_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"breakwater/tokencache"
)

func fields(values ...string) http.Header { return http.Header{"Www-Authenticate": values} }

func TestParseChallenges(t *testing.T) {
	type params = map[string]string
	bearer := func(p params) tokencache.Challenge { return tokencache.Challenge{Scheme: "bearer", Parameters: p} }
	basic := func(realm string) tokencache.Challenge {
		return tokencache.Challenge{Scheme: "basic", Parameters: params{"realm": realm}}
	}
	for name, test := range map[string]struct {
		fields []string
		want   []tokencache.Challenge
	}{
		"none":         {nil, nil},
		"empty":        {[]string{""}, nil},
		"spaces":       {[]string{"  ", "\t"}, nil},
		"commas alone": {[]string{" , ,"}, nil},
		"Harbor, Bearer": {[]string{`Bearer realm="http://127.0.0.1:8880/service/token",service="harbor-registry",scope="repository:team-a/app:pull"`},
			[]tokencache.Challenge{bearer(params{"realm": "http://127.0.0.1:8880/service/token", "service": "harbor-registry", "scope": "repository:team-a/app:pull"})}},
		"Harbor, Basic": {[]string{`Basic realm="harbor"`}, []tokencache.Challenge{basic("harbor")}},
		"commas and two scopes in quotes": {[]string{`Bearer realm="r", scope="repository:a/b:pull,push repository:c/d:pull"`},
			[]tokencache.Challenge{bearer(params{"realm": "r", "scope": "repository:a/b:pull,push repository:c/d:pull"})}},
		"two in one field": {[]string{`Basic realm="a", Bearer realm="b",service="c"`},
			[]tokencache.Challenge{basic("a"), bearer(params{"realm": "b", "service": "c"})}},
		"two fields": {[]string{`Bearer realm="b"`, `Basic realm="a"`},
			[]tokencache.Challenge{bearer(params{"realm": "b"}), basic("a")}},
		"an empty field between": {[]string{"", `Basic realm="a"`}, []tokencache.Challenge{basic("a")}},
		"case":                   {[]string{`BEARER Realm="B"`, `bearer REALM=b`}, []tokencache.Challenge{bearer(params{"realm": "B"}), bearer(params{"realm": "b"})}},
		"escaped quotes":         {[]string{`Basic realm="a \"b\", \\c"`}, []tokencache.Challenge{basic(`a "b", \c`)}},
		"a scheme in quotes":     {[]string{`Basic realm="x, Bearer realm=y"`}, []tokencache.Challenge{basic("x, Bearer realm=y")}},
		"white space":            {[]string{"  Basic\trealm = \"a\" ,\t,  Bearer  realm=\"b\"  ,"}, []tokencache.Challenge{basic("a"), bearer(params{"realm": "b"})}},
		"token68":                {[]string{`Negotiate YWJj/+==, Basic realm="a"`}, []tokencache.Challenge{{Scheme: "negotiate", Token68: "YWJj/+=="}, basic("a")}},
		"token68, one padding":   {[]string{`Negotiate abc=`}, []tokencache.Challenge{{Scheme: "negotiate", Token68: "abc="}}},
		"bare schemes":           {[]string{`Negotiate, NTLM , Basic realm="a"`}, []tokencache.Challenge{{Scheme: "negotiate"}, {Scheme: "ntlm"}, basic("a")}},
		"a repeated parameter":   {[]string{`Basic realm="a", realm="evil"`}, []tokencache.Challenge{basic("a")}},
		"RFC 9110 §11.6.1": {[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]tokencache.Challenge{basic("simple"), {Scheme: "newauth", Parameters: params{"realm": "apps", "type": "1", "title": `Login to "apps"`}}}},
		"open quotes":              {[]string{`Basic realm="a`}, nil},
		"open escape":              {[]string{`Basic realm="a\`}, nil},
		"no value":                 {[]string{`Basic realm=, Bearer realm="b"`}, []tokencache.Challenge{{Scheme: "basic", Token68: "realm="}, bearer(params{"realm": "b"})}},
		"garbage":                  {[]string{`"`, `=`, `@ realm="a"`}, nil},
		"a fault after a good one": {[]string{`Basic realm="a", Bearer realm="b" oops`, `Digest realm="d"`}, []tokencache.Challenge{basic("a"), {Scheme: "digest", Parameters: params{"realm": "d"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tokencache.ParseChallenges(fields(test.fields...)); !reflect.DeepEqual(got, test.want) {
				t.Errorf("ParseChallenges(%q)\n got %+v\nwant %+v", test.fields, got, test.want)
			}
		})
	}
}

// written is a challenge as a server would send it.
func written(c tokencache.Challenge) string {
	text := c.Scheme
	if c.Token68 != "" {
		return text + " " + c.Token68
	}
	separator := " "
	for name, value := range c.Parameters {
		text += separator + name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
		separator = ", "
	}
	return text
}

func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="http://h/service/token",service="harbor-registry",scope="repository:a/b:pull,push"`,
		`Basic realm="a \"b\""`, `Negotiate YWJj==, Basic realm=x`, `a=b, c d=e`, `Basic realm="`, "", ",,", `x  y`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		challenges := tokencache.ParseChallenges(fields(field))
		var all []string
		for _, c := range challenges {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) {
				t.Fatalf("%q: scheme %q", field, c.Scheme)
			}
			if c.Token68 != "" && c.Parameters != nil {
				t.Fatalf("%q: both forms in %+v", field, c)
			}
			all = append(all, written(c))
		}
		again := tokencache.ParseChallenges(fields(strings.Join(all, ", ")))
		if !reflect.DeepEqual(challenges, again) {
			t.Fatalf("%q\n  is %+v,\nbut %q\n  is %+v", field, challenges, all, again)
		}
	})
}
