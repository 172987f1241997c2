package config

import (
	"io/fs"
	"syscall"
	"testing"
)

// TestForbiddenFile asks by hand: a test that runs as root may read everything.
func TestForbiddenFile(t *testing.T) {
	m := unreadable("/run/secrets/password", &fs.PathError{Op: "open", Path: "/run/secrets/password", Err: syscall.EACCES})
	want := mistake{"/run/secrets/password cannot be read: permission denied", "let the user as whom Breakwater runs read it"}
	if *m != want {
		t.Errorf("got %q, want %q", *m, want)
	}
}
