package config_test

import (
	"errors"
	"os"
	"testing"

	"breakwater/config"
)

func TestCredentialsAreReadAnew(t *testing.T) {
	path, plain := written(t, "config.yaml", `
upstreams:
  harbor: {url: https://harbor.example.com, username: robot$breakwater, password_file: /secrets/password}
`)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams["harbor"]
	for content, want := range map[string]string{
		"rotated": "rotated", "rotated\n": "rotated", "rotated\r\n": "rotated", " with spaces ": " with spaces ",
	} {
		if err := os.WriteFile(u.PasswordFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, password, err := u.Credentials(); err != nil || password.Reveal() != want {
			t.Errorf("%q is the password %q (%v), want %q", content, password.Reveal(), err, want)
		}
	}

	if err := os.Remove(u.PasswordFile); err != nil {
		t.Fatal(err)
	}
	username, password, err := u.Credentials()
	var problem config.Problem
	if !errors.As(err, &problem) || problem.Path != "upstreams.harbor.password_file" || password != "" {
		t.Fatalf("Credentials of a missing file = %q, %v", password.Reveal(), err)
	}
	if username != "robot$breakwater" {
		t.Error("the account must be told even where its password is missing")
	}
	want := "upstreams.harbor.password_file: /secrets/password cannot be read: no such file or directory; create the file, or name the right one"
	if got := plain(err.Error()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCredentialsFromTheEnvironment(t *testing.T) {
	t.Setenv("HARBOR_PASSWORD", hidden+"\n")
	c, err := config.Parse("config.yaml", []byte(`
upstreams:
  harbor: {url: https://harbor.example.com, username: robot$breakwater, password_env: HARBOR_PASSWORD}
`))
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams["harbor"]
	if _, password, err := u.Credentials(); err != nil || password.Reveal() != hidden {
		t.Errorf("password = %q, %v", password.Reveal(), err)
	}
	t.Setenv("HARBOR_PASSWORD", "")
	_, _, err = u.Credentials()
	want := "upstreams.harbor.password_env: leads to an empty password; write the password there"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestNoAccountIsNoCredentials(t *testing.T) {
	c, err := config.Parse("config.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	username, password, err := c.Upstreams["harbor"].Credentials()
	if username != "" || password != "" || err != nil {
		t.Errorf("Credentials = %q, %q, %v, want nothing", username, password.Reveal(), err)
	}
}
