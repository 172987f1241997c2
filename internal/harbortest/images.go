package harbortest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// format is the set of media types that an image is made of.
type format struct{ manifest, config, layer types.MediaType }

var (
	oci    = format{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer}
	docker = format{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer}
)

// layerSpec says what a layer is made of: equal ones are equal blobs.
type layerSpec struct {
	name string
	size int // as it is pulled
}

// Image makes an OCI image for linux/amd64 with layers of exactly the given
// sizes in bytes, as they are pulled; the least size is 1600. Equal arguments
// make equal images.
func Image(name string, layerSizes ...int) (v1.Image, error) {
	return image(name, oci, layersOf(name, layerSizes)...)
}

// DockerImage is [Image] with Docker's media types (image manifest v2, schema 2).
func DockerImage(name string, layerSizes ...int) (v1.Image, error) {
	return image(name, docker, layersOf(name, layerSizes)...)
}

func layersOf(name string, sizes []int) []layerSpec {
	var layers []layerSpec
	for i, size := range sizes {
		layers = append(layers, layerSpec{fmt.Sprintf("%s-%d", name, i), size})
	}
	return layers
}

// Index makes an OCI index of images for linux on the given architectures, each
// with a layer of the given size; child makes them ([Image] or [DockerImage]).
func Index(name string, child func(string, ...int) (v1.Image, error), layerSize int, architectures ...string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		img, err := child(name+"/"+architecture, layerSize)
		if err != nil {
			return nil, err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		config = config.DeepCopy()
		config.Architecture = architecture
		if img, err = mutate.ConfigFile(img, config); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return index, nil
}

func image(name string, f format, layers ...layerSpec) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, f.manifest), f.config)
	for _, spec := range layers {
		content, err := spec.content()
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}, tarball.WithMediaType(f.layer))
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": name}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	return img, nil
}

// content makes the layer: a gzipped tar of one file, of just that size. Nothing is
// compressed, so the same bytes come from every version of Go: the file is as
// long as surely fits, and an extra field of the gzip header (RFC 1952
// §2.3.1.1) fills the rest.
func (l layerSpec) content() ([]byte, error) {
	const (
		header, field = 10, 6 // gzip's fixed header; XLEN and the head of a subfield
		block         = 512   // of tar: one before the file, two at the end
	)
	frame := header + field + 8 + 5*(2+l.size/65535) // 8: gzip's trailer; 5: head of a stored block
	content := make([]byte, max(0, (l.size-frame)/block-3)*block)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(l.name))).Read(content) // does not fail
	zipped, err := gzipped(strings.ReplaceAll(l.name, "/", "-"), content, l.size)
	if err != nil {
		return nil, err
	}
	filling := l.size - len(zipped) - field
	if filling < 0 {
		return nil, fmt.Errorf("no layer is as small as %d bytes", l.size)
	}
	layer := make([]byte, 0, l.size)
	layer = append(layer, zipped[:header]...)
	layer[3] |= 4 // FEXTRA
	layer = binary.LittleEndian.AppendUint16(layer, uint16(4+filling))
	layer = append(layer, 'B', 'W')
	layer = binary.LittleEndian.AppendUint16(layer, uint16(filling))
	layer = append(layer, make([]byte, filling)...)
	return append(layer, zipped[header:]...), nil
}

// gzipped makes a gzipped tar of one file; it will be about size bytes long.
func gzipped(file string, content []byte, size int) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(size)
	zip, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(zip)
	if err := archive.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(content); err != nil {
		return nil, err
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
