package fill_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
)

const greeting = "a blob, however small\n"

// repository is a source that has one blob.
type repository string

func (r repository) Key() string                 { return string(r) }
func (r repository) Prove(context.Context) error { return nil }

func (r repository) Fetch(_ context.Context, offset, _ int64) (fill.Part, error) {
	fmt.Println("upstream is asked")
	return fill.Part{Body: io.NopCloser(strings.NewReader(greeting[offset:])), Offset: offset, Size: int64(len(greeting))}, nil
}

// onDisk keeps a blob in a file of the system.
type onDisk struct{ *os.File }

func (o onDisk) Commit() error { return o.Sync() }

func ExampleNew() {
	folder, err := os.MkdirTemp("", "fill")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	life, end := context.WithCancel(context.Background())
	source := repository("https://harbor.example.com/team-a/app")
	f := fill.New(life, fill.Options{
		Digest: digest.FromString(greeting),
		Create: func(int64) (fill.File, error) {
			file, err := os.Create(folder + "/blob")
			return onDisk{file}, err
		},
	}, source)
	defer f.Wait()
	defer end()

	reader, err := f.Join(context.Background(), source)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	for range 2 { // any number of sections, and of readers, at the same time
		section := reader.Section(context.Background(), 0, -1, true)
		defer section.Close()
		if _, err := io.Copy(os.Stdout, section); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// upstream is asked
	// a blob, however small
	// a blob, however small
}
