package config_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hidden is the password of every test. It must never come out of this package
// but by Reveal.
const hidden = "hunter2"

// secrets is a folder with the files that testdata and the example speak of as
// /secrets.
func secrets(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	put := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("password", []byte(hidden+"\n"))
	put("empty", []byte("\n"))
	put("two-lines", []byte(hidden+"\nsecond\n"))
	put("large", bytes.Repeat([]byte("x"), 4<<10+1))
	put("huge", bytes.Repeat([]byte("x"), 1<<20+1))
	put("damaged.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("not DER")}))
	certificate, key := keyPair(t)
	_, otherKey := keyPair(t)
	put("cert.pem", certificate)
	put("ca.pem", certificate)
	put("clients.pem", certificate)
	put("key.pem", key)
	put("other-key.pem", otherKey)
	put("htpasswd", []byte("alice:$2y$05$"+strings.Repeat("x", 53)+"\n"))
	put("jwks.json", []byte(`{"keys": []}`))
	put("token", []byte("header."+hidden+".signature\n"))
	return folder
}

func keyPair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "breakwater"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// written puts document into a file called name, with /secrets made real, and
// gives a function that undoes both in what is said of it.
func written(t *testing.T, name, document string) (path string, plain func(string) string) {
	t.Helper()
	folder, secretFolder := t.TempDir(), secrets(t)
	path = filepath.Join(folder, name)
	document = strings.ReplaceAll(document, "/secrets", secretFolder)
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, strings.NewReplacer(folder+"/", "", secretFolder, "/secrets").Replace
}
