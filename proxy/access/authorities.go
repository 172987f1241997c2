package access

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// longestAuthorityNames bounds the names of the authorities together, in bytes: a
// handshake has 65,535 for them and some more (RFC 8446 §4.2.4).
const longestAuthorityNames = 60_000

// authorities are those of one reading of the file, with what was found out by them:
// a verdict never outlives what it rests on.
type authorities struct {
	pool     *x509.CertPool
	count    int
	verdicts *memory[verdict]
}

// parseAuthorities reads a PEM bundle (RFC 7468 §5) and nothing but certificates of
// authorities: what is left out by mistake keeps clients out, and whose certificate is
// in it by mistake would be let in.
func parseAuthorities(bundle []byte) (*authorities, error) {
	a := &authorities{pool: x509.NewCertPool(), verdicts: newMemory[verdict]()}
	names := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		a.count++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("entry %d is a %.40q: leave only certificates of authorities in the file", a.count, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", a.count, err)
		}
		if !certificate.BasicConstraintsValid || !certificate.IsCA { // RFC 5280 §4.2.1.9
			return nil, fmt.Errorf("certificate %d, of %.100q, is not an authority's: put the one in that issued it", a.count, certificate.Subject)
		}
		names += 2 + len(certificate.RawSubject) // with its length
		a.pool.AddCert(certificate)
	}
	switch {
	case bytes.Count(bundle, []byte("-----BEGIN ")) != a.count:
		return nil, errors.New("not all of the file can be read: it is cut, or not PEM throughout") // pem.Decode passes over it
	case a.count == 0:
		return nil, errors.New("there is no certificate in the file, and so nobody could be let in")
	case names > longestAuthorityNames:
		return nil, fmt.Errorf("%d authorities are too many to name in a handshake: leave only those of clients in the file", a.count)
	}
	return a, nil
}

var errNameless = fmt.Errorf("neither a common name nor an alternative name, or one longer than %d bytes or with control characters", longestUsername)

// verify tells whose certificate the first of the chain is, the others being
// intermediates as far as they are of use, and until when that can be relied on.
func (a *authorities) verify(chain []*x509.Certificate) (Client, time.Time, error) {
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	until := time.Now().Add(acceptedCertificateMemory)
	verified, err := chain[0].Verify(x509.VerifyOptions{
		Roots: a.pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Client{}, time.Time{}, err
	}
	for _, way := range verified {
		for _, certificate := range way {
			if certificate.NotAfter.Before(until) {
				until = certificate.NotAfter
			}
		}
	}
	client := named(chain[0])
	if !sendable(client.Subject, longestUsername) { // it is written to answers and logs
		return Client{}, time.Time{}, errNameless
	}
	return client, until, nil
}

// named is whom a certificate names.
func named(leaf *x509.Certificate) Client {
	c := Client{Subject: leaf.Subject.CommonName, Groups: leaf.Subject.Organization}
	c.Names = append(c.Names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	c.Names = append(c.Names, leaf.EmailAddresses...)
	for _, uri := range leaf.URIs {
		c.Names = append(c.Names, uri.String())
	}
	if c.Subject == "" && len(c.Names) > 0 {
		c.Subject = c.Names[0] // to count and to log by; a rule means a client by each of its names
	}
	return c
}

// fingerprint stands for all of a chain: what the leaf is worth depends on the rest.
func (a *authorities) fingerprint(chain []*x509.Certificate) fingerprint {
	parts := make([]string, len(chain))
	for i, certificate := range chain {
		parts[i] = string(certificate.Raw)
	}
	return a.verdicts.fingerprint(parts...)
}
