package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// mirror is a world with the images that the clients pulled, and a listener for each
// way in which they took it.
type mirror struct {
	*world
	transport *http.Transport    // the client's
	body      bytes.Buffer       // that it read last
	store     *blobcache.Cache   // of the listeners
	listeners map[string]string  // URLs, by usual registry, " asking" after it where we ask who it is
	contents  map[string]content // by the names that digests have in the recordings
	tags      map[string]string  // the name of what repository:tag is
}

// content is what a digest stands for.
type content struct {
	digest    digest.Digest
	mediaType string
	body      []byte // nil where only Harbor knows it
}

func newMirror(t *testing.T, recording string) *mirror {
	m := &mirror{world: newWorld(t, account), transport: &http.Transport{DisableCompression: true}, listeners: map[string]string{}, contents: map[string]content{}, tags: map[string]string{}}
	m.seed(recording)
	var err error
	m.store, err = blobcache.Open(t.Context(), blobcache.Options{Dir: t.TempDir(), MaxSize: 1 << 30, Memory: 16 << 20, Events: m.events, Log: m.newLog()})
	m.must(err)
	mode, err := access.NewPassword(access.PasswordOptions{
		Read: func() ([]byte, error) { return htpasswd("alice") }, Listener: "test", Events: m.events, Log: m.newLog(),
	})
	m.must(err)
	asking := access.New(access.Options{
		Listener: "test", Mode: mode, Allow: access.Everything(), Events: m.events,
		Limits: access.Limits{Connections: 1 << 20, AddressPulls: 1 << 20, SubjectPulls: 1 << 20},
	})
	registry := m.policy.over(m.client, m.store, m.events, m.newLog())
	t.Cleanup(m.transport.CloseIdleConnections)
	t.Cleanup(func() { m.must(errors.Join(registry.Close(), asking.Close(), m.store.Close())) })
	for name, handler := range map[string]http.Handler{
		"docker.io":          registry.Behind(m.gate, "docker.io"),
		"docker.io asking":   registry.Behind(asking, "docker.io"),
		"harbor.example.com": registry.Behind(m.gate, "harbor.example.com"),
	} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		m.listeners[name] = server.URL
	}
	return m
}

// seed pushes the images that the recording names, of the sizes that they had where it
// has ranges.
func (m *mirror) seed(recording string) {
	hub, err := m.harbor.Upstream("hub-proxy")
	if err != nil {
		m.Fatal(err)
	}
	for repository, images := range map[string]map[string][]int{
		"hello": {"hello:1": {1700}},
		"big":   {"big:1": {5002797, 5002802, 5002802, 5002812}},
		"esgz":  {"esgz:1": {3613515}},
		"z":     {"z-a:a": {3614104}, "z-b:b": {3614150}},
	} {
		if !strings.Contains(recording, "/"+repository+"/") {
			continue
		}
		for named, sizes := range images {
			if !regexp.MustCompile("/" + repository + "/blobs/.* Range:").MatchString(recording) {
				sizes = slices.Repeat([]int{100_000}, len(sizes))
			}
			name, tag, _ := strings.Cut(named, ":")
			img, err := harbortest.Image(name, sizes...)
			m.must(err)
			_, err = hub.Push("library/"+repository, tag, img)
			m.must(err)
			m.image(name, img)
			m.tags["library/"+repository+":"+tag] = name
			if strings.Contains(recording, "/team-a/"+repository+"/") {
				_, err = m.harbor.Push("team-a/"+repository, tag, img)
				m.must(err)
				m.tags["team-a/"+repository+":"+tag] = name
			}
		}
	}
	if strings.Contains(recording, "{multi}") || strings.Contains(recording, "/multi/") {
		m.seedIndex(hub)
	}
	if strings.Contains(recording, "{hello.tag}") {
		m.seedReferrers(hub)
	}
}

func (m *mirror) seedIndex(hub *harbortest.Registry) {
	index, err := harbortest.Index("multi", harbortest.DockerImage, 1700, "amd64", "arm64")
	m.must(err)
	index = mutate.IndexMediaType(index, types.DockerManifestList)
	_, err = hub.PushIndex("library/multi", "1", index)
	m.must(err)
	raw, err := index.RawManifest()
	m.must(err)
	m.contents["multi"] = content{digest.FromBytes(raw), registry.TypeDockerList, raw}
	m.tags["library/multi:1"] = "multi"
	list, err := index.IndexManifest()
	m.must(err)
	for _, child := range list.Manifests {
		img, err := index.Image(child.Digest)
		m.must(err)
		m.image("multi."+child.Platform.Architecture, img)
	}
}

// seedReferrers pushes an artifact about hello, and the tag by which clients look for
// those where there is no referrers API.
func (m *mirror) seedReferrers(hub *harbortest.Registry) {
	subject, err := v1.NewHash(m.contents["hello"].digest.String())
	m.must(err)
	blob := []byte("artifact")
	artifact, err := hub.PushArtifact("library/hello", "", harbortest.Artifact{Type: "application/vnd.example.thing", MediaType: "text/plain", Content: blob, Subject: subject})
	m.must(err)
	m.contents["artifact"] = content{digest.Digest(artifact.String()), registry.TypeOCIManifest, nil}
	m.contents["artifact.config"] = content{digest.FromString("{}"), "", []byte("{}")}
	m.contents["artifact.layer1"] = content{digest.FromBytes(blob), "", blob}
	tag := "sha256-" + subject.Hex
	list, err := hub.PushIndex("library/hello", tag, empty.Index)
	m.must(err)
	m.contents["hello.referrers"] = content{digest.Digest(list.String()), registry.TypeOCIIndex, nil}
	m.tags["library/hello:"+tag] = "hello.referrers"
}

func (m *mirror) image(name string, img v1.Image) {
	m.Helper()
	raw, err := img.RawManifest()
	m.must(err)
	mediaType, err := img.MediaType()
	m.must(err)
	config, err := img.RawConfigFile()
	m.must(err)
	layers, err := img.Layers()
	m.must(err)
	m.contents[name] = content{digest.FromBytes(raw), string(mediaType), raw}
	m.contents[name+".config"] = content{digest.FromBytes(config), "", config}
	for i, layer := range layers {
		compressed, err := layer.Compressed()
		m.must(err)
		body, err := io.ReadAll(compressed)
		m.must(errors.Join(err, compressed.Close()))
		m.contents[fmt.Sprintf("%s.layer%d", name, i+1)] = content{digest.FromBytes(body), "", body}
	}
}

func (m *mirror) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}
