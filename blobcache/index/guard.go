package index

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"
)

// A damageError says that a file is not what was written. The file is renamed
// aside; every other error is the disk's, and is tried again.
type damageError struct{ cause error }

func (e *damageError) Error() string { return "damaged: " + e.cause.Error() }
func (e *damageError) Unwrap() error { return e.cause }

func damaged(err error) bool {
	_, ok := errors.AsType[*damageError](err)
	return ok
}

// guarded runs everything that makes bbolt look at its file. bbolt panics on pages
// that make no sense, and a mapped page that is no longer in the file is a fault;
// both become a damageError. Only faults of this goroutine can be caught, so
// nothing may run here that starts another one, such as bbolt's own check of a
// file: see sound for ours.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &damageError{fmt.Errorf("%v", p)}
		}
	}()
	return judged(do())
}

// judged tells what bbolt says of a file from what the disk says.
func judged(err error) error {
	var path *fs.PathError
	var number syscall.Errno
	switch {
	case err == nil, damaged(err), errors.As(err, &path), errors.As(err, &number):
		return err
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum),
		errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrDatabaseNotOpen),
		errors.Is(err, bolterrors.ErrInvalidMapping), errors.Is(err, bolterrors.ErrBucketNotFound):
		return &damageError{err}
	default:
		return err
	}
}
