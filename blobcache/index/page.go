package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The layout of bbolt's pages, which has not changed since 2014. Numbers are in
// the machine's order.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader    = 16 // id, flags, count, overflow
	elementLength = 16
	bucketHeader  = 16 // root page, sequence
	metaLength    = 64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01
)

// A page is its bytes.
type page []byte

func (p page) id() uint64       { return binary.NativeEndian.Uint64(p) }
func (p page) flags() uint16    { return binary.NativeEndian.Uint16(p[8:]) }
func (p page) count() uint16    { return binary.NativeEndian.Uint16(p[10:]) }
func (p page) overflow() uint32 { return binary.NativeEndian.Uint32(p[12:]) }

// An element is one of a branch page (key, child) or a leaf page (key, value).
type element struct {
	key, value []byte
	flags      uint32
	child      uint64
}

// elements reads a page's elements, whose keys ascend within the bounds.
func (p page) elements(least, most []byte) ([]element, error) {
	count := int(p.count())
	leaf := p.flags() == leafPage
	switch {
	case !leaf && p.flags() != branchPage:
		return nil, fmt.Errorf("kind %x", p.flags())
	case !leaf && count == 0:
		return nil, errors.New("a branch without children")
	case pageHeader+count*elementLength > len(p):
		return nil, fmt.Errorf("%d elements", count)
	}
	elements := make([]element, count)
	for i := range elements {
		e, ok := p.element(i, leaf)
		if !ok {
			return nil, fmt.Errorf("element %d is outside", i)
		}
		if len(e.key) == 0 || bytes.Compare(e.key, least) < 0 || most != nil && bytes.Compare(e.key, most) >= 0 ||
			i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 {
			return nil, fmt.Errorf("element %d is out of order", i)
		}
		elements[i] = e
	}
	return elements, nil
}

func (p page) element(i int, leaf bool) (e element, ok bool) {
	order, at := binary.NativeEndian, pageHeader+i*elementLength
	head := p[at : at+elementLength]
	var position, keyLength, valueLength uint64
	if leaf {
		e.flags, position = order.Uint32(head), uint64(order.Uint32(head[4:]))
		keyLength, valueLength = uint64(order.Uint32(head[8:])), uint64(order.Uint32(head[12:]))
	} else {
		position, keyLength, e.child = uint64(order.Uint32(head)), uint64(order.Uint32(head[4:])), order.Uint64(head[8:])
	}
	start := uint64(at) + position
	if start+keyLength+valueLength > uint64(len(p)) {
		return element{}, false
	}
	e.key = p[start : start+keyLength]
	e.value = p[start+keyLength : start+keyLength+valueLength]
	return e, true
}
