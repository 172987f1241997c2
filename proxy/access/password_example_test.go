package access_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"breakwater/proxy/access"
)

type loginCounter map[access.Result]int

func (loginCounter) ClientRefused(string, access.Why) {}

func (c loginCounter) CredentialsChecked(_ string, result access.Result) { c[result]++ }

func ExampleNewPassword() {
	// Made with: htpasswd -nbB -C 4 alice wonderland
	file := "alice:$2y$04$EQB7S0IMx7nAofKSC3RXoOp7TcTz7EKkbFmoa.ljW1tKwFGckr38S\n"
	logins := loginCounter{}
	mode, err := access.NewPassword(access.PasswordOptions{
		Read:     func() ([]byte, error) { return []byte(file), nil },
		Listener: ":5443",
		Events:   logins,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mode.Close()

	pull := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	for _, password := range []string{"wonderland", "wonderland", "underground"} {
		pull.SetBasicAuth("alice", password)
		client, err := mode.Authenticate(context.Background(), pull)
		fmt.Printf("%q %v\n", client.Subject, err)
	}
	fmt.Println(logins)

	// Output:
	// "alice" <nil>
	// "alice" <nil>
	// "" bad_credentials: UNAUTHORIZED: wrong user name or password: not the password of "alice"
	// map[accepted:1 rejected:1]
}
