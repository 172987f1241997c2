package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// Limits of a connection. A question is a path and a query; there are no bodies.
const (
	maxQuestion   = 8 << 10 // bytes
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
)

// Explain tells how the pull of an image would go now: at the listener of that address
// or, for "", wherever the image's name leads. What it returns is made JSON of. Its
// error is a [Mistake] where image or listener cannot be meant.
type Explain func(ctx context.Context, image, listener string) (any, error)

// Server answers for a running instance on the socket in its cache folder.
type Server struct {
	cache     Cache
	explain   Explain
	log       *zap.Logger
	socket    string // path
	http      http.Server
	verifying atomic.Bool // one at a time: the disk is there for pulls

	running sync.WaitGroup // the listener and each connection
}

// Serve answers for cache, and for whoever explains, on a socket in dir, which must
// exist and be locked by the caller, until Close. An error says that this instance
// cannot be asked; it may serve all the same.
func Serve(dir string, cache Cache, explain Explain, log *zap.Logger) (*Server, error) {
	listener, err := listen(dir)
	if err != nil {
		return nil, fmt.Errorf("the control socket: %w", err)
	}
	faults, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic("control: the level warn is a level: " + err.Error())
	}
	s := &Server{cache: cache, explain: explain, log: log, socket: filepath.Join(dir, Socket)}
	s.http = http.Server{
		Handler: s.routes(), ConnState: s.count, ErrorLog: faults,
		MaxHeaderBytes: maxQuestion, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	}
	s.running.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the control socket answers no more", zap.Error(err))
		}
	})
	return s, nil
}

// count is told of a connection before anything runs for it, and after all has.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.running.Add(1)
	case http.StateClosed:
		s.running.Done()
	}
}

// Close removes the socket, ends every answer under way, and waits.
func (s *Server) Close() error {
	err := os.Remove(s.socket)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody tidied up
	}
	err = errors.Join(err, s.http.Close())
	s.running.Wait()
	return err
}

// Mistake is an error of whoever asked, here and at the other end.
type Mistake struct{ Err error }

// Error is that of what it is.
func (m Mistake) Error() string { return m.Err.Error() }

// Unwrap gives what it is.
func (m Mistake) Unwrap() error { return m.Err }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cache/entries", func(w http.ResponseWriter, r *http.Request) {
		writeLines(w, func(yield func(Entry) error) error {
			return s.cache.List(r.Context(), r.URL.Query().Get("repository"), yield)
		})
	})
	mux.HandleFunc("GET /cache/stat", answer(func(url.Values) (Stat, error) { return s.cache.Stat() }))
	mux.HandleFunc("POST /cache/verify", s.verify)
	mux.HandleFunc("POST /cache/purge", answer(s.purge))
	mux.HandleFunc("POST /cache/block", answer(s.change("blocked", s.cache.Block)))
	mux.HandleFunc("POST /cache/unblock", answer(s.change("unblocked", s.cache.Unblock)))
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) {
		answer(func(query url.Values) (any, error) {
			return s.explain(r.Context(), query.Get("image"), query.Get("listener"))
		})(w, r)
	})
	return mux
}

func (s *Server) verify(w http.ResponseWriter, r *http.Request) {
	rate, err := strconv.ParseInt(r.URL.Query().Get("rate"), 10, 64)
	if err != nil || rate < 0 {
		refuse(w, Mistake{errors.New("rate is not a number of bytes a second")})
		return
	}
	if !s.verifying.CompareAndSwap(false, true) {
		refuse(w, Mistake{errors.New("another verification is running; wait until it is over")})
		return
	}
	defer s.verifying.Store(false)
	writeLines(w, func(yield func(Result) error) error {
		var objects, wrong int
		err := s.cache.Verify(r.Context(), rate, func(found Result) error {
			objects++
			if found.Err != "" {
				wrong++
			}
			return yield(found)
		})
		s.log.Info("verified by an operator", zap.Int64("rate", rate), zap.Int("objects", objects), zap.Int("wrong", wrong), zap.Error(err))
		return err
	})
}

// purge takes away exactly what was named.
func (s *Server) purge(query url.Values) (purged Purged, err error) {
	repository, d, all := query.Get("repository"), query.Get("digest"), query.Get("all")
	switch {
	case len(query) != 1:
		return Purged{}, Mistake{errors.New("name one of repository, digest and all")}
	case repository != "":
		purged, err = s.cache.PurgeRepository(repository)
	case d != "":
		var parsed digest.Digest
		if parsed, err = parse(d); err != nil {
			return Purged{}, err
		}
		purged, err = s.cache.PurgeDigest(parsed)
	case all == "true":
		purged, err = s.cache.PurgeAll()
	default:
		return Purged{}, Mistake{errors.New("name one of repository, digest and all")}
	}
	s.log.Info("purged by an operator", zap.String("repository", repository), zap.String("digest", d), zap.String("all", all),
		zap.Int("objects", purged.Objects), zap.Int64("bytes", purged.Bytes), zap.Int("links", purged.Links), zap.Error(err))
	return purged, err
}

// change is Block or Unblock.
func (s *Server) change(done string, change func(digest.Digest) error) func(url.Values) (struct{}, error) {
	return func(query url.Values) (struct{}, error) {
		d, err := parse(query.Get("digest"))
		if err != nil {
			return struct{}{}, err
		}
		err = change(d)
		s.log.Info(done+" by an operator", zap.Stringer("digest", d), zap.Error(err))
		return struct{}{}, err
	}
}

func parse(text string) (digest.Digest, error) {
	d, err := digest.Parse(text)
	if err != nil {
		return "", Mistake{fmt.Errorf("%q is not a digest", text)}
	}
	return d, nil
}

// answer makes JSON of what ask returns.
func answer[T any](ask func(url.Values) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found, err := ask(r.URL.Query())
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(found) // whoever asked may be gone
	}
}

// refusal is the body of an answer that is not 200.
type refusal struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.As(err, new(Mistake)) {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(refusal{Error: err.Error()}) // whoever asked may be gone
}
