package index

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// buildFile makes an index from memory and puts it in place at path. lock is held
// while memory is read, never while the disk is written to; what changes meanwhile
// is in the state's next batch. blobs are the facts that memory does not have.
func buildFile(path string, fault func(string) error, s *state, lock func(func()), blobs []record) (*file, error) {
	if err := fault("create"); err != nil {
		return nil, err
	}
	fresh := path + ".new"
	if err := removeIfThere(fresh); err != nil {
		return nil, err
	}
	// Not synced before it is whole: a crash leaves a file that nobody reads.
	f, err := openFile(fresh, fault, bbolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	if err = f.create(); err == nil {
		err = f.fill(s, lock, blobs)
	}
	if err == nil {
		err = f.db.Sync()
	}
	if err == nil {
		err = rename(fresh, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.close(), removeIfThere(fresh))
	}
	f.db.NoSync, f.path = false, path
	return f, nil
}

// fill writes a whole state into an empty file. The number of the newest denial is
// read first: those that come while it is filled are applied again by a start.
func (f *file) fill(s *state, lock func(func()), records []record) error {
	var applied uint64
	var repositories []*repository
	lock(func() {
		applied = s.seq
		for _, r := range s.repositories {
			repositories = append(repositories, r)
			records = append(records, repositoryRecord(r))
		}
		for k := range s.blocks {
			records = append(records, blockRecord(k))
		}
		for _, b := range s.blobs {
			records = append(records, blobRecord(b))
		}
	})
	slices.SortFunc(repositories, func(a, b *repository) int { return strings.Compare(a.name.Name, b.name.Name) })
	for _, r := range repositories {
		for part := range r.parts(lock) {
			if records = append(records, part...); len(records) < mostRecords {
				continue
			}
			slices.SortFunc(records, record.compare)
			if err := f.writeRecords(records); err != nil {
				return err
			}
			records = records[:0]
		}
	}
	slices.SortFunc(records, record.compare)
	return f.writeUpTo(applied, records)
}

// parts yields the records of a repository's links and tags, some thousand at a
// time, as they are when their turn comes. A repository that began another epoch
// meanwhile has no more of them.
func (r *repository) parts(lock func(func())) func(func([]record) bool) {
	return func(yield func([]record) bool) {
		var links []linkKey
		var tags []string
		var id uint32
		lock(func() {
			id = r.id
			links, tags = slices.Collect(maps.Keys(r.links)), slices.Collect(maps.Keys(r.tags))
		})
		slices.Sort(links)
		slices.Sort(tags)
		for chunk := range slices.Chunk(links, mostRecords) {
			if !yield(r.read(lock, id, chunk, nil)) {
				return
			}
		}
		for chunk := range slices.Chunk(tags, mostRecords) {
			if !yield(r.read(lock, id, nil, chunk)) {
				return
			}
		}
	}
}

// read returns the records of those links and tags that are still there.
func (r *repository) read(lock func(func()), id uint32, links []linkKey, tags []string) (records []record) {
	lock(func() {
		if r.id != id {
			return
		}
		for _, lk := range links {
			if l, ok := r.links[lk]; ok {
				records = append(records, linkRecord(id, lk, l))
			}
		}
		for _, name := range tags {
			if t, ok := r.tags[name]; ok {
				records = append(records, tagRecord(id, name, t))
			}
		}
	})
	return records
}
