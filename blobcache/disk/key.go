package disk

import (
	_ "crypto/sha256" // for digest.SHA256
	_ "crypto/sha512" // for digest.SHA512
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The folders under Options.Dir.
const (
	blobsFolder    = "blobs"
	partialsFolder = "partial"
)

// key is a digest's raw bytes; its length tells the algorithm. It takes half the
// memory of the text.
type key string

// keyOf is where a digest becomes a file name, so nothing is taken on trust here.
func keyOf(d digest.Digest) (key, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	if a := d.Algorithm(); a != digest.SHA256 && a != digest.SHA512 {
		return "", fmt.Errorf("digest %q: %w", d, digest.ErrDigestUnsupported)
	}
	raw, err := hex.DecodeString(d.Encoded())
	if err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	return key(raw), nil
}

func (k key) digest() digest.Digest {
	algorithm := digest.SHA256
	if len(k) == algorithm512 {
		algorithm = digest.SHA512
	}
	return digest.NewDigestFromEncoded(algorithm, hex.EncodeToString([]byte(k)))
}

const algorithm512 = 64 // bytes of a SHA-512 sum

// folder is where the blob's file is.
func (k key) folder() string {
	d := k.digest()
	return path.Join(blobsFolder, d.Algorithm().String(), d.Encoded()[:2])
}

// path is the blob's file.
func (k key) path() string { return path.Join(k.folder(), k.digest().Encoded()) }

// partialPath is a file for a fill of the blob. The suffix is random because the
// file of a fill that was given up may still be read while the next one writes.
func (k key) partialPath(suffix string) string {
	d := k.digest()
	return path.Join(partialsFolder, d.Algorithm().String()+"-"+d.Encoded()+"."+suffix)
}

// isPartial tells whether a name in partial/ is one that partialPath makes.
func isPartial(name string) bool {
	text, suffix, found := strings.Cut(name, ".")
	if !found || suffix == "" {
		return false
	}
	_, err := keyOf(digest.Digest(strings.Replace(text, "-", ":", 1)))
	return err == nil
}
