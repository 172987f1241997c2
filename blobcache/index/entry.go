package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// journalMagic begins a journal; its version follows, then base and a checksum of
// all of these.
const (
	journalMagic   = "breakwater-denials"
	journalVersion = 1
	headerLength   = len(journalMagic) + 1 + 8 + 4

	// longestEntry bounds what is believed of a length that was read.
	longestEntry = 8 << 10
)

// An entry is one denial as the journal has it: length, checksum, payload.
type entry struct {
	seq   uint64
	bytes []byte
}

func journalHeader(base uint64) []byte {
	header := fields(journalMagic).byte(journalVersion).uint64(base)
	return binary.BigEndian.AppendUint32(header, crc32.Checksum(header, checksums))
}

// encode returns a denial as the journal has it.
func (d denial) encode() []byte {
	payload := fields{}.uint64(d.seq).byte(byte(d.operation)).uint64(uint64(d.epoch)).byte(byte(d.kind)).
		text(d.repository.Origin).text(d.repository.Name).text(string(d.key)).text(d.tag)
	entry := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	entry = binary.BigEndian.AppendUint32(entry, crc32.Checksum(payload, checksums))
	return append(entry, payload...)
}

func parseDenial(payload []byte) (denial, bool) {
	p := parser{rest: payload}
	d := denial{
		seq: p.uint64(), operation: operation(p.byte()), epoch: Epoch(p.uint64()), kind: Kind(p.byte()),
		repository: Repository{Origin: p.text(), Name: p.text()}, key: key(p.text()), tag: p.text(),
	}
	return d, p.done() && d.plausible()
}

// plausible tells whether a denial has what its operation needs.
func (d denial) plausible() bool {
	switch d.operation {
	case revoke, forget:
		return d.repository.valid()
	case suspendTag:
		return d.repository.valid() && validTag(d.tag)
	case suspendLink:
		return d.repository.valid() && d.kind.valid() && d.key.valid()
	case block, unblock, forgetDigest:
		return d.key.valid()
	default:
		return false
	}
}

// A history is a journal that was read.
type history struct {
	base    uint64
	denials []denial
	err     error // why it is not all that was written; nil: it is, or there was none
	missing bool
	size    int64
}

// readJournal reads as much as can be believed. Only a newer version, or a file
// that cannot be read at all, is an error.
func readJournal(path string) (history, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return history{missing: true}, nil
	}
	if err != nil {
		return history{}, err
	}
	return parseJournal(data)
}

func parseJournal(data []byte) (history, error) {
	h := history{size: int64(len(data))}
	if len(data) < headerLength || string(data[:len(journalMagic)]) != journalMagic {
		h.err = errors.New("the journal has no header")
		return h, nil
	}
	if version := data[len(journalMagic)]; version > journalVersion {
		return history{}, &FormatError{Found: int(version), Known: journalVersion}
	}
	header, rest := data[:headerLength-4], data[headerLength:]
	if crc32.Checksum(header, checksums) != binary.BigEndian.Uint32(data[headerLength-4:]) {
		h.err = errors.New("the journal's header is damaged")
		return h, nil
	}
	h.base = binary.BigEndian.Uint64(header[len(journalMagic)+1:])
	for last := h.base; len(rest) > 0; {
		d, length, ok := nextDenial(rest)
		if !ok || d.seq < last {
			h.err = fmt.Errorf("the journal is damaged at byte %d", len(data)-len(rest))
			return h, nil
		}
		h.denials = append(h.denials, d)
		last, rest = d.seq, rest[length:]
	}
	return h, nil
}

// nextDenial reads the first entry of a journal's rest. One that was cut short by
// a crash cannot be told from one that was damaged since: it is not ok.
func nextDenial(rest []byte) (d denial, length int, ok bool) {
	p := parser{rest: rest}
	head := p.take(8)
	if head == nil {
		return denial{}, 0, false
	}
	size := binary.BigEndian.Uint32(head)
	if size > longestEntry {
		return denial{}, 0, false
	}
	payload := p.take(int(size))
	if payload == nil || crc32.Checksum(payload, checksums) != binary.BigEndian.Uint32(head[4:]) {
		return denial{}, 0, false
	}
	d, ok = parseDenial(payload)
	return d, 8 + int(size), ok
}

// incomplete tells why the journal does not hold every denial after seq, nil where
// it does.
func (h history) incomplete(seq uint64) error {
	switch {
	case h.missing:
		return errors.New("the journal is missing")
	case h.err == nil && seq < h.base:
		return fmt.Errorf("the journal begins at %d, the index ends at %d", h.base, seq)
	default:
		return h.err
	}
}

// newest is the highest number that the journal knows.
func (h history) newest() uint64 {
	if len(h.denials) == 0 {
		return h.base
	}
	return h.denials[len(h.denials)-1].seq
}
