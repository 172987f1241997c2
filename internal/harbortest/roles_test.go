package harbortest

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

var filePattern = regexp.MustCompile(`<(\d+) bytes from a file, sha256:([0-9a-f]{64})>`)

// fileContent is what stands for a file of the recording.
func fileContent(hex string, size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte([]byte(hex)[:32])).Read(content)
	return content
}

func (w *world) learnFile(body string) {
	if m := filePattern.FindStringSubmatch(body); m != nil {
		size, err := strconv.Atoi(m[1])
		w.must(err)
		w.ours[m[2]] = digest.FromBytes(fileContent(m[2], size)).Encoded()
		w.ours["size of "+m[2]] = m[1]
	}
}

// learnRoles looks up in this Harbor what the recorded digests stand for.
func (w *world) learnRoles() {
	text, err := os.ReadFile("testdata/roles.txt")
	w.must(err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if found := w.find(fields[1], fields[2:]); found != "" {
			w.ours[fields[0]] = digest.Digest(found).Encoded()
		}
	}
}

// find returns the digest of a role; "" if this world does not have it.
func (w *world) find(where string, role []string) string {
	if where == "+" {
		var joined []byte
		for _, hex := range role {
			size, _ := strconv.Atoi(w.ours["size of "+hex])
			joined = append(joined, fileContent(hex, size)...)
		}
		return digest.FromBytes(joined).String()
	}
	repository, tag, _ := strings.Cut(w.translate(role[0]), ":")
	g, err := w.h.Content(repository)
	if where == "upstream" {
		g, err = w.h.Upstream("hub-proxy")
	}
	w.must(err)
	m, ok := g.manifest(repository, tag)
	if !ok {
		return ""
	}
	if len(role) == 1 {
		return m.digest.String()
	}
	if role[1] == "referrer" {
		return ofType(g.referrers(repository, m.digest), role[2])[0].Digest.String()
	}
	var list listed
	w.must(json.Unmarshal(m.body, &list))
	if role[1] == "config" {
		return list.Config.Digest.String()
	}
	n, err := strconv.Atoi(role[2])
	w.must(err)
	if role[1] == "layer" {
		return list.Layers[n].Digest.String()
	}
	return list.Manifests[n].Digest.String()
}
