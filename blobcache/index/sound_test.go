package index

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// manyPages is an index with branch pages, free pages and a small bucket.
func manyPages(t testing.TB) (path string) {
	path = filepath.Join(t.TempDir(), "index.db")
	for range 2 {
		x := mustOpen(t, Options{Path: path})
		grantMany(t, x, 0, 400)
		must(t, x.Block(dig("a")))
		mustClose(t, x)
	}
	return path
}

// TestSoundAgrees: what bbolt's own check finds in order is sound.
func TestSoundAgrees(t *testing.T) {
	path := manyPages(t)
	must(t, sound(path))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	}))
}

// pagesOf finds the pages of a kind that are in use.
func pagesOf(t *testing.T, data []byte, kind uint16) (found []int) {
	t.Helper()
	p, err := readMeta(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	must(t, p.check())
	free := make(map[int]bool)
	list := page(data[int(p.freelist)*p.size:])
	for i := range int(list.count()) {
		free[int(binary.NativeEndian.Uint64(list[pageHeader+8*i:]))] = true
	}
	for at := 2 * p.size; at+p.size <= len(data) && at < int(p.high)*p.size; at += p.size {
		if page(data[at:]).flags() == kind && !free[at/p.size] {
			found = append(found, at)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no page of kind %x", kind)
	}
	return found
}

// TestUnsound makes one mistake of each kind in an index that is in order. Some of
// them would make bbolt loop, or read what is not in the file.
func TestUnsound(t *testing.T) {
	path := manyPages(t)
	whole, err := os.ReadFile(path)
	must(t, err)
	order := binary.NativeEndian
	for name, do := range map[string]func(t *testing.T, data []byte){
		"both metas": func(t *testing.T, data []byte) { data[16], data[4096+16] = 0, 0 },
		"page id": func(t *testing.T, data []byte) {
			order.PutUint64(data[pagesOf(t, data, leafPage)[0]:], 9999)
		},
		"kind": func(t *testing.T, data []byte) {
			order.PutUint16(data[pagesOf(t, data, leafPage)[0]+8:], 0x40)
		},
		"count": func(t *testing.T, data []byte) {
			order.PutUint16(data[pagesOf(t, data, leafPage)[0]+10:], 0xFFFF)
		},
		"overflow": func(t *testing.T, data []byte) {
			order.PutUint32(data[pagesOf(t, data, leafPage)[0]+12:], 1<<30)
		},
		"child is its parent": func(t *testing.T, data []byte) {
			branch := pagesOf(t, data, branchPage)[0]
			order.PutUint64(data[branch+pageHeader+8:], uint64(branch/4096))
		},
		"child outside": func(t *testing.T, data []byte) {
			order.PutUint64(data[pagesOf(t, data, branchPage)[0]+pageHeader+8:], 1<<50)
		},
		"branch without children": func(t *testing.T, data []byte) {
			order.PutUint16(data[pagesOf(t, data, branchPage)[0]+10:], 0)
		},
		"key outside": func(t *testing.T, data []byte) {
			order.PutUint32(data[pagesOf(t, data, leafPage)[0]+pageHeader+4:], 0xFFFFFFF0)
		},
		"value outside": func(t *testing.T, data []byte) {
			order.PutUint32(data[pagesOf(t, data, leafPage)[0]+pageHeader+12:], 0xFFFFFFF0)
		},
		"keys out of order": func(t *testing.T, data []byte) {
			p := page(data[pagesOf(t, data, branchPage)[0]:])
			e, _ := p.element(1, false)
			e.key[0] = 0xFF
		},
		"free list too long": func(t *testing.T, data []byte) {
			order.PutUint16(data[pagesOf(t, data, freelistPage)[0]+10:], 0xFFFE)
		},
		"free list endless": func(t *testing.T, data []byte) {
			list := data[pagesOf(t, data, freelistPage)[0]:]
			order.PutUint16(list[10:], 0xFFFF)
			order.PutUint64(list[pageHeader:], 1<<40)
		},
		"page in use is free": func(t *testing.T, data []byte) {
			used := pagesOf(t, data, leafPage)[0] / 4096
			list := data[pagesOf(t, data, freelistPage)[0]:]
			order.PutUint64(list[pageHeader:], uint64(used))
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(whole)
			do(t, data)
			must(t, os.WriteFile(path, data, 0o600))
			if err := sound(path); !damaged(err) {
				t.Errorf("sound: %v", err)
			}
		})
	}
}

// FuzzSound writes over an index. Whatever it is then, reading it ends; and what
// was called sound is read by bbolt without a fault that nobody could catch.
func FuzzSound(f *testing.F) {
	path := manyPages(f)
	whole, err := os.ReadFile(path)
	must(f, err)
	f.Add([]byte{})
	for at := 0; at < len(whole)/4096; at += 9 {
		for _, offset := range []int{0, 8, 10, 12, 16, 20, 24, 28} {
			f.Add(binary.BigEndian.AppendUint32([]byte{}, uint32(at*4096+offset)))
		}
	}
	f.Fuzz(func(t *testing.T, patches []byte) {
		data := bytes.Clone(whole)
		for p := (parser{rest: patches}); len(p.rest) >= 5; {
			at := binary.BigEndian.Uint32(p.take(4))
			data[int(at)%len(data)] = p.byte()
		}
		changed := filepath.Join(t.TempDir(), "index.db")
		must(t, os.WriteFile(changed, data, 0o600))
		if sound(changed) != nil {
			return
		}
		if _, file, _ := readFile(changed, func(string) error { return nil }, limits{}); file != nil {
			must(t, file.close())
		}
	})
}
