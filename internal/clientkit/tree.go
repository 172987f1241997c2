package clientkit

import (
	"context"
	"errors"
	"fmt"
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
// what was done, with an error too. When ctx ends no further file is begun.
func Write(ctx context.Context, dir string, files []File) ([]Change, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t, err := openTree(ctx, dir)
	if err != nil {
		return nil, err
	}
	changes, err := t.writeAll(ctx, files)
	return changes, errors.Join(err, t.close())
}

// Remove takes away what Write laid there, whichever configuration it was of, and the
// folders that become empty. When ctx ends no further file is touched.
func Remove(ctx context.Context, dir string) ([]Change, error) {
	t, err := openTree(ctx, dir)
	if err != nil {
		return nil, err
	}
	changes, err := t.removeAll(ctx)
	return changes, errors.Join(err, t.close())
}

// tree is a folder that one process at a time changes.
type tree struct {
	root *os.Root
	lock *os.File
}

func openTree(ctx context.Context, dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	lock, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := alone(ctx, lock); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, lock.Close(), root.Close())
	}
	return &tree{root, lock}, nil
}

// patience is how long another process is waited for. One that writes is done by then;
// but whoever can read the folder can hold its lock (flock(2)), for ever if it likes.
const patience = 5 * time.Second

var errLocked = errors.New("somebody else holds the lock on it, maybe another client-config: find it (fuser) and end it, or try again later")

// alone waits until nobody else works on the folder, and takes its lock; closing the file
// gives it back.
func alone(ctx context.Context, folder *os.File) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLocked)
	defer cancel()
	again := time.NewTicker(patience / 100)
	defer again.Stop()
	for {
		err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *tree) close() error { return errors.Join(t.lock.Close(), t.root.Close()) }

func (t *tree) writeAll(ctx context.Context, files []File) ([]Change, error) {
	var foreign []error
	for _, file := range files {
		foreign = append(foreign, t.foreign(file.Path))
	}
	if err := errors.Join(foreign...); err != nil {
		return nil, fmt.Errorf("nothing was written:\n%w", err)
	}
	var changes []Change
	for _, file := range files {
		if err := t.ended(ctx, file.Path); err != nil {
			return changes, err
		}
		change, err := t.write(file)
		if err != nil {
			return changes, err
		}
		changes = append(changes, change)
	}
	kept, err := t.others(files)
	return append(changes, kept...), err
}

func (t *tree) write(file File) (Change, error) {
	change := Change{Path: file.Path}
	folder := path.Dir(file.Path)
	made := t.root.Mkdir(folder, 0o755)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return change, made
	}
	err := t.within(folder, func(b *branch) (err error) {
		change.What, err = b.write(file.Text)
		change.Note = b.certificates()
		return err
	})
	switch {
	case change.What == "" && made == nil: // an empty folder would take the registry out of _default
		err = errors.Join(err, t.root.Remove(folder))
	case change.What == Written:
		err = errors.Join(err, t.sync())
	}
	return change, err
}

// removeAll looks into all folders.
func (t *tree) removeAll(ctx context.Context) ([]Change, error) {
	ours, err := t.ours()
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, folder := range ours {
		name := path.Join(folder, hostsFile)
		if err := t.ended(ctx, name); err != nil {
			return changes, err
		}
		removed := false
		err := t.within(folder, func(b *branch) (err error) {
			removed, err = b.remove()
			return err
		})
		if removed {
			changes = append(changes, Change{Path: name, What: Removed})
		}
		if err != nil {
			return changes, err
		}
		if err := t.root.Remove(folder); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return changes, err
		}
	}
	return changes, t.sync()
}

// ended is why a file is not begun any more.
func (t *tree) ended(ctx context.Context, name string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("stopped before %s: %w", t.path(name), context.Cause(ctx))
}

// sync brings the names of folders to the disk.
func (t *tree) sync() error { return t.lock.Sync() }

// path is a name as whoever reads an error knows it.
func (t *tree) path(name string) string { return path.Join(t.root.Name(), name) }
