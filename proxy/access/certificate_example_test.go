package access_test

import (
	"crypto/tls"
	"log"
	"net/http"
	"os"

	"breakwater/proxy/access"
)

// A server that asks its clients for certificates, of which the mode makes clients.
func ExampleCertificate_Ask() {
	mode, err := access.NewCertificate(access.CertificateOptions{
		Read:     func() ([]byte, error) { return os.ReadFile("clients.crt") },
		Listener: ":5443",
		Events:   loginCounter{},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: ":5443", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := mode.Authenticate(r.Context(), r)
		if err != nil {
			http.Error(w, "not you", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(client.Subject)) // who is not there any more is told nothing
	})
	mode.Ask(server.TLSConfig)
	log.Fatal(server.ListenAndServeTLS("tls.crt", "tls.key"))
}
