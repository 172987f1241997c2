package clientkit

import (
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
		if !slices.ContainsFunc(files, func(f File) bool { return f.Path == name }) && t.within(folder, (*branch).marked) == nil {
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
		var ours bool
		err := t.within(entry.Name(), func(b *branch) error {
			ours = b.begun() || b.marked() == nil
			return nil
		})
		if err == nil && ours {
			folders = append(folders, entry.Name())
		}
	}
	return folders, err
}

// notInFolder is what no folder of ours has in its name, and no terminal should be shown:
// whoever else may write to the tree chooses names too.
func notInFolder(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-:[]", c)
}

// foreign is why a file cannot be written there.
func (t *tree) foreign(name string) error {
	folder := path.Dir(name)
	if err := t.within(folder, (*branch).marked); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
