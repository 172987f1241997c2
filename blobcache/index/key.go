package index

import (
	"encoding/hex"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A key is a digest in few bytes: one for its algorithm, then its raw bytes.
type key string

// The first byte of a key. Written to disk: never renumbered.
const (
	sha256Key = 1
	sha512Key = 2
)

// keyOf returns the key of a digest, and false for what is none of ours.
func keyOf(d digest.Digest) (key, bool) {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	var first byte
	switch {
	case algorithm == "sha256" && len(encoded) == 64:
		first = sha256Key
	case algorithm == "sha512" && len(encoded) == 128:
		first = sha512Key
	default:
		return "", false
	}
	raw := make([]byte, 1, 1+len(encoded)/2)
	raw[0] = first
	for i := 0; i < len(encoded); i += 2 {
		high, low := strings.IndexByte(lowerHex, encoded[i]), strings.IndexByte(lowerHex, encoded[i+1])
		if high < 0 || low < 0 {
			return "", false
		}
		raw = append(raw, byte(high<<4|low))
	}
	return key(raw), true
}

// lowerHex are the only digits of a digest (OCI image specification, descriptor.md).
const lowerHex = "0123456789abcdef"

// digest is the inverse of keyOf, empty for an empty key.
func (k key) digest() digest.Digest {
	switch {
	case k == "":
		return ""
	case k[0] == sha256Key:
		return digest.Digest("sha256:" + hex.EncodeToString([]byte(k[1:])))
	default:
		return digest.Digest("sha512:" + hex.EncodeToString([]byte(k[1:])))
	}
}

// valid tells whether bytes from a file are a key.
func (k key) valid() bool {
	return len(k) == 33 && k[0] == sha256Key || len(k) == 65 && k[0] == sha512Key
}

// A linkKey is a [Kind] and a key: a blob is never found as a manifest.
type linkKey string

func (kind Kind) of(k key) linkKey { return linkKey(string([]byte{byte(kind)}) + string(k)) }

func (l linkKey) kind() Kind { return Kind(l[0]) }
func (l linkKey) key() key   { return key(l[1:]) }

func (kind Kind) valid() bool { return kind == Manifest || kind == Blob }

func (l linkKey) valid() bool { return len(l) > 1 && l.kind().valid() && l.key().valid() }
