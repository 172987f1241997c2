package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

// Code is a registry error code: the distribution spec's table "Error Codes",
// and the three marked ones of the Docker Registry API.
type Code string

// The codes that Breakwater answers with.
const (
	CodeBlobUnknown     Code = "BLOB_UNKNOWN"
	CodeDenied          Code = "DENIED"
	CodeDigestInvalid   Code = "DIGEST_INVALID"
	CodeManifestUnknown Code = "MANIFEST_UNKNOWN"
	CodeNameInvalid     Code = "NAME_INVALID"
	CodeNameUnknown     Code = "NAME_UNKNOWN"
	CodeUnauthorized    Code = "UNAUTHORIZED"
	CodeUnsupported     Code = "UNSUPPORTED"

	CodePaginationNumberInvalid Code = "PAGINATION_NUMBER_INVALID" // Docker Registry API
	CodeRangeInvalid            Code = "RANGE_INVALID"             // Docker Registry API
	CodeUnavailable             Code = "UNAVAILABLE"               // Docker Registry API
)

// Error is a refusal as a registry's client is told it: an HTTP status and one
// entry of the spec's "errors" list.
type Error struct {
	Status  int
	Code    Code
	Message string
	// RetryAfter, in seconds, becomes the header of that name when above zero
	// (RFC 9110 §10.2.3).
	RetryAfter int
	// Cause is for the log; the client is never told it.
	Cause error
}

// Errorf makes an Error; the message is for the client and says what to do.
func Errorf(status int, code Code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error is the line for the log: the cause included.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Because returns a copy of e with a cause for the log.
func (e *Error) Because(cause error) *Error {
	caused := *e
	caused.Cause = cause
	return &caused
}

// Body is the JSON document of the distribution spec, "Error Codes".
func (e *Error) Body() []byte {
	type entry struct {
		Code    Code   `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]entry{"errors": {{e.Code, e.Message}}})
	if err != nil {
		panic("registry: two strings always marshal: " + err.Error())
	}
	return append(body, '\n')
}

// Header sets the header fields of the answer: type, length, Retry-After, and
// Allow where a method was refused (RFC 9110 §15.5.6).
func (e *Error) Header(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(e.Body())))
	h.Set("X-Content-Type-Options", "nosniff")
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
}

// ReadError reads the first entry of a registry error document, shortened and
// without control characters. Both parts are empty where there is none, as in a
// gateway's HTML. The caller bounds the time that body may take.
func ReadError(body io.Reader) (Code, string) {
	const most = 16 << 10
	var document struct {
		Errors []struct {
			Code    Code
			Message string
		}
	}
	text, err := io.ReadAll(io.LimitReader(body, most))
	if err != nil || json.Unmarshal(text, &document) != nil || len(document.Errors) == 0 {
		return "", ""
	}
	first := document.Errors[0]
	return Code(printable(string(first.Code), 64)), printable(first.Message, 512)
}

func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
