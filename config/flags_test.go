package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"breakwater/config"
)

// fromFlags runs args through a flag set, as the program does.
func fromFlags(t *testing.T, args ...string) (config.Config, error) {
	t.Helper()
	var f config.Flags
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.Declare(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.FromFlags(f)
}

// noEnvironment clears what the machine of the test may have set.
func noEnvironment(t *testing.T) {
	t.Setenv("BREAKWATER_USERNAME", "")
	t.Setenv("BREAKWATER_PASSWORD", "")
}

func TestFlagsSayWhatAFileSays(t *testing.T) {
	noEnvironment(t)
	t.Chdir(secrets(t))
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got, err := fromFlags(t, "--upstream", "https://harbor.example.com", "--username", "robot$breakwater", "--password-file", "password",
		"--listen", ":5555", "--anonymous", "10.42.0.0/16", "--anonymous", "127.0.0.0/8", "--admin-listen", "", "--cache-dir", "cache", "--max-size", "1GiB", "--proxy-cache", "docker.io=hub", "--proxy-cache", "quay.io=quay-proxy", "--default", "docker.io")
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Parse("config.yaml", []byte(`
cache: {dir: `+folder+`/cache, max_size: 1GiB}
upstreams:
  harbor: {url: https://harbor.example.com, username: robot$breakwater, password_file: `+folder+`/password}
routes:
  harbor.example.com: {to: harbor, repositories: ["**"]}
  docker.io: {to: harbor/hub, proxy_cache: true, repositories: ["**"]}
  quay.io: {to: harbor/quay-proxy, proxy_cache: true, repositories: ["**"]}
listeners: [{address: ':5555', default: docker.io, anonymous: {networks: [10.42.0.0/16, 127.0.0.0/8]}}]
admin: {address: ""}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, gotPassword, err := got.Upstreams["harbor"].Credentials()
	if err != nil || gotPassword.Reveal() != hidden {
		t.Errorf("password = %q, %v", gotPassword.Reveal(), err)
	}
	// How errors name the source of the password is the one difference.
	if a, b := asYAML(t, got), asYAML(t, want); a != b {
		t.Errorf("flags\n%s\nfile\n%s", a, b)
	}
}

func TestFlagsBeginWithTheDefaults(t *testing.T) {
	noEnvironment(t)
	got, err := fromFlags(t, "--upstream", "https://harbor.example.com")
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Parse("config.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := asYAML(t, got), asYAML(t, want); a != b {
		t.Errorf("flags\n%s\nfile\n%s", a, b)
	}
}

func TestSecretsOfFlagsFromTheEnvironment(t *testing.T) {
	t.Setenv("BREAKWATER_USERNAME", "robot$environment")
	t.Setenv("BREAKWATER_PASSWORD", "from-environment")
	c, err := fromFlags(t, "--upstream", "https://harbor.example.com")
	if err != nil {
		t.Fatal(err)
	}
	username, password, err := c.Upstreams["harbor"].Credentials()
	if username != "robot$environment" || password.Reveal() != "from-environment" || err != nil {
		t.Errorf("Credentials = %q, %q, %v", username, password.Reveal(), err)
	}

	file := filepath.Join(secrets(t), "password")
	c, err = fromFlags(t, "--upstream", "https://harbor.example.com", "--username", "robot$flag", "--password-file", file)
	if err != nil {
		t.Fatal(err)
	}
	username, password, err = c.Upstreams["harbor"].Credentials()
	if username != "robot$flag" || password.Reveal() != hidden || err != nil {
		t.Errorf("what a flag says must win: %q, %q, %v", username, password.Reveal(), err)
	}
}

func TestErrorsNameTheFlag(t *testing.T) {
	const url = "--upstream=https://harbor.example.com"
	for _, test := range []struct {
		args     []string
		password string // in the environment
		want     []string
	}{
		{nil, "", []string{"--upstream: is missing; write the address of the registry, such as https://harbor.example.com"}},
		{[]string{"--upstream", "harbor.example.com"}, "", []string{"--upstream: is not a URL that begins with https:// (or http://) and a host; write it whole, such as https://harbor.example.com"}},
		{[]string{url, "--username", "robot$a"}, "", []string{"--username: is without a password; add --password-file or BREAKWATER_PASSWORD"}},
		{[]string{url, "--password-file", "/no-such-file"}, "", []string{
			"--password-file: is without a user name; add --username"}},
		{[]string{url, "--username", "robot$a", "--password-file", "/no-such-file"}, "", []string{
			"--password-file: /no-such-file cannot be read: no such file or directory; create the file, or name the right one"}},
		{[]string{url}, hidden, []string{"BREAKWATER_PASSWORD: is without a user name; add --username"}},
		{[]string{url, "--username", "robot%24a"}, hidden, []string{`--username: "robot%24a" is written for a URL, and Harbor refuses it; write robot$a`}},
		{[]string{url, "--listen", "", "--max-size", "1G", "--admin-listen", "localhost"}, "", []string{
			`--admin-listen: "localhost" is not an address to listen on; write an IP address or localhost, a colon and a port, such as 127.0.0.1:5000`,
			"--listen: is missing; write one, such as 127.0.0.1:5000",
			`--max-size: "1G" is not a size; write a whole number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 60GiB`}},
		{[]string{url, "--admin-listen", "127.0.0.1:5000"}, "", []string{"--admin-listen: 127.0.0.1:5000 is taken by --listen; choose another port, such as 9090"}},
		{[]string{url, "--max-size", "1MiB"}, "", []string{"--max-size: 1MiB is too small to hold an image; write at least 64MiB"}},
		{[]string{url, "--listen", ":5000", "--username", "robot$a"}, hidden, []string{
			"--listen: :5000 can be reached from other machines, and nothing says who may pull with the account of --upstream; add --anonymous 10.0.0.0/8, or wherever your clients are; or in a file given with --config these three lines to the listener (or one of password, token, mtls, harbor):",
			"    anonymous:", "      networks:", "        - 10.0.0.0/8   # where your clients are"}},
		{[]string{url, "--listen", ":5000", "--anonymous", "10.0.0.1/8", "--anonymous", "hosts"}, "", []string{
			`--anonymous "10.0.0.1/8": "10.0.0.1/8" has bits beyond its length; write 10.0.0.0/8`,
			`--anonymous "hosts": "hosts" is not a network; write an address and a length, such as 10.0.0.0/8 or fd00::/8`}},
		{[]string{url, "--proxy-cache", "hub", "--proxy-cache", "docker.io=Hub Proxy", "--proxy-cache", "index.docker.io/x=hub", "--proxy-cache", "quay.io="}, "", []string{
			`--proxy-cache "docker.io=Hub Proxy": "Hub Proxy" is not the name of a project; write it as Harbor does, such as docker.io=hub-proxy`,
			`--proxy-cache "hub": names a project only; write what clients call the registry that it stands for too, such as docker.io=hub`,
			`--proxy-cache "index.docker.io/x=hub": is more than the name of a registry; write index.docker.io`,
			`--proxy-cache "quay.io=": "" is not the name of a project; write it as Harbor does, such as docker.io=hub-proxy`}},
		{[]string{url, "--proxy-cache", "docker.io=a", "--proxy-cache", "docker.io=b", "--proxy-cache", "harbor.example.com=c"}, "", []string{
			`--proxy-cache "docker.io=b": "docker.io" leads elsewhere by --proxy-cache "docker.io=a"; remove one of the two`,
			`--proxy-cache "harbor.example.com=c": "harbor.example.com" leads elsewhere by --upstream; remove one of the two`}},
		{[]string{url, "--proxy-cache", "docker.io=hub", "--proxy-cache", "mirror.example.com=hub"}, "", []string{
			`--proxy-cache "mirror.example.com=hub": opens what ** of docker.io opens, and both lead to the same place; leave each repository to one of them`}},
		{[]string{url, "--proxy-cache", "docker.io=hub", "--default", "dockr.io"}, "", []string{`--default: "dockr.io" is not the name of a route; did you mean "docker.io"?`}},
		{[]string{"--upstream", "http://harbor_core:8080"}, "", []string{
			`--upstream: has a host that cannot be the name of a registry in an image reference, and no other name leads here; in a file given with --config write one that can, such as routes: {registry.example.com: {to: harbor, repositories: ["**"]}}`}},
		{[]string{"--upstream", "http://localhost:5000"}, "", []string{
			"--upstream: is --listen of this very Breakwater, which would ask itself; write the address of the registry behind it, or choose another port for --listen"}},
	} {
		noEnvironment(t)
		t.Setenv("BREAKWATER_PASSWORD", test.password)
		_, err := fromFlags(t, test.args...)
		if want := strings.Join(test.want, "\n"); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", test.args, err, want)
		}
	}
}

func TestWarningsOfFlags(t *testing.T) {
	noEnvironment(t)
	t.Setenv("BREAKWATER_PASSWORD", hidden)
	c, err := fromFlags(t, "--upstream", "http://harbor.example.com", "--username", "jane", "--listen", ":5000", "--anonymous", "0.0.0.0/0")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, warning := range c.Warnings {
		paths = append(paths, warning.Path)
	}
	if want := []string{`--anonymous "0.0.0.0/0"`, "--upstream", "--username"}; !reflect.DeepEqual(paths, want) {
		t.Errorf("warnings at %q, want %q", paths, want)
	}
}
