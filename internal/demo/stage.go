package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Stage is a running Harbor with private images, and what Breakwater needs to
// stand in front of it. Make it with [Open].
type Stage struct {
	URL          string // of the Harbor
	Username     string // of the robot that may pull from one project
	PasswordFile string // holds the robot's password

	// TagTTL is how long Breakwater must answer a tag without asking Harbor: longer
	// than two pulls take, and the listener has to wait for its end.
	TagTTL time.Duration

	Harbor *harbortest.Harbor // for those who want to make trouble

	server *harbortest.Server
	folder string  // temporary, of PasswordFile
	digest v1.Hash // of the image that is pulled, as it was pushed
}

// Open starts a Harbor on a free port of the loopback interface and fills it.
// The caller must Close it.
func Open() (*Stage, error) {
	s := &Stage{Username: robot, TagTTL: 2 * time.Second, Harbor: harbortest.New()}
	if err := s.furnish(); err != nil {
		return nil, errors.Join(fmt.Errorf("the demo's Harbor cannot be set up: %w", err), s.Close())
	}
	return s, nil
}

func (s *Stage) furnish() error {
	password := rand.Text()
	err := s.seed(password)
	if err != nil {
		return err
	}
	if s.folder, err = os.MkdirTemp("", "breakwater-demo-"); err != nil {
		return err
	}
	s.PasswordFile = filepath.Join(s.folder, "password")
	if err = os.WriteFile(s.PasswordFile, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	if s.server, err = s.Harbor.Start("127.0.0.1:0"); err != nil {
		return err
	}
	s.URL = s.server.URL
	return nil
}

// Close stops the Harbor and removes the password's file.
func (s *Stage) Close() error {
	var stopped, removed error
	if s.server != nil {
		stopped = s.server.Close()
	}
	if s.folder != "" {
		removed = os.RemoveAll(s.folder)
	}
	return errors.Join(stopped, removed)
}
