// Command breakwater stands in front of a Harbor registry and serves what its own
// account may pull there to those whom its operator lets in.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
