package demo_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"breakwater/internal/demo"
)

func TestCloseLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	stage, err := demo.Open()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(stage.PasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	if relative, err := filepath.Rel(folder, stage.PasswordFile); err != nil || !filepath.IsLocal(relative) {
		t.Errorf("the password is in %s, not in the folder for temporary files", stage.PasswordFile)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the password's file has the mode %v", info.Mode())
	}
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if resp, err := http.Get(stage.URL); err == nil {
		_ = resp.Body.Close()
		t.Error("the Harbor still answers")
	}
}

func TestNoPlaceForThePassword(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	stage, err := demo.Open()
	if err == nil {
		t.Fatal("opened without a folder for temporary files", stage.Close())
	}
}

func ExampleOpen() {
	stage, err := demo.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stage.Close()
	// A Breakwater in front of stage.URL needs stage.Username and
	// stage.PasswordFile; stage.Tell has a client pull from it.
	fmt.Println(stage.Username)
	// Output: robot$breakwater
}
