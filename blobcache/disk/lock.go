package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	lockFile = "lock"
	// lockPoll is how often a lock that another process has is tried: flock(2) can
	// wait, but not be told to stop waiting.
	lockPoll = 100 * time.Millisecond
	// maxHolder bounds what is read of who has the lock.
	maxHolder = 4096
)

// Lock is the folder, taken for this process. The kernel frees it when the process
// ends, however it ends.
type Lock struct {
	dir  string
	root *os.Root
	file *os.File
}

// holder is what the lock file says.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// Take makes dir (absolute, 0700, with its parents) where it is missing, and takes it
// for this process. While another one has it Take says so in the log once and waits,
// at most for wait; then the error is a [*LockedError], or ctx's. log may be nil.
func Take(ctx context.Context, dir string, wait time.Duration, log *zap.Logger) (*Lock, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("cache folder %q: the path is not absolute", dir)
	}
	if log == nil {
		log = zap.NewNop()
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, unusable(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unusable(dir, err)
	}
	if info, err := root.Stat("."); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		log.Warn("the cache folder can be written by everybody on this machine: chmod o-w it, unless nobody else is there", zap.String("dir", dir))
	}
	file, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, errors.Join(unusable(dir, err), root.Close())
	}
	l := &Lock{dir: filepath.Clean(dir), root: root, file: file}
	if err := l.acquire(ctx, wait, log); err != nil {
		return nil, errors.Join(err, file.Close(), root.Close())
	}
	// Before anything else in the folder is touched, by whoever holds this lock.
	var other *FormatError
	if err := (&folder{root: root}).readFormat(); errors.As(err, &other) {
		return nil, errors.Join(fmt.Errorf("cache folder %s: %w", dir, err), file.Close(), root.Close())
	}
	if err := l.sign(); err != nil {
		// The lock is the kernel's and holds; only its label is missing. A full disk
		// must not keep us from serving what is on it.
		log.Warn("the cache folder's lock does not tell who has it", zap.String("dir", dir), zap.Error(err))
	}
	return l, nil
}

// unusable says what to do about a folder that cannot be used.
func unusable(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cache folder %s: %w: it must be this user's own, so: chown %d:%d %s", dir, err, os.Geteuid(), os.Getegid(), dir)
	}
	return fmt.Errorf("cache folder %s: %w: name a folder of Breakwater's own, which is made where it is missing", dir, err)
}

func (l *Lock) acquire(ctx context.Context, wait time.Duration, log *zap.Logger) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for told := false; ; {
		err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("cache folder %s: locking: %w", l.dir, err)
		}
		locked := l.locked()
		if !told && wait > 0 {
			told = true
			log.Warn("waiting for the cache folder, which another process has",
				zap.String("dir", l.dir), zap.String("holder", locked.holder()), zap.Duration("lock_wait", wait))
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			return locked
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), locked)
		}
	}
}

// locked reads who has the lock.
func (l *Lock) locked() *LockedError {
	e := &LockedError{Dir: l.dir}
	text, err := io.ReadAll(io.NewSectionReader(l.file, 0, maxHolder))
	var h holder
	if err == nil && json.Unmarshal(text, &h) == nil {
		e.PID, e.Host, e.Since = h.PID, h.Host, h.Since
	}
	return e
}

// sign writes who has the lock.
func (l *Lock) sign() error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	text, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Since: time.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(text, '\n'), 0)
	return err
}

// Close gives the folder back. A [Store] on it is to be closed before.
func (l *Lock) Close() error {
	// The file stays: another process may have it open, waiting for this one.
	_ = l.file.Truncate(0) // the label; the lock is the kernel's
	return errors.Join(l.file.Close(), l.root.Close())
}
