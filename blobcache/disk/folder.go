package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

const (
	folderMode = 0o700
	fileMode   = 0o600
	minBlock   = 4096 // bytes; file systems with smaller blocks are rare, and round up too
)

// The operations that a disk may refuse, as [Events].Failed is told.
const (
	opWrite  = "write"
	opSync   = "sync"
	opRename = "rename"
	opRemove = "remove"
	opOpen   = "open"
)

// folder is the file layer: all that the package does to files.
type folder struct {
	root *os.Root
	// fault makes an operation fail; only tests set it.
	fault func(operation string) error
}

func (f *folder) failing(operation string) error {
	if f.fault == nil {
		return nil
	}
	return f.fault(operation)
}

// open a blob for reading.
func (f *folder) open(k key) (*os.File, fs.FileInfo, error) {
	if err := f.failing(opOpen); err != nil {
		return nil, nil, err
	}
	file, err := f.root.Open(k.path())
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// create a file that nobody else has, to be written and read.
func (f *folder) create(name string) (*os.File, error) {
	if err := f.failing("create"); err != nil {
		return nil, err
	}
	return f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
}

func (f *folder) writeAt(file *os.File, b []byte, offset int64) (int, error) {
	if err := f.failing(opWrite); err != nil {
		return 0, err
	}
	return file.WriteAt(b, offset)
}

func (f *folder) sync(file *os.File) error {
	if err := f.failing(opSync); err != nil {
		return err
	}
	return file.Sync()
}

// rename a partial to the blob that it is, in a folder that is made when needed.
func (f *folder) rename(partial string, k key) error {
	if err := f.failing(opRename); err != nil {
		return err
	}
	err := f.root.Rename(partial, k.path())
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.root.MkdirAll(k.folder(), folderMode); err != nil {
		return err
	}
	if err := f.syncFolder(path.Dir(k.folder())); err != nil { // blobs/<algorithm>
		return err
	}
	return f.root.Rename(partial, k.path())
}

// syncFolder makes the names in a folder durable.
func (f *folder) syncFolder(name string) error {
	d, err := f.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.sync(d), d.Close())
}

// remove a file. One that is not there is as good as removed.
func (f *folder) remove(name string) error {
	if err := f.failing(opRemove); err != nil {
		return err
	}
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// space is what the file system has: of a block, in all, and still free for us;
// bytes.
func (f *folder) space() (block, total, free int64, err error) {
	d, err := f.root.Open(".")
	if err != nil {
		return 0, 0, 0, err
	}
	var st syscall.Statfs_t
	for {
		if err = syscall.Fstatfs(int(d.Fd()), &st); err != syscall.EINTR {
			break
		}
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return 0, 0, 0, fmt.Errorf("statfs: %w", err)
	}
	unit := blockSize(&st)
	return max(minBlock, unit), int64(st.Blocks) * unit, int64(st.Bavail) * unit, nil
}

// noSpace tells a full disk from a broken one.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
