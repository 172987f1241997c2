package clientkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// unfinished is a file that is being written. If its writer was killed it is found by
// the next one.
const unfinished = ".hosts.toml.breakwater"

// branch is one registry's folder. It stays the one that was looked at, whatever others
// who may write to the tree put in its place meanwhile.
type branch struct {
	path string // as whoever reads an error knows it
	root *os.Root
}

// within does something in one folder. Whoever could put a link to another registry's
// folder there would have that one's file replaced: links are not followed.
func (t *tree) within(folder string, do func(*branch) error) error {
	seen, err := t.root.Lstat(folder)
	if err != nil {
		return err
	}
	if !seen.IsDir() {
		return fmt.Errorf("%s is not a folder (a symbolic link is not followed): make it one, or remove it", t.path(folder))
	}
	root, err := t.root.OpenRoot(folder + "/.") // a pipe that has taken its place is not waited for
	if err != nil {
		return err
	}
	opened, err := root.Stat(".")
	switch {
	case err != nil:
	case !os.SameFile(seen, opened):
		err = fmt.Errorf("%s is being exchanged by somebody else: try again, and see who may write to %s", t.path(folder), t.root.Name())
	default:
		err = do(&branch{t.path(folder), root})
	}
	return errors.Join(err, root.Close())
}

// write puts the file into its place at once (rename(2)), or leaves what is there; ""
// is for a place in which nothing changed.
func (b *branch) write(text string) (what string, err error) {
	if held, err := b.head(len(text) + 1); err == nil && string(held) == text {
		return Unchanged, b.discard()
	}
	if err := b.replace(text); err != nil {
		return "", errors.Join(err, b.discard())
	}
	return Written, b.sync()
}

// replace looks once more at what it takes the place of: it was some time ago that all
// the files were looked at.
func (b *branch) replace(text string) error {
	if err := b.discard(); err != nil {
		return err
	}
	if err := b.fill(unfinished, text); err != nil {
		return err
	}
	if err := b.marked(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return b.of(b.root.Rename(unfinished, hostsFile))
}

// fill makes a file that is on the disk when it returns.
func (b *branch) fill(name, text string) error {
	f, err := b.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return b.of(err)
	}
	_, err = f.WriteString(text)
	return b.of(errors.Join(err, f.Sync(), f.Close()))
}

func (b *branch) sync() error {
	f, err := b.root.Open(".")
	if err != nil {
		return b.of(err)
	}
	return b.of(errors.Join(f.Sync(), f.Close()))
}

// remove takes away the file if it is ours, and what a killed writer left.
func (b *branch) remove() (removed bool, err error) {
	if b.marked() == nil {
		if err := b.root.Remove(hostsFile); err != nil {
			return false, b.of(err)
		}
		removed = true
	}
	return removed, b.discard()
}

// discard removes what a killed writer left.
func (b *branch) discard() error {
	if err := b.root.Remove(unfinished); !errors.Is(err, fs.ErrNotExist) {
		return b.of(err)
	}
	return nil
}

// begun says that a writer was killed here.
func (b *branch) begun() bool {
	_, err := b.root.Lstat(unfinished)
	return err == nil
}

// marked is nil for a file of ours.
func (b *branch) marked() error {
	held, err := b.head(len(marker))
	if err == nil && !bytes.Equal(held, []byte(marker)) {
		err = fmt.Errorf("%s was written by somebody else: move it away, and put what has to stay of it beside what client-config prints", path.Join(b.path, hostsFile))
	}
	return err
}

// head reads at most n bytes of the file: it is anybody's, and of any length. What is no
// regular file, and may not even answer to being opened, has none.
func (b *branch) head(n int) ([]byte, error) {
	seen, err := b.root.Lstat(hostsFile)
	if err != nil || !seen.Mode().IsRegular() {
		return nil, b.of(err)
	}
	f, err := b.root.OpenFile(hostsFile, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, b.of(err)
	}
	var held []byte
	opened, err := f.Stat()
	if err == nil && os.SameFile(seen, opened) { // and not what has just taken its place
		held, err = io.ReadAll(io.LimitReader(f, int64(n)))
	}
	return held, b.of(errors.Join(err, f.Close()))
}

// certificates tells of those in the folder that hosts.toml takes the place of.
func (b *branch) certificates() string {
	entries, err := fs.ReadDir(b.root.FS(), ".")
	if err != nil {
		return ""
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".crt") || strings.HasSuffix(entry.Name(), ".cert") {
			return fmt.Sprintf("beside it lies %q, which containerd reads only where there is no hosts.toml: the registry itself may not be trusted any more", entry.Name())
		}
	}
	return ""
}

// of says which folder an error is of.
func (b *branch) of(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", b.path, err)
}
