package harbortest_test

import (
	"fmt"
	"io"
	"net/http"

	"breakwater/internal/harbortest"
)

func Example() {
	h := harbortest.New()
	if err := harbortest.Seed(h); err != nil {
		fmt.Println(err)
		return
	}
	server := h.StartInMemory() // or Start("127.0.0.1:0")
	defer server.Close()

	request, err := http.NewRequest(http.MethodGet, server.URL+"/v2/team-a/app/tags/list?n=3", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	request.SetBasicAuth(harbortest.Puller, harbortest.Password(harbortest.Puller))
	client := &http.Client{Transport: server.Transport()}
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Print(string(body), err, "\n")
	seen := h.Requests()[0]
	fmt.Println(seen.Method, seen.Path, seen.Account, seen.Status)
	// Output:
	// {"name":"team-a/app","tags":["1.0","1.1","a1"]}
	// <nil>
	// GET /v2/team-a/app/tags/list robot$team-a+puller 200
}
