package harbortest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

const jsonType = "application/json; charset=utf-8"

// registryError is one error of the distribution specification's error body.
type registryError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

// fail answers with a registry error, as core writes it.
func (x *exchange) fail(status int, code, message string) {
	x.answerError(status, registryError{Code: code, Message: message})
}

// failStorage answers with a registry error, as the storage registry writes it.
func (x *exchange) failStorage(status int, e registryError) {
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.answerError(status, e)
}

func (x *exchange) answerError(status int, e registryError) {
	body, err := json.Marshal(struct {
		Errors []registryError `json:"errors"`
	}{[]registryError{e}})
	if err != nil {
		http.Error(x.w, err.Error(), http.StatusInternalServerError)
		return
	}
	x.answerJSON(status, jsonType, append(body, '\n'))
}

// answerJSON answers with a body whose length is told, to a HEAD too.
func (x *exchange) answerJSON(status int, mediaType string, body []byte) {
	x.w.Header().Set("Content-Type", mediaType)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	write(x.w, string(body))
}

// notAllowed answers 405 as the storage registry does: its router knows the
// path, not the method.
func (x *exchange) notAllowed(allow string) {
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header().Set("Allow", allow)
	http.Error(x.w, "Method not allowed", http.StatusMethodNotAllowed)
}

// write sends text; a client that has gone is no concern of the stand-in.
func write(w io.Writer, text string) { _, _ = io.WriteString(w, text) }
