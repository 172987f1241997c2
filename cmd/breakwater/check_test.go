package main

import (
	"bytes"
	"strings"
	"testing"

	"breakwater/internal/harbortest"
)

func TestCheck(t *testing.T) {
	harbor := harbortest.New()
	if err := harbortest.Seed(harbor); err != nil {
		t.Fatal(err)
	}
	server, err := harbor.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	password := harbortest.Password(harbortest.Puller)
	right := write(t, "password", password)
	file := write(t, "config.yaml", "upstreams:\n  harbor: {url: "+server.URL+", username: \""+harbortest.Puller+"\", password_file: "+right+"}\n")
	led := func(account, host, to, repositories string) string {
		return write(t, "routes.yaml", "upstreams:\n  harbor: {url: "+server.URL+account+"}\n"+
			"routes:\n  "+host+": {to: "+to+", repositories: ["+repositories+"]}\n")
	}
	mirrors := func(to, repositories string) string {
		return led(", username: \""+harbortest.Puller+"\", password_file: "+right, "quay.io", to, repositories)
	}
	flags := []string{"check", "--upstream", server.URL, "--username", harbortest.Puller, "--password-file", right}

	for name, file := range map[string]string{
		"another project": mirrors("harbor/team-a", `"team-*/**"`), "Docker Hub's": led("", "docker.io", "harbor/library", `"**"`),
	} {
		var stdout, stderr bytes.Buffer
		if run([]string{"check", "--config", file}, &stdout, &stderr); strings.Contains(stdout.String(), "registry-mirrors") {
			t.Errorf("%s: dockerd would be served well, and is warned of\n%s", name, stdout.String())
		}
	}

	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"a file":                           {[]string{"check", "--config", file, "--repository", "team-a/app"}, 0, "Everything that was tried works"},
		"a route":                          {[]string{"check", "--config", mirrors("harbor/team-a", `"**"`)}, 0, "project team-a may be pulled from"},
		"a route to no project":            {[]string{"check", "--config", mirrors("harbor/taem-a", `"**"`)}, 1, "has no pull on project taem-a, or there is no such project; quay.io leads there"},
		"a route whose patterns name none": {[]string{"check", "--config", mirrors("harbor", `"team-a/**", "taem-a/**"`)}, 1, "has no pull on project taem-a, or there is no such project; quay.io leads there"},
		"a route without an account":       {[]string{"check", "--config", led("", "quay.io", "harbor/team-a", `"**"`)}, 0, "whether project team-a is there was not told, for no account is configured"},
		"no mirror for dockerd":            {[]string{"check", "--config", mirrors("harbor/team-a", `"*/app"`)}, 0, "not one for registry-mirrors of dockerd, which would take library/base of quay.io"},
		"flags":                            {append(flags, "--repository", "team-a/app"), 0, "robot$team-a+puller may pull, and nothing else"},
		"no right":                         {append(flags, "--repository", "team-b/secret"), 1, "robot$team-a+puller has no pull on team-b/secret"},
		"no repository asked":              {flags, 0, "--repository"},
		"by a client's name":               {append(flags, "--repository", strings.ReplaceAll(strings.TrimPrefix(server.URL, "http://"), ":", "_")+"/team-a/app"), 0, "team-a/app"},
		"of no route":                      {append(flags, "--repository", "quay.io/team-a/app"), 2, "--repository quay.io/team-a/app"},
		"a wrong repository":               {append(flags, "--repository", "Team/App"), 2, `--repository "Team/App"`},
		"a folder to make":                 {append(flags, "--cache-dir", right+".d/cache"), 0, right + ".d/cache can be made by user"},
		"a file as folder":                 {append(flags, "--cache-dir", right), 1, right + " cannot be used by user"},
		"a folder in a file":               {append(flags, "--cache-dir", right+"/cache"), 1, "/cache cannot be used by user"},
		"a mistake":                        {[]string{"check", "--upstream", "harbor.example.com"}, 2, "--upstream"},
		"a mistake in a file":              {[]string{"check", "--config", write(t, "c.yaml", "upstreams: {}\n")}, 2, "upstreams"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(c.args, &stdout, &stderr)
		said := stdout.String() + stderr.String()
		if status != c.status || !strings.Contains(said, c.says) {
			t.Errorf("%s: exit status %d, want %d and %q\n%s", name, status, c.status, c.says, said)
		}
		if strings.Contains(said, password) {
			t.Errorf("%s: the password is printed", name)
		}
	}
}
