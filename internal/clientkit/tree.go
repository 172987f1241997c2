package clientkit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// Change is what became of one file of a tree.
type Change struct {
	Path string // below the tree's folder
	What string // one of the words below
	Note string // what to look at; "" = nothing
}

// Words of [Change.What].
const (
	Written   = "written"
	Unchanged = "unchanged"
	Removed   = "removed"
	Kept      = "kept" // written before, and not one of these files
)

// Write lays containerd's files below a folder, each whole or not at all: where one
// of them would take the place of what somebody else wrote, none is. The changes tell
// what was done, with an error too.
func Write(dir string, files []File) ([]Change, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	changes, err := t.writeAll(files)
	return changes, errors.Join(err, t.close())
}

// Remove takes away what Write laid there, whichever configuration it was of, and the
// folders that become empty.
func Remove(dir string) ([]Change, error) {
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	changes, err := t.removeAll()
	return changes, errors.Join(err, t.close())
}

// unfinished is a file that is being written. If its writer was killed it is found by
// the next one.
const unfinished = ".hosts.toml.breakwater"

// tree is a folder that one process at a time changes.
type tree struct {
	root *os.Root
	lock *os.File
}

func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	lock, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := alone(lock); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, lock.Close(), root.Close())
	}
	return &tree{root, lock}, nil
}

// lockPatience is how long another one is waited for. Whoever can read the folder can
// hold its lock (flock(2)), for ever if it likes.
const lockPatience = 5 * time.Second

var errLocked = errors.New("somebody else holds the lock on it, maybe another client-config: find it (fuser) and end it, or try again later")

// alone waits until nobody else works on the folder.
func alone(folder *os.File) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil || !errors.Is(err, syscall.EWOULDBLOCK):
			return err
		case time.Since(began) > lockPatience:
			return errLocked
		}
	}
}

func (t *tree) close() error { return errors.Join(t.lock.Close(), t.root.Close()) }

func (t *tree) writeAll(files []File) ([]Change, error) {
	var foreign []error
	for _, file := range files {
		foreign = append(foreign, t.foreign(file.Path))
	}
	if err := errors.Join(foreign...); err != nil {
		return nil, fmt.Errorf("nothing was written:\n%w", err)
	}
	var changes []Change
	for _, file := range files {
		what, err := t.write(file)
		if err != nil {
			return changes, err
		}
		changes = append(changes, Change{file.Path, what, t.certificates(path.Dir(file.Path))})
	}
	kept, err := t.others(files)
	return append(changes, kept...), err
}

// write puts one file into its place at once (rename(2)), or leaves what is there.
func (t *tree) write(file File) (what string, err error) {
	if held, err := t.begins(file.Path, len(file.Text)+1); err == nil && string(held) == file.Text {
		return Unchanged, t.discard(path.Dir(file.Path))
	}
	folder := path.Dir(file.Path)
	made := t.root.Mkdir(folder, 0o755)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return "", made
	}
	if err := t.replace(file); err != nil {
		if made == nil { // an empty folder would take the registry out of _default
			err = errors.Join(err, t.root.Remove(folder))
		}
		return "", err
	}
	return Written, errors.Join(t.sync(folder), t.sync("."))
}

// begins reads at most that many bytes of a file: it may be anybody's, and of any size.
func (t *tree) begins(name string, most int) ([]byte, error) {
	f, err := t.root.Open(name)
	if err != nil {
		return nil, err
	}
	held, err := io.ReadAll(io.LimitReader(f, int64(most)))
	return held, errors.Join(err, f.Close())
}

func (t *tree) replace(file File) error {
	temporary := path.Join(path.Dir(file.Path), unfinished)
	err := t.fill(temporary, file.Text)
	if err == nil {
		err = t.root.Rename(temporary, file.Path)
	}
	if err != nil {
		return errors.Join(err, t.discard(path.Dir(file.Path)))
	}
	return nil
}

// fill makes a file that is on the disk when it returns.
func (t *tree) fill(name, text string) error {
	if err := t.discard(path.Dir(name)); err != nil {
		return err
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func (t *tree) sync(folder string) error {
	f, err := t.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// discard removes what a killed writer left in a folder.
func (t *tree) discard(folder string) error {
	if err := t.root.Remove(path.Join(folder, unfinished)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeAll looks into all folders.
func (t *tree) removeAll() ([]Change, error) {
	ours, err := t.ours()
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, folder := range ours {
		name := path.Join(folder, hostsFile)
		if t.marked(name) == nil {
			if err := t.root.Remove(name); err != nil {
				return changes, err
			}
			changes = append(changes, Change{Path: name, What: Removed})
		}
		if err := t.discard(folder); err != nil {
			return changes, err
		}
		if err := t.root.Remove(folder); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return changes, err
		}
	}
	return changes, t.sync(".")
}

// path is a name as whoever reads an error knows it.
func (t *tree) path(name string) string { return path.Join(t.root.Name(), name) }
