//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// digestOf works for images, indexes and layers.
func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	hash, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// layersOf returns the layers' digests, the lowest first.
func layersOf(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hashes := make([]v1.Hash, len(layers))
	for i, layer := range layers {
		hashes[i] = digestOf(t, layer)
	}
	return hashes
}

func configOf(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	hash, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// child returns the index's image for an architecture.
func child(t *testing.T, idx v1.ImageIndex, architecture string) v1.Image {
	t.Helper()
	manifest, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, desc := range manifest.Manifests {
		if desc.Platform.Architecture == architecture {
			img, err := idx.Image(desc.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return img
		}
	}
	t.Fatalf("the index has no image for %s", architecture)
	return nil
}

// checkDigest compares what a client got with what was pushed.
func checkDigest(t *testing.T, what string, got []byte, want v1.Hash) {
	t.Helper()
	hash, _, err := v1.SHA256(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if hash != want {
		t.Errorf("%s has the digest %s, want %s", what, hash, want)
	}
}

func checkFile(t *testing.T, path string, want v1.Hash) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	checkDigest(t, filepath.Base(path), got, want)
}
