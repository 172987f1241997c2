package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"go.etcd.io/bbolt"
)

const (
	journalSuffix = ".journal"
	markSuffix    = ".clean"
)

// restore is the start: it reads what the last process left, and leaves memory, a
// file and a journal that agree.
func (x *Index) restore() error {
	path := x.options.Path
	h, err := readJournal(path + journalSuffix)
	if err != nil {
		return err
	}
	s, f, err := readFile(path, x.options.fault, x.state.limits)
	partial := false
	switch first := h.missing && !exists(path+copySuffix); {
	case err == nil:
	case damaged(err), errors.Is(err, fs.ErrNotExist) && !first:
		if s, partial, err = x.replacement(s, err); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		s = newState(x.state.limits)
		h.missing = false // there was nothing to deny
	default: // a newer format, or the disk
		return err
	}
	mark, marked, err := takeMark(path)
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.close())
		}
		return err
	}
	x.state, x.file = s, f
	x.clean = f != nil && marked && mark == s.seq
	why := h.incomplete(s.seq)
	s.replay(h, why == nil, partial)
	if why != nil {
		x.trouble.damaged(why, "", "a new journal")
		if !x.clean { // else nothing was denied that the index does not contain
			s.dropGrants()
		}
	}
	return x.settle(h, why == nil)
}

// replacement is what there is in place of a damaged index: its own records where
// they could be read, else those of the copy, else none.
func (x *Index) replacement(rest *state, cause error) (s *state, partial bool, err error) {
	s, partial, instead := rest, true, "its good records"
	if s == nil {
		var f *file
		s, f, err = readFile(x.options.Path+copySuffix, x.options.fault, x.state.limits)
		if _, newer := errors.AsType[*FormatError](err); newer {
			return nil, false, err
		}
		partial, instead = err != nil, "the hourly copy"
		if f != nil {
			_ = f.close() // only read
		}
	}
	if s == nil {
		s, instead = newState(x.state.limits), "an empty index"
	}
	aside, err := setAside(x.options.Path)
	x.trouble.damaged(cause, aside, instead)
	return s, partial, err
}

// settle makes file and journal of what was restored. A journal that was not
// complete begins anew, after the index contains what it begins at.
func (x *Index) settle(h history, complete bool) (err error) {
	path, fault := x.options.Path, x.options.fault
	if x.file == nil {
		x.state.batch = batch{}
		if x.file, err = buildFile(path, fault, x.state, x.locked, nil); err != nil {
			return err
		}
	}
	x.changed = true // a copy in an hour, whatever happens
	x.state.batch.limit = x.state.limits.pending
	x.journal = newJournal(path+journalSuffix, fault)
	if complete && !h.missing && h.size > 0 {
		if err = x.journal.resume(h); err == nil {
			return nil
		}
		return errors.Join(err, x.file.close())
	}
	b := x.state.drain()
	if err = x.file.write(b); err == nil {
		err = x.journal.begin(b.applied, x.blockKeys())
	}
	if err != nil {
		return errors.Join(err, x.file.close())
	}
	return nil
}

// readFile reads an index that is there. With a damageError comes what could be
// read of it, if anything; the file is open only where there is no error.
func readFile(path string, fault func(string) error, l limits) (*state, *file, error) {
	if err := sound(path); err != nil {
		return nil, nil, err
	}
	f, err := openFile(path, fault, bbolt.Options{})
	if err != nil {
		return nil, nil, err
	}
	s, bad, err := f.load(l)
	if err == nil && bad > 0 {
		err = &damageError{fmt.Errorf("%d bad records", bad)}
	}
	if err != nil {
		return s, nil, errors.Join(err, f.close())
	}
	return s, f, nil
}

// replay applies the journal's denials that came after the state. One that is not
// complete only adds blocks. To a partial state, which may lack any record, it also
// tells its older blocks: a journal has them all.
func (s *state) replay(h history, complete, partial bool) {
	known := s.seq
	for _, d := range h.denials {
		later := d.seq > known
		switch {
		case d.operation == block && (later || partial),
			d.operation == unblock && (later || partial) && complete,
			later && complete:
			s.apply(d)
		}
	}
	s.seq = max(s.seq, h.newest())
}

// resume goes on with a journal that was read whole.
func (j *journal) resume(h history) error {
	j.base = h.base
	for _, d := range h.denials {
		if d.seq == h.base {
			j.blocks = append(j.blocks, d.encode())
		} else {
			j.keep(entry{d.seq, d.encode()})
		}
	}
	j.written = len(j.kept)
	file, err := os.OpenFile(j.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	j.file = file
	if j.seen, err = traceOf(file); err == nil && j.seen.size != h.size {
		err = errors.New("the journal is being written to by somebody else")
	}
	return err
}

// writeMark says that the stop was clean, and which denial the index ends with.
func writeMark(path string, seq uint64) error {
	mark, err := writeFile(path+markSuffix, strconv.AppendUint(nil, seq, 10))
	if err != nil {
		return err
	}
	return mark.Close()
}

// takeMark reads the mark and removes it: from here on the stop is not clean.
func takeMark(path string) (seq uint64, ok bool, err error) {
	content, err := os.ReadFile(path + markSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if err := os.Remove(path + markSuffix); err != nil {
		return 0, false, err
	}
	seq, err = strconv.ParseUint(string(content), 10, 64)
	return seq, err == nil, syncFolder(path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
