package clientkit_test

import (
	"fmt"
	"log"
	"net/url"

	"breakwater/internal/clientkit"
)

func ExampleContainerd() {
	snippet, err := clientkit.Containerd(clientkit.Mirror{
		URL:    &url.URL{Scheme: "https", Host: "registry.example.com:5443"},
		CA:     "/etc/ssl/registry-ca.crt",
		Routes: []clientkit.Route{{Name: "quay.io", Path: "quay.io", Origin: "https://quay.io"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, file := range snippet.Files {
		fmt.Print(file.Text)
	}
	// Output:
	// # breakwater client-config: quay.io/hosts.toml
	// server = "https://quay.io"
	//
	// [host."https://registry.example.com:5443"]
	//   capabilities = ["pull", "resolve"]
	//   ca = "/etc/ssl/registry-ca.crt"
}

func ExampleDocker() {
	snippet, err := clientkit.Docker(clientkit.Mirror{
		URL:     &url.URL{Scheme: "http", Host: "10.0.0.5:5000"},
		Default: "docker.io",
		Routes:  []clientkit.Route{{Name: "docker.io", Path: "docker.io", Origin: "https://registry-1.docker.io"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(snippet.Files[0].Text)
	// Output:
	// {
	//   "registry-mirrors": [
	//     "http://10.0.0.5:5000"
	//   ],
	//   "insecure-registries": [
	//     "10.0.0.5:5000"
	//   ]
	// }
}
