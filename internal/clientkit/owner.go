package clientkit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// others are files of ours that are none of these.
func (t *tree) others(files []File) ([]Change, error) {
	ours, err := t.ours()
	var changes []Change
	for _, folder := range ours {
		name := path.Join(folder, hostsFile)
		if !slices.ContainsFunc(files, func(f File) bool { return f.Path == name }) && t.marked(name) == nil {
			changes = append(changes, Change{name, Kept, "not of this configuration, and still in effect: if it is of no other, --remove, then --write again"})
		}
	}
	return changes, err
}

// ours are the folders in which we wrote, or began to.
func (t *tree) ours() ([]string, error) {
	entries, err := fs.ReadDir(t.root.FS(), ".")
	var folders []string
	for _, entry := range entries {
		if !entry.IsDir() || strings.ContainsFunc(entry.Name(), notInFolder) {
			continue
		}
		_, err := t.root.Lstat(path.Join(entry.Name(), unfinished))
		if err == nil || t.marked(path.Join(entry.Name(), hostsFile)) == nil {
			folders = append(folders, entry.Name())
		}
	}
	return folders, err
}

// notInFolder is what no folder of ours has in its name, and no terminal should be shown.
func notInFolder(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-:[]", c)
}

// foreign is why a file cannot be written there.
func (t *tree) foreign(name string) error {
	folder := path.Dir(name)
	info, err := t.root.Lstat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder (a symbolic link is not followed): make it one, or remove it", t.path(folder))
	}
	if err := t.marked(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// harbor.example.com:8443, which containerd would not look into any more.
	if host, port, ok := strings.Cut(strings.TrimSuffix(folder, "_"), "_"); ok && strings.HasSuffix(folder, "_") {
		other := path.Join(host+":"+port, hostsFile)
		if _, err := t.root.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s would lose its effect, since containerd looks into %s first: remove it", t.path(other), folder))
		}
	}
	return nil
}

// marked is nil for a file of ours.
func (t *tree) marked(name string) error {
	info, err := t.root.Lstat(name)
	if err != nil {
		return err
	}
	var held []byte // of a symbolic link, nothing
	if info.Mode().IsRegular() {
		if held, err = t.begins(name, len(marker)); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(held, []byte(marker)) {
		return fmt.Errorf("%s was written by somebody else: move it away, and put what has to stay of it beside what client-config prints", t.path(name))
	}
	return nil
}

// certificates tells of those in a folder that hosts.toml takes the place of.
func (t *tree) certificates(folder string) string {
	entries, err := fs.ReadDir(t.root.FS(), folder)
	if err != nil {
		return ""
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".crt") || strings.HasSuffix(entry.Name(), ".cert") {
			return "beside it lies " + entry.Name() + ", which containerd reads only where there is no hosts.toml: the registry itself may not be trusted any more"
		}
	}
	return ""
}
