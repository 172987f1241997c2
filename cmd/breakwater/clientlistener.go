package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"breakwater/config"
	"breakwater/internal/clientkit"
	"breakwater/proxy/route"
)

// choose finds the listener that the command is about.
func (k *kit) choose(listeners []config.Listener) (config.Listener, error) {
	var addresses []string
	for _, l := range listeners {
		if k.listener == string(l.Address) {
			return l, nil
		}
		addresses = append(addresses, string(l.Address))
	}
	if k.listener != "" {
		return config.Listener{}, fmt.Errorf("--listener %q: there is none; write one of %s", k.listener, strings.Join(addresses, ", "))
	}
	for _, fits := range []func(config.Listener) bool{k.prefers, asksNoLogin} {
		if fits == nil {
			continue
		}
		if i := slices.IndexFunc(listeners, fits); i >= 0 {
			return listeners[i], nil
		}
	}
	return listeners[0], nil
}

// asksNoLogin tells of a listener that a mirror's clients need no secret in a file for.
func asksNoLogin(l config.Listener) bool { return l.Anonymous != nil || l.MTLS != nil }

// forDockerHub tells of a listener that takes Docker's requests as they are.
func forDockerHub(l config.Listener) bool { return asksNoLogin(l) && l.Default == route.DockerHub }

func accessOf(l config.Listener) clientkit.Access {
	switch {
	case l.Token != nil:
		return clientkit.Token
	case l.Password != nil, l.Harbor != nil:
		return clientkit.Login
	case l.MTLS != nil:
		return clientkit.Certificate
	}
	return clientkit.Anonymous
}

// reachedAt is the URL of a listener as clients on its own machine may write it.
func reachedAt(l config.Listener) (string, error) {
	host, port, err := net.SplitHostPort(string(l.Address))
	switch {
	case err != nil:
		return "", err
	case port == "0":
		return "", errors.New("the system chooses its port")
	case l.TLS != nil:
		name, err := certified(l.TLS.CertFile)
		return "https://" + net.JoinHostPort(name, port), err
	}
	if ip, err := netip.ParseAddr(host); err != nil || ip.IsUnspecified() {
		host = "127.0.0.1" // localhost, or every address
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// certified is the first name that a certificate is for, or its first address.
func certified(file string) (string, error) {
	content, err := config.ReadFile(file)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return "", fmt.Errorf("no certificate in %s", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range leaf.DNSNames {
		if !strings.Contains(name, "*") {
			return name, nil
		}
	}
	if len(leaf.IPAddresses) > 0 {
		return leaf.IPAddresses[0].String(), nil
	}
	return "", fmt.Errorf("no name that clients could write stands in %s", file)
}
