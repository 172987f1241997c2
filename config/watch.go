package config

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"
)

// Watched remembers what a few small files held, and tells when that changes.
//
// It compares contents, by polling. Kubernetes replaces a secret by swapping a
// symbolic link two folders up, others write in place or rename over it, and
// on some network file systems no notification comes at all: the content is
// what they have in common.
type Watched struct {
	files []string
	last  []content
}

// content is what was found of a file: its hash, or that it could not be read.
type content struct {
	sum      [sha256.Size]byte
	readable bool
}

// Watch remembers the files as they are now. Call it before whoever uses them
// reads them, then no change falls between.
func Watch(files []string) *Watched {
	w := &Watched{files: slices.Clone(files)}
	for _, file := range w.files {
		w.last = append(w.last, look(file))
	}
	return w
}

// Run looks every so often until ctx ends, and then returns. It calls changed,
// never twice at once, with the files that hold something else than before, or
// came, or went. A file that is being written may be seen half: whoever reads
// it keeps what it has until the new content is good, and is called again.
func (w *Watched) Run(ctx context.Context, every time.Duration, changed func(files []string)) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			if files := w.differing(); len(files) > 0 {
				changed(files)
			}
		}
	}
}

// differing is which files changed since it was last asked.
func (w *Watched) differing() []string {
	var files []string
	for i, file := range w.files {
		if now := look(file); now != w.last[i] {
			w.last[i] = now
			files = append(files, file)
		}
	}
	return files
}

func look(file string) content {
	data, m := regularFile(file, maxDocument)
	if m != nil {
		return content{}
	}
	return content{sum: sha256.Sum256(data), readable: true}
}
