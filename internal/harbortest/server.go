package harbortest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a Harbor on a listener, and its object storage on another one.
type Server struct {
	URL        string // of the Harbor, without a slash at the end
	StorageURL string // of its object storage, for [Fault.RedirectTo]
	CA         []byte // PEM; the certificate of [Harbor.StartTLS]

	servers  []*http.Server
	serving  sync.WaitGroup // listeners
	active   sync.WaitGroup // connections
	memory   map[string]*memoryListener
	shutdown sync.Once
}

// Start serves plain HTTP on an address such as "127.0.0.1:0". The object
// storage has the same host and a port of its own.
func (h *Harbor) Start(address string) (*Server, error) { return h.start(address, nil, nil) }

// StartTLS serves HTTPS with a certificate of its own for localhost and the
// loopback addresses.
func (h *Harbor) StartTLS(address string) (*Server, error) {
	certificate, pemBytes, err := selfSigned()
	if err != nil {
		return nil, err
	}
	return h.start(address, &tls.Config{Certificates: []tls.Certificate{certificate}}, pemBytes)
}

func (h *Harbor) start(address string, config *tls.Config, ca []byte) (*Server, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("harbortest: address %q: %w", address, err)
	}
	front, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("harbortest: %w", err)
	}
	storage, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("harbortest: %w", err), front.Close())
	}
	scheme := "http://"
	frontAddress, storageAddress := front.Addr().String(), storage.Addr().String()
	if config != nil {
		scheme = "https://"
		front, storage = tls.NewListener(front, config), tls.NewListener(storage, config)
	}
	s := &Server{URL: scheme + frontAddress, StorageURL: scheme + storageAddress, CA: ca}
	s.serve(front, h)
	s.serve(storage, h.ObjectStorage())
	return s, nil
}

// StartInMemory serves plain HTTP without any network, as harbor.test and
// storage.test, which only [Server.Transport] reaches. It is what a
// testing/synctest bubble needs.
func (h *Harbor) StartInMemory() *Server {
	front, storage := newMemoryListener("harbor.test:80"), newMemoryListener("storage.test:80")
	s := &Server{
		URL: "http://harbor.test", StorageURL: "http://storage.test",
		memory: map[string]*memoryListener{"harbor.test:80": front, "storage.test:80": storage},
	}
	s.serve(front, h)
	s.serve(storage, h.ObjectStorage())
	return s
}

// serve runs a server until Close.
func (s *Server) serve(l net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(io.Discard, "", 0), // aborted handlers are what faults do
		ReadHeaderTimeout: time.Minute,
		MaxHeaderBytes:    32 << 10, // nginx: large_client_header_buffers 4 8k
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.active.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.active.Done()
			}
		},
	}
	s.servers = append(s.servers, server)
	s.serving.Go(func() { _ = server.Serve(l) }) // it ends with http.ErrServerClosed
}

// Transport returns a new transport that trusts the server's certificate and,
// for a server in memory, reaches it.
func (s *Server) Transport() *http.Transport {
	t := &http.Transport{}
	if s.CA != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(s.CA)
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	if s.memory != nil {
		t.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			l := s.memory[address]
			if l == nil {
				return nil, &net.OpError{Op: "dial", Net: "memory", Err: fmt.Errorf("no host %s", address)}
			}
			return l.dial(ctx)
		}
	}
	return t
}

// Close closes the listeners and all connections, and waits for the handlers.
func (s *Server) Close() error {
	var err error
	s.shutdown.Do(func() {
		for _, server := range s.servers {
			err = errors.Join(err, server.Close())
		}
		s.serving.Wait()
		s.active.Wait()
	})
	return err
}

// memoryListener accepts connections that are pipes.
type memoryListener struct {
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newMemoryListener(address string) *memoryListener {
	return &memoryListener{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return memoryConn{c, l.Addr()}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return memoryAddr(l.address) }

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }

// memoryConn is the server's end of a pipe.
type memoryConn struct {
	net.Conn
	local net.Addr
}

// LocalAddr implements net.Conn.
func (c memoryConn) LocalAddr() net.Addr { return c.local }

// selfSigned makes a certificate for the loopback addresses, good for a year.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("harbortest: certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("harbortest: certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
