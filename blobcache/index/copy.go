package index

import (
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// copySuffix is that of the hourly copy, beside the index.
const copySuffix = ".copy"

// copy takes the hourly copy and begins the journal anew where the copy ends. The
// copy is checked like an index at a start before it replaces the former one; if
// it does not hold, neither does the file that it was taken of.
func (x *Index) copy() error {
	if !x.changed && !x.journal.large.Load() {
		return nil
	}
	applied, err := x.takeCopy()
	if damaged(err) {
		if err = x.rebuild(err, batch{}); err == nil {
			applied, err = x.takeCopy()
		}
	}
	if err == nil {
		err = x.journal.restart(applied, x.blockKeys())
	}
	x.changed = err != nil
	return x.trouble.note("copy", err)
}

// takeCopy returns the newest denial that the copy contains. Only this goroutine
// writes to the file, so it is whole between two transactions.
func (x *Index) takeCopy() (applied uint64, err error) {
	if err := x.options.fault("copy"); err != nil {
		return 0, err
	}
	if err := x.file.seen.untouched(x.file.path); err != nil {
		return 0, &damageError{err}
	}
	final := x.options.Path + copySuffix
	fresh := final + ".new"
	if err = copyFile(fresh, x.options.Path); err == nil {
		applied, err = checkFile(fresh)
	}
	if err == nil {
		err = rename(fresh, final)
	}
	if err != nil {
		return 0, errors.Join(err, removeIfThere(fresh))
	}
	return applied, nil
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close() // only read
	target, err := createFile(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(target, source); err == nil {
		err = target.Sync()
	}
	return errors.Join(err, target.Close())
}

// checkFile reads all of a file and keeps nothing.
func checkFile(path string) (applied uint64, err error) {
	if err := sound(path); err != nil {
		return 0, err
	}
	f, err := openFile(path, nil, bbolt.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	bad, err := f.scan(func(in bucket, name string, value []byte) bool {
		if in == metaBucket && name == appliedKey {
			applied, _ = parseApplied(value)
		}
		return true
	})
	if bad > 0 {
		err = errors.Join(err, &damageError{fmt.Errorf("%d bad records", bad)})
	}
	return applied, errors.Join(err, f.close())
}
