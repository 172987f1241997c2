package disk

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// namesAtOnce bounds how many names of a folder are read at a time.
const namesAtOnce = 1024

// start makes the ledger from what is in the folder.
func (s *Store) start(maximum int64) error {
	if err := s.folder.checkFormat(); err != nil {
		return err
	}
	for _, name := range []string{partialsFolder, path.Join(blobsFolder, digest.SHA256.String()), path.Join(blobsFolder, digest.SHA512.String())} {
		if err := s.folder.root.MkdirAll(name, folderMode); err != nil {
			return err
		}
	}
	if err := errors.Join(s.folder.syncFolder("."), s.folder.syncFolder(blobsFolder)); err != nil {
		return err
	}
	block, _, _, err := s.folder.space()
	if err != nil {
		return err
	}
	s.ledger = newLedger(block, maximum)
	f := finding{folder: s.folder}
	if err := errors.Join(f.dropPartials(), f.findBlobs()); err != nil {
		return err
	}
	if f.foreign > 0 {
		s.log.Warn("files in the cache folder that are not ours are left alone, and not counted",
			zap.Int("files", f.foreign), zap.String("first", f.first))
	}
	s.match(f.blobs)
	s.lookWhenDue()
	s.within()
	return nil
}

// remembered is what Records know of a blob.
type remembered struct{ size, modified, used int64 }

// match what was found with what is remembered: a file is trusted where the last stop
// was an orderly one and nothing about it changed since. Others are cold: hashed when
// they are first opened.
func (s *Store) match(found []foundBlob) {
	known := make(map[key]remembered)
	s.records.Blobs(func(d digest.Digest, size int64, modified, used time.Time) {
		if k, err := keyOf(d); err == nil {
			known[k] = remembered{size, modified.UnixNano(), used.UnixNano()}
		}
	})
	clean := s.records.Clean()
	for i := range found {
		b := &found[i]
		r, ok := known[b.key]
		delete(known, b.key)
		if ok {
			b.entry.used, b.entry.recorded = r.used, r.used
		}
		if ok && clean && r.size == b.entry.size && r.modified == b.entry.modified {
			continue
		}
		b.entry.modified = cold
		if ok && r.modified != cold {
			// What is not trusted now must not be trusted after the next orderly stop.
			s.records.PutBlob(b.key.digest(), b.entry.size, time.Unix(0, cold), time.Unix(0, r.used))
		}
	}
	for k := range known {
		s.records.DeleteBlob(k.digest())
	}
	if clean && len(known) > 0 {
		s.log.Warn("blobs that were here at the last stop are gone from the cache folder: they are fetched again when they are asked for",
			zap.Int("blobs", len(known)))
		for range known {
			s.events.Damaged("read")
		}
	}
	slices.SortFunc(found, func(a, b foundBlob) int { return cmp.Compare(a.entry.used, b.entry.used) })
	for _, b := range found {
		s.ledger.add(b.key, b.entry)
	}
}

// foundBlob is a file that has the name of a blob.
type foundBlob struct {
	key   key
	entry *entry
}

// finding reads the folder's names.
type finding struct {
	folder  *folder
	blobs   []foundBlob
	foreign int    // names that are not ours
	first   string // of them
}

// dropPartials removes what fills left behind that a crash ended.
func (f *finding) dropPartials() error {
	return f.each(partialsFolder, func(name string, of fs.DirEntry) error {
		if !of.Type().IsRegular() || !isPartial(of.Name()) {
			f.stranger(name)
			return nil
		}
		return f.folder.remove(name)
	})
}

// findBlobs walks blobs/<algorithm>/<2 hex>/<hex>.
func (f *finding) findBlobs() error {
	return f.each(blobsFolder, func(algorithm string, of fs.DirEntry) error {
		if !of.IsDir() {
			f.stranger(algorithm)
			return nil
		}
		return f.each(algorithm, func(prefix string, of fs.DirEntry) error {
			if !of.IsDir() {
				f.stranger(prefix)
				return nil
			}
			return f.each(prefix, f.blob)
		})
	})
}

func (f *finding) blob(name string, of fs.DirEntry) error {
	algorithm := digest.Algorithm(path.Base(path.Dir(path.Dir(name))))
	k, err := keyOf(digest.NewDigestFromEncoded(algorithm, of.Name()))
	if err != nil || k.path() != name || !of.Type().IsRegular() {
		f.stranger(name)
		return nil
	}
	info, err := of.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed by somebody while we look
	}
	if err != nil {
		return err
	}
	modified := modifiedAt(info)
	f.blobs = append(f.blobs, foundBlob{k, &entry{size: info.Size(), modified: modified, used: modified}})
	return nil
}

func (f *finding) stranger(name string) {
	if f.foreign++; f.foreign == 1 {
		f.first = name
	}
}

// each calls found for each name in a folder.
func (f *finding) each(folder string, found func(name string, of fs.DirEntry) error) (err error) {
	d, err := f.folder.root.Open(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return eachName(d, func(of fs.DirEntry) error { return found(path.Join(folder, of.Name()), of) })
}

func eachName(d *os.File, found func(fs.DirEntry) error) error {
	for {
		names, err := d.ReadDir(namesAtOnce)
		for _, of := range names {
			if err := found(of); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
