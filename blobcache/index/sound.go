package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// sound tells whether bbolt can be trusted with a file; a damageError says why not.
// It reads the file as bytes, whatever they are. bbolt's own check runs in a
// goroutine where a fault ends the process, and a page that points to its parent
// makes bbolt loop; here each page is seen once, and every length is held against
// the page that it is in.
func sound(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() // only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	p, err := readMeta(file, info.Size())
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return judgedStructure(err)
	}
	return nil
}

// judgedStructure keeps apart what the disk refused to read.
func judgedStructure(err error) error {
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return err
	}
	return &damageError{err}
}

// pages are those of one file, as its newest valid meta page says.
type pages struct {
	file           io.ReaderAt
	size           int // of a page
	root, freelist uint64
	high           uint64 // the first page that is not used
	seen           []bool
}

func readMeta(file io.ReaderAt, length int64) (*pages, error) {
	var newest *pages
	var newestID uint64
	page := make([]byte, pageHeader+metaLength)
	// The second meta page is where the first says, or where our own files have it.
	for i, size := 0, os.Getpagesize(); i < 2; i++ {
		if _, err := file.ReadAt(page, int64(i*size)); errors.Is(err, io.EOF) {
			return nil, errors.New("it is too short")
		} else if err != nil {
			return nil, err
		}
		p, id, ok := parseMeta(page[pageHeader:])
		if !ok {
			continue
		}
		size = p.size
		if newest == nil || id > newestID {
			newest, newestID = p, id
		}
	}
	switch {
	case newest == nil:
		return nil, errors.New("neither meta page is valid")
	case newest.high > uint64(length)/uint64(newest.size):
		return nil, fmt.Errorf("it has %d bytes, %d pages of %d are used", length, newest.high, newest.size)
	}
	newest.file, newest.seen = file, make([]bool, newest.high)
	return newest, nil
}

func parseMeta(meta []byte) (p *pages, txid uint64, ok bool) {
	order := binary.NativeEndian
	hash := fnv.New64a()
	_, _ = hash.Write(meta[:metaLength-8]) // never fails
	if order.Uint32(meta) != boltMagic || order.Uint32(meta[4:]) != boltVersion ||
		order.Uint64(meta[56:]) != hash.Sum64() {
		return nil, 0, false
	}
	size := order.Uint32(meta[8:])
	p = &pages{
		size: int(size), root: order.Uint64(meta[16:]),
		freelist: order.Uint64(meta[32:]), high: order.Uint64(meta[40:]),
	}
	return p, order.Uint64(meta[48:]), size >= 1024 && size <= 64<<10 && size&(size-1) == 0
}

// check looks at every page that can be reached, then at the list of the free ones.
func (p *pages) check() error {
	if err := p.tree(p.root, nil, nil, true); err != nil {
		return err
	}
	return p.free()
}

// page reads a page and those that it overflows into, each of which may be reached
// once.
func (p *pages) page(id uint64) (page, error) {
	head := make(page, pageHeader)
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("page %d of %d", id, p.high)
	}
	if _, err := p.file.ReadAt(head, int64(id)*int64(p.size)); err != nil {
		return nil, err
	}
	over := uint64(head.overflow())
	if head.id() != id || over >= p.high-id {
		return nil, fmt.Errorf("page %d says that it is %d, with %d more", id, head.id(), over)
	}
	for i := id; i <= id+over; i++ {
		if p.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	whole := make(page, (over+1)*uint64(p.size))
	_, err := p.file.ReadAt(whole, int64(id)*int64(p.size))
	return whole, err
}

// tree checks the pages of one bucket below id, whose keys are from least up to,
// and without, most; nil: no bound. Only the root bucket holds buckets.
func (p *pages) tree(id uint64, least, most []byte, root bool) error {
	page, err := p.page(id)
	if err != nil {
		return err
	}
	elements, err := page.elements(least, most)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i, e := range elements {
		switch {
		case page.flags() == branchPage:
			end := most
			if i+1 < len(elements) {
				end = elements[i+1].key
			}
			err = p.tree(e.child, e.key, end, root)
		case e.flags&bucketElement != 0 && root:
			err = p.bucket(e.value)
		case e.flags != 0 || root:
			err = fmt.Errorf("page %d: element %d has flags %x", id, i, e.flags)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket: a tree of its own, or, when small, a page in the value.
func (p *pages) bucket(value []byte) error {
	if len(value) < bucketHeader {
		return errors.New("a bucket is too short")
	}
	if id := binary.NativeEndian.Uint64(value); id != 0 {
		return p.tree(id, nil, nil, false)
	}
	inline := page(value[bucketHeader:])
	if len(inline) < pageHeader || inline.flags() != leafPage {
		return errors.New("a bucket in a page is no leaf")
	}
	elements, err := inline.elements(nil, nil)
	for _, e := range elements {
		if e.flags != 0 {
			return errors.New("a bucket in a page holds another")
		}
	}
	return err
}

// free checks the list of free pages: none is in use, none is there twice.
func (p *pages) free() error {
	list, err := p.page(p.freelist)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	ids, count := list[pageHeader:], uint64(list.count())
	if count == 0xFFFF && len(ids) >= 8 {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if list.flags() != freelistPage || count > uint64(len(ids)/8) {
		return fmt.Errorf("free list of kind %x with %d pages", list.flags(), count)
	}
	for ; count > 0; count, ids = count-1, ids[8:] {
		id := binary.NativeEndian.Uint64(ids)
		if id < 2 || id >= p.high || p.seen[id] {
			return fmt.Errorf("page %d is on the free list", id)
		}
		p.seen[id] = true
	}
	return nil
}
