package harbortest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with requests, at Harbor or at its object
// storage. Its zero value matches every request and does nothing; fields may be
// combined. Add it with [Harbor.AddFault].
type Fault struct {
	Match func(*http.Request) bool // nil: every request
	Times int                      // how many requests it meets; 0: all, until ClearFaults

	Delay time.Duration // before anything is answered

	Reset      bool   // the connection is closed without an answer; net/http may ask again
	Status     int    // answered instead, for instance 429 or 503
	RetryAfter string // header of that answer
	HTML       bool   // answered instead: 200 with a login page

	RedirectTo string        // good answers for blobs are a 307 to this object storage, see [Server.StorageURL]
	Expires    time.Duration // of the presigned URL; 0: 20 minutes

	IgnoreRange bool          // Range is not looked at
	WrongDigest bool          // one byte in the middle of the body is another
	Rate        int64         // bytes of the body a second, of each answer by itself; 0: as fast as it goes
	After       int64         // bytes of the body, then:
	Cut         bool          // the connection is closed
	Stall       time.Duration // nothing is sent for so long
}

// Blobs matches requests for blobs, at Harbor and at the object storage.
func Blobs(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }

// Manifests matches requests for manifests.
func Manifests(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }

// Tokens matches requests to the token service.
func Tokens(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/service/token") }

// Path matches requests whose path contains the text.
func Path(text string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.Contains(r.URL.Path, text) }
}

// AddFault adds a fault. Of several that match, the one added first is met.
func (h *Harbor) AddFault(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, &f)
}

// ClearFaults removes all faults.
func (h *Harbor) ClearFaults() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = nil
}

// faultFor returns the fault that a request meets, if any, and counts it.
func (h *Harbor) faultFor(r *http.Request) *Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, f := range h.faults {
		if f.Match != nil && !f.Match(r) {
			continue
		}
		met := *f
		if f.Times == 1 {
			h.faults = append(h.faults[:i:i], h.faults[i+1:]...)
		} else if f.Times > 1 {
			f.Times--
		}
		return &met
	}
	return nil
}

// serve answers a request that meets the fault.
func (f *Fault) serve(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	sleep(r.Context(), f.Delay)
	switch {
	case f.Reset:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		f.answer(w)
		return
	case f.HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		write(w, "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>…</form></body></html>\n")
		return
	}
	if f.IgnoreRange {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	serve(&faultWriter{ResponseWriter: w, fault: f, r: r}, r)
}

func (f *Fault) answer(w http.ResponseWriter) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Status == http.StatusTooManyRequests {
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(f.Status)
		write(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}`+"\n")
		return
	}
	nginxPage(w, f.Status)
}

// faultWriter damages a body on its way out.
type faultWriter struct {
	http.ResponseWriter
	fault *Fault
	r     *http.Request
	sent  int64
	met   bool // Cut or Stall has happened
}

func (w *faultWriter) Write(b []byte) (int, error) {
	b = w.falsify(b)
	total := 0
	if left := w.fault.After - w.sent; !w.met && left <= int64(len(b)) && (w.fault.Cut || w.fault.Stall > 0) {
		w.met = true
		n, err := w.paced(b[:left])
		total, b = n, b[left:]
		if err != nil {
			return total, err
		}
		w.interrupt()
	}
	n, err := w.paced(b)
	return total + n, err
}

// paced writes at the fault's rate, a tenth of a second's bytes at a time. Each
// piece leaves when its time has passed, so that a client has never got more than
// the rate allows.
func (w *faultWriter) paced(b []byte) (int, error) {
	if w.fault.Rate <= 0 || w.r.Method == http.MethodHead {
		n, err := w.ResponseWriter.Write(b)
		w.sent += int64(n)
		return n, err
	}
	total := 0
	for piece := range slices.Chunk(b, int(max(1, w.fault.Rate/10))) {
		sleep(w.r.Context(), time.Duration(len(piece))*time.Second/time.Duration(w.fault.Rate))
		n, err := w.ResponseWriter.Write(piece)
		w.sent += int64(n)
		total += n
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// interrupt stalls or cuts the connection, after what was written has left.
func (w *faultWriter) interrupt() {
	if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	sleep(w.r.Context(), w.fault.Stall)
	if w.fault.Cut || w.r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// falsify changes the byte in the middle of the body, if it is in b.
func (w *faultWriter) falsify(b []byte) []byte {
	if !w.fault.WrongDigest {
		return b
	}
	size, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	if err != nil {
		size = 0
	}
	at := size/2 - w.sent
	if at < 0 || at >= int64(len(b)) {
		return b
	}
	changed := append([]byte{}, b...)
	changed[at] ^= 1
	return changed
}

// Unwrap serves http.ResponseController.
func (w *faultWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// redirect answers a request for a blob with a redirect to the object storage,
// if a fault says so.
func (x *exchange) redirect(name string) bool {
	f := faultOf(x.w)
	if f == nil || f.RedirectTo == "" {
		return false
	}
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	http.Redirect(x.w, x.r, x.h.presign(f, name, x.r.Method), http.StatusTemporaryRedirect)
	return true
}

// faultOf finds the fault that an answer meets.
func faultOf(w http.ResponseWriter) *Fault {
	for {
		switch t := w.(type) {
		case *faultWriter:
			return t.fault
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}
