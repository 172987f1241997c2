package proxy

import (
	"io"
	"math"
	"net/http"
	"time"
)

// writePatience is how long a client may take to accept one buffer's worth of
// bytes. A moving body has no limit; a client that stopped reading has this.
const writePatience = 2 * time.Minute

// refusalPatience is that of a refusal, which is short, and given to anybody: over
// HTTP/2 a client can ask for many and take none.
const refusalPatience = 5 * time.Second

// response is the writer of one answer: it remembers what was sent, keeps
// informational answers of an upstream from the client, and gives up on a
// client that stopped reading.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	id      string
	budget  *time.Timer   // for the header
	takes   time.Duration // what the client has for the next write
	status  int           // 0 until the final header was sent
	last    bool          // the connection is closed after this answer
	bytes   int64
	err     error // of the last write: the client is gone, or stopped reading
}

func newResponse(w http.ResponseWriter, id string, budget *time.Timer) *response {
	r := &response{ResponseWriter: w, control: http.NewResponseController(w), id: id, budget: budget, takes: writePatience}
	r.patience()
	return r
}

// patience gives the client time for the next write. The deadline is left as it
// is after the answer, since net/http may still have some of it to flush.
func (r *response) patience() {
	_ = r.control.SetWriteDeadline(time.Now().Add(r.takes)) // not supported by a test's recorder
}

// WriteHeader sends the final header. An upstream's 1xx (RFC 9110 §15.2) is
// dropped: ReverseProxy would hand on its headers past every allow-list, cookies
// included.
func (r *response) WriteHeader(status int) {
	if status < http.StatusOK || r.status != 0 {
		return
	}
	r.status = status
	r.budget.Stop()
	if r.last {
		r.Header().Set("Connection", "close")
	}
	r.Header().Set("X-Content-Type-Options", "nosniff")
	r.Header().Set("X-Request-Id", r.id)
	r.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.patience()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	r.err = err
	return n, err
}

// pieceSize is how many bytes are sent within one patience when the kernel sends
// them: a slow client that moves takes as long as it needs.
const pieceSize = 4 << 20

// ReadFrom implements [io.ReaderFrom], by which a file reaches sendfile.
func (r *response) ReadFrom(src io.Reader) (int64, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	var sent int64
	for limited.N > 0 {
		r.patience()
		piece := io.LimitedReader{R: limited.R, N: min(limited.N, pieceSize)}
		n, err := io.Copy(r.ResponseWriter, &piece)
		sent, limited.N, r.bytes = sent+n, limited.N-n, r.bytes+n
		if r.err = err; err != nil || piece.N > 0 {
			return sent, err
		}
	}
	return sent, nil
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
