//go:build e2e

package e2e

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// freeAddress finds a port of the loopback interface that nobody listens on, and keeps
// it for this test.
func freeAddress(t *testing.T) string {
	t.Helper()
	return freeAddressOf(t, "127.0.0.1")
}

// freeAddressOf finds a port of this IPv4 address. Until the test ends a socket is bound
// to it that does not listen: so the system gives the port to nobody who asks for any,
// while whoever names it may listen there (SO_REUSEADDR, which Go sets on listeners),
// and may again after a restart.
func freeAddressOf(t *testing.T, host string) string {
	t.Helper()
	socket := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0))(t)
	t.Cleanup(func() { mustDo(t, syscall.Close(socket)) })
	mustDo(t, syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	mustDo(t, syscall.Bind(socket, &syscall.SockaddrInet4{Addr: netip.MustParseAddr(host).As4()}))
	bound := must(syscall.Getsockname(socket))(t)
	return netip.AddrPortFrom(netip.MustParseAddr(host), uint16(bound.(*syscall.SockaddrInet4).Port)).String()
}

// A kept port is nobody else's, and can be listened on again and again.
func TestFreeAddressIsKept(t *testing.T) {
	address := freeAddress(t)
	for range 100 {
		other := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		defer other.Close()
		if other.Addr().String() == address {
			t.Fatalf("%s was given away", address)
		}
	}
	for range 3 {
		mustDo(t, must(net.Listen("tcp", address))(t).Close())
	}
}
