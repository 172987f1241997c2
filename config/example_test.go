package config_test

import (
	"fmt"

	"breakwater/config"
)

func ExampleParse() {
	c, err := config.Parse("config.yaml", []byte(`
upstreams:
  harbor:
    url: https://harbor.example.com
listeners:
  - address: localhost:5000
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Upstreams["harbor"].URL, "on", c.Listeners[0].Address, "with a grace of", c.ShutdownGrace)
	// Output: https://harbor.example.com on localhost:5000 with a grace of 30s
}

func ExampleParse_problems() {
	_, err := config.Parse("config.yaml", []byte(`
upstreams:
  harbor:
    url: https://harbor.example.com
    usrname: robot$breakwater
cache:
  dir: /var/lib/breakwater
  max_size: 60G
`))
	fmt.Println(err)
	// Output:
	// config.yaml:5: upstreams.harbor.usrname: unknown key; did you mean "username"?
	// config.yaml:8: cache.max_size: "60G" is not a size; write a whole number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 60GiB
}

func ExampleFromFlags() {
	var f config.Flags // in the program, f.Declare(command.Flags()) fills it
	f.Upstream = "https://robot:secret@harbor.example.com"
	f.Listen, f.AdminListen, f.MaxSize = "127.0.0.1:5000", "127.0.0.1:9090", "10GiB"
	_, err := config.FromFlags(f)
	fmt.Println(err)
	// Output:
	// --upstream: holds a user name or password, which would be printed wherever the URL is; remove what stands before the @, the account is given on its own
}
