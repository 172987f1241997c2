package index_test

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"breakwater/blobcache/index"
)

// A link is born under the epoch that was current when upstream was asked.
func Example() {
	x, err := index.Open(index.Options{}) // memory only
	if err != nil {
		fmt.Println(err)
		return
	}
	defer x.Close()

	app := index.Repository{Origin: "https://harbor.example.com:443", Name: "team-a/app"}
	layer := digest.FromString("layer")

	epoch := x.Epoch(app)
	// … upstream is asked for the pair, and answers 200 …
	fmt.Println(x.PutLink(app, epoch, index.Blob, layer, index.Link{Size: 5}))
	link, ok := x.Link(app, index.Blob, layer)
	fmt.Println(link.Size, ok)

	// Access was refused, and the refusal is confirmed.
	if err := x.Revoke(app); err != nil {
		fmt.Println(err)
	}
	_, ok = x.Link(app, index.Blob, layer)
	fmt.Println(ok)
	fmt.Println(x.PutLink(app, epoch, index.Blob, layer, index.Link{Size: 5}))

	// Output:
	// true
	// 5 true
	// false
	// false
}
