package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Socket is the socket's name in the cache folder.
const Socket = "breakwater.sock"

// maxAddress is what every system's sockaddr_un holds with a zero after it, in
// bytes: 108 on Linux, 104 elsewhere.
const maxAddress = 103

// ErrNotRunning says that no instance answers on a folder's socket.
var ErrNotRunning = errors.New("no running instance answers")

// listen opens the socket in dir, which the caller has to itself, in the place of
// one that an earlier instance left. It is made in a folder that nobody else may
// enter and moved out of it once it has its mode: at no time can it be found
// with another one.
func listen(dir string) (*net.UnixListener, error) {
	private := filepath.Join(dir, "."+Socket)
	if err := os.RemoveAll(private); err != nil {
		return nil, err
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(private) }() // in the way of nobody but the next instance, which removes it
	var l *net.UnixListener
	err := addressed(private, "new", func(address string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // that name will be another's
	made := filepath.Join(private, "new")
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, filepath.Join(dir, Socket))); err != nil {
		return nil, errors.Join(err, l.Close(), os.RemoveAll(private))
	}
	return l, nil
}

// connect connects to the socket in dir.
func connect(ctx context.Context, dir string) (net.Conn, error) {
	var c net.Conn
	err := addressed(dir, Socket, func(address string) (err error) {
		c, err = new(net.Dialer).DialContext(ctx, "unix", address)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; do this as the user as whom Breakwater runs, or as root", err)
	}
	return c, err
}

// addressed calls use with an address of name in dir that fits into a
// sockaddr_un: where the path is too long, by way of the open folder (proc(5),
// /proc/pid/fd).
func addressed(dir, name string, use func(address string) error) error {
	if path := filepath.Join(dir, name); len(path) <= maxAddress {
		return use(path)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // it was only looked through
	const proc = "/proc/self/fd"
	if _, err := os.Stat(proc); err != nil {
		return fmt.Errorf("the path of a socket in %s is too long, and there is no %s to shorten it; choose a cache folder with a path of at most %d bytes", dir, proc, maxAddress-len(Socket)-len("/new")-2)
	}
	return use(fmt.Sprintf("%s/%d/%s", proc, folder.Fd(), name))
}
