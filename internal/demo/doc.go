// Package demo is the story that `breakwater demo` tells to somebody who has no
// Harbor at hand.
//
// The stage (stage.go, seed.go) is a Harbor stand-in with private images on the
// loopback interface, and a robot whose password lies in a file as an operator
// would keep it. The program puts the real Breakwater before it. Then a client
// without credentials pulls one image, once more at once, and once more while Harbor
// is down, and notes what it asked, what it got, and what Harbor saw meanwhile
// (pull.go). What Breakwater promises is held against these notes (promises.go), and
// both are printed (tell.go, table.go). What the reader can try then is in invite.go.
//
// A demo that cannot fail would prove nothing: a wrong byte, a cookie or a token
// that reaches the client, a password that goes anywhere but to the token service, a
// question to Harbor about what is held, or a pull that ends with Harbor is an error.
package demo
