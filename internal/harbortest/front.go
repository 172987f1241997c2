package harbortest

import (
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
)

// maxHeaderLine is the longest header line that nginx takes, line end included
// (large_client_header_buffers 4 8k).
const maxHeaderLine = 8 << 10

// front is Harbor's nginx: it normalises the path before anybody else sees it,
// limits headers, and has pages of its own.
func (h *Harbor) front(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "nginx")
	w = &frontWriter{ResponseWriter: w}
	if headerTooLarge(r.Header) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		write(w, "<html>\r\n<head><title>400 Request Header Or Cookie Too Large</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<center>Request Header Or Cookie Too Large</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
		return
	}
	r = normalised(r)
	switch p := r.URL.Path; {
	case p == "/v2":
		w.Header().Set("Location", "http://"+ownHost(r)+"/v2/")
		nginxPage(w, http.StatusMovedPermanently)
	case strings.HasPrefix(p, "/v1/"):
		nginxPage(w, http.StatusNotFound)
	case h.isDown(Core), h.isDown(TokenService) && strings.HasPrefix(p, "/service/"):
		nginxPage(w, http.StatusBadGateway)
	case strings.HasPrefix(p, "/v2/"), strings.HasPrefix(p, "/service/"), strings.HasPrefix(p, "/api/"):
		h.core(w, r)
	default: // the portal does not run
		nginxPage(w, http.StatusBadGateway)
	}
}

// normalised returns the request with %2F decoded, // and .. resolved.
func normalised(r *http.Request) *http.Request {
	clean := path.Clean("/" + r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") && clean != "/" {
		clean += "/"
	}
	if clean == r.URL.Path && r.URL.RawPath == "" {
		return r
	}
	u := *r.URL
	u.Path, u.RawPath = clean, ""
	copied := *r
	copied.URL = &u
	return &copied
}

func headerTooLarge(header http.Header) bool {
	for name, values := range header {
		for _, value := range values {
			if len(name)+len(": ")+len(value)+len("\r\n") > maxHeaderLine {
				return true
			}
		}
	}
	return false
}

// ownHost is the request's host name with the port that nginx listens on, which
// is what nginx writes into its own redirects.
func ownHost(r *http.Request) string {
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return r.Host
	}
	_, port, err := net.SplitHostPort(local.String())
	if err != nil || port == "80" {
		return name
	}
	return net.JoinHostPort(name, port)
}

// nginxPage answers with a page of nginx itself.
func nginxPage(w http.ResponseWriter, status int) {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	write(w, "<html>\r\n<head><title>"+title+"</title></head>\r\n<body>\r\n<center><h1>"+title+"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

// frontWriter adds the headers that nginx adds to good answers (add_header).
type frontWriter struct {
	http.ResponseWriter
	wrote bool
}

func (w *frontWriter) WriteHeader(status int) {
	if !w.wrote && slices.Contains([]int{200, 201, 204, 206, 301, 302, 303, 304, 307, 308}, status) {
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	}
	w.wrote = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *frontWriter) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (w *frontWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
