package harbortest_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A layer has the size that was asked for, and what its config says of it is
// true: clients unpack these images.
func TestImages(t *testing.T) {
	sizes := []int{1600, 2111, 2264, 3266, 65536, 1 << 20}
	for name, makeImage := range map[string]func(string, ...int) (v1.Image, error){
		"OCI": harbortest.Image, "Docker": harbortest.DockerImage,
	} {
		t.Run(name, func(t *testing.T) {
			img, err := makeImage("some/image:1", sizes...)
			if err != nil {
				t.Fatal(err)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			config, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			for i, layer := range layers {
				size, diffID := unpack(t, layer)
				if size != int64(sizes[i]) || diffID != config.RootFS.DiffIDs[i].String() {
					t.Errorf("layer %d has %d bytes and unpacks to %s, want %d and %s", i, size, diffID, sizes[i], config.RootFS.DiffIDs[i])
				}
			}
		})
	}
	if _, err := harbortest.Image("too/small:1", 1500); err == nil {
		t.Error("a layer of 1500 bytes was made")
	}
}

// unpack returns the size of a layer as it is pulled, and the digest of its tar.
func unpack(t *testing.T, layer v1.Layer) (int64, string) {
	t.Helper()
	size, err := layer.Size()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	zip, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	plain := io.TeeReader(zip, sum)
	files := tar.NewReader(plain)
	for _, err = files.Next(); err == nil; _, err = files.Next() {
	}
	if err != io.EOF {
		t.Fatalf("tar: %v", err)
	}
	if _, err := io.Copy(io.Discard, plain); err != nil {
		t.Fatal(err)
	}
	return size, fmt.Sprintf("sha256:%x", sum.Sum(nil))
}
