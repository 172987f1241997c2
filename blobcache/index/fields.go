package index

import "encoding/binary"

// fields are the bytes of a value, appended one field after the other: numbers
// big-endian, texts after a length of two bytes.
type fields []byte

func (f fields) uint64(n uint64) fields { return binary.BigEndian.AppendUint64(f, n) }

func (f fields) byte(b byte) fields { return append(f, b) }

func (f fields) bool(b bool) fields {
	if b {
		return append(f, 1)
	}
	return append(f, 0)
}

// text appends a text of less than 64 KiB.
func (f fields) text(s string) fields {
	return append(binary.BigEndian.AppendUint16(f, uint16(len(s))), s...)
}

// A parser reads fields back. It takes any bytes: after the first field that is
// not there, all are zero and done is false.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) take(n int) []byte {
	if p.bad || len(p.rest) < n {
		p.bad = true
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) uint64() uint64 {
	if b := p.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) bool() bool {
	b := p.byte()
	p.bad = p.bad || b > 1
	return b == 1
}

func (p *parser) text() string {
	b := p.take(2)
	if b == nil {
		return ""
	}
	return string(p.take(int(binary.BigEndian.Uint16(b))))
}

// done tells whether every field was there and nothing is left.
func (p *parser) done() bool { return !p.bad && len(p.rest) == 0 }
