package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const (
	formatFile = "FORMAT"
	// format is what this version writes, and the only thing that it reads.
	format = "breakwater blobs 1"
)

// readFormat reads the FORMAT file. One of another version is a [*FormatError].
func (f *folder) readFormat() error {
	text, err := f.root.ReadFile(formatFile)
	if err != nil {
		return err
	}
	if found, _, _ := strings.Cut(string(text), "\n"); found != format {
		return &FormatError{Found: fmt.Sprintf("%.64s", found)}
	}
	return nil
}

// checkFormat is readFormat, and writes the file where there is none: before the
// first blob.
func (f *folder) checkFormat() error {
	err := f.readFormat()
	if errors.Is(err, fs.ErrNotExist) {
		return f.writeFormat()
	}
	return err
}

// writeFormat leaves a whole file or none, also after a power failure.
func (f *folder) writeFormat() error {
	const draft = formatFile + ".new"
	if err := f.remove(draft); err != nil {
		return err
	}
	file, err := f.create(draft)
	if err != nil {
		return err
	}
	_, err = f.writeAt(file, []byte(format+"\n"), 0)
	if err = errors.Join(err, f.sync(file), file.Close()); err != nil {
		return err
	}
	if err := f.root.Rename(draft, formatFile); err != nil {
		return err
	}
	return f.syncFolder(".")
}
