package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A trace is how we left a file: which one it is, its size and its time. bbolt
// maps its file, so one that somebody else cut or wrote to must be noticed before
// it is read.
type trace struct {
	info fs.FileInfo
	size int64
}

func traceOf(file *os.File) (trace, error) {
	info, err := file.Stat()
	if err != nil {
		return trace{}, err
	}
	return trace{info, info.Size()}, nil
}

// untouched tells whether the file at path is as it was left.
func (t trace) untouched(path string) error {
	info, err := os.Stat(path)
	switch {
	case t.info == nil:
		return errors.New("never written")
	case err != nil:
		return err
	case !os.SameFile(info, t.info):
		return errors.New("another file is in its place")
	case info.Size() != t.size:
		return fmt.Errorf("its size was %d, is %d", t.size, info.Size())
	case !info.ModTime().Equal(t.info.ModTime()):
		return errors.New("somebody else has written to it")
	}
	return nil
}

// createFile makes an empty file in place of what stood there, and never follows a
// link to somewhere else.
func createFile(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// writeFile puts a file in place, durable before it is there, and returns it open.
func writeFile(path string, content []byte) (*os.File, error) {
	fresh := path + ".new"
	file, err := createFile(fresh)
	if err != nil {
		return nil, err
	}
	if _, err = file.Write(content); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = rename(fresh, path)
	}
	if err != nil {
		_ = file.Close() // the first error says it
		return nil, errors.Join(err, removeIfThere(fresh))
	}
	return file, nil
}

// rename puts a file in place so that a crash leaves the old one or the new one.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(to)
}

// syncFolder makes names in a file's folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close() // only read
	return folder.Sync()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// mostDamaged files are kept for whoever wants to look at them.
const mostDamaged = 3

// setAside renames a damaged file and removes the oldest ones that were.
func setAside(path string) (aside string, err error) {
	aside = path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(path, aside); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return aside, removeOldest(path + ".damaged-")
}

// removeOldest keeps the newest of what was set aside: names sort by time.
func removeOldest(prefix string) error {
	entries, err := os.ReadDir(filepath.Dir(prefix))
	if err != nil {
		return err
	}
	var aside []string
	for _, e := range entries { // sorted by name
		if strings.HasPrefix(e.Name(), filepath.Base(prefix)) {
			aside = append(aside, filepath.Join(filepath.Dir(prefix), e.Name()))
		}
	}
	for _, old := range aside[:max(0, len(aside)-mostDamaged)] {
		err = errors.Join(err, removeIfThere(old))
	}
	return err
}
