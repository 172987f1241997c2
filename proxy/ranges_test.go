package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/proxy/registry"
)

func TestParseRanges(t *testing.T) {
	const size = 1000
	whole := []byteRange(nil)
	for field, want := range map[string][]byteRange{
		"bytes=0-":                       {{0, 1000}},
		"bytes=0-0":                      {{0, 1}},
		"bytes=999-":                     {{999, 1}},
		"bytes=100-199":                  {{100, 100}},
		"bytes=100-1000":                 {{100, 900}}, // one past the last byte, as some clients resume
		"bytes=100-99999999999999999999": {{100, 900}}, // more than 64 bits hold
		"bytes=-1":                       {{999, 1}},
		"bytes=-1000":                    {{0, 1000}},
		"bytes=-1001":                    {{0, 1000}},
		"bytes=-99999999999999999999":    {{0, 1000}},
		"Bytes=1-2":                      {{1, 2}},
		"bytes=1-2, 4-5 ,\t7-":           {{1, 2}, {4, 2}, {7, 993}},
		"bytes=5-6,1-2,1-2,2-3":          {{5, 2}, {1, 2}, {1, 2}, {2, 2}}, // unordered, twice, overlapping
		"bytes=,,1-2,,":                  {{1, 2}},
		"bytes=1000-,1-2,-0":             {{1, 2}}, // the others cannot be satisfied

		"":                              whole,
		"bytes":                         whole,
		"bytes=":                        whole,
		"bytes=,":                       whole,
		"lines=0-9":                     whole,
		"bytes =0-9":                    whole,
		"bytes=9":                       whole,
		"bytes=-":                       whole,
		"bytes=--1":                     whole,
		"bytes=+1-2":                    whole,
		"bytes=1-2-3":                   whole,
		"bytes=1-99999999999999999999x": whole,
		"bytes=0x1-2":                   whole,
		"bytes=1 - 2":                   whole,
		"bytes=2-1":                     whole,
		"bytes=2000-1999":               whole,
		"bytes=1-2,x":                   whole,
		"bytes=1000-,2-1":               whole, // not 416: it is no Range at all
		"bytes=0-999,0-0":               whole, // 1,001 bytes of 1,000
		"bytes=0-,0-,0-,0-,":            whole,
	} {
		got, satisfiable := parseRanges(field, size)
		if !satisfiable || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v %v, want %v", field, got, satisfiable, want)
		}
	}
	for _, field := range []string{"bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=-0,1000-,", "bytes=99999999999999999999-"} {
		if got, satisfiable := parseRanges(field, size); satisfiable || got != nil {
			t.Errorf("%q: %v, which nothing can satisfy", field, got)
		}
	}
}

func TestPartsAreLimited(t *testing.T) {
	for n, want := range map[int]int{maxParts: maxParts, maxParts + 1: 0} {
		parts, satisfiable := parseRanges("bytes=0-0"+strings.Repeat(",1-1", n-1), 1<<20)
		if len(parts) != want || !satisfiable {
			t.Errorf("%d parts asked for: %d, want %d", n, len(parts), want)
		}
	}
	if _, satisfiable := parseRanges("bytes="+strings.Repeat("2-,", maxParts+1), 1); !satisfiable {
		t.Error("a field that counts for nothing is refused")
	}
}

// FuzzRanges compares answers with those of http.ServeContent, which gets the
// field as translated makes it.
func FuzzRanges(f *testing.F) {
	for _, field := range []string{
		"", "bytes=0-", "bytes=3-5", "bytes=-4", "bytes=3-99", "bytes=1-2,4-,-1", "bytes=5-6,1-2,1-1", "bytes=,1-2,,", "bytes=99-", "bytes=99-,1-1",
		"bytes=0-,0-", "bytes=-0", "bytes=-0,1-2", "bytes=2-1", "bytes=+1-2", "bytes= 1 - 2", "BYTES=1-2", "lines=1-2", "bytes=1-18446744073709551616",
	} {
		f.Add(field, uint16(10))
		f.Add(field, uint16(0))
	}
	f.Fuzz(func(t *testing.T, field string, size uint16) {
		content := bytes.Repeat([]byte("0123456789abcdef!"), 1+int(size)/17)[:size]
		ours, theirs := httptest.NewRecorder(), httptest.NewRecorder()
		for _, w := range []*httptest.ResponseRecorder{ours, theirs} {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Etag", `"e"`)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Range"] = []string{field}
		status := http.StatusOK
		if err := serveContent(ours, r, &fakeContent{bytes: content}, true); err != nil {
			var refusal *registry.Error
			if !errors.As(err, &refusal) {
				t.Fatal(err)
			}
			status = refusal.Status
		} else {
			status = ours.Code
		}
		r.Header["Range"] = []string{translated(field, len(content))}
		http.ServeContent(theirs, r, "", time.Time{}, bytes.NewReader(content))
		if status != theirs.Code {
			t.Fatalf("%q of %d bytes: %d, want %d", field, size, status, theirs.Code)
		}
		if got, want := ours.Header().Get("Content-Range"), theirs.Header().Get("Content-Range"); got != want {
			t.Fatalf("%q of %d bytes: Content-Range %q, want %q", field, size, got, want)
		}
		if status == http.StatusRequestedRangeNotSatisfiable {
			return // the body is a registry's there
		}
		if got, want := ours.Header().Get("Content-Length"), theirs.Header().Get("Content-Length"); got != want {
			t.Fatalf("%q of %d bytes: Content-Length %q, want %q", field, size, got, want)
		}
		if got, want := partsOf(t, ours), partsOf(t, theirs); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q of %d bytes: %q, want %q", field, size, got, want)
		}
	})
}

var (
	rangesPattern = regexp.MustCompile(`(?is)^bytes=(.*)$`)
	rangePattern  = regexp.MustCompile(`^(?:0*([0-9]+)-(?:0*([0-9]+))?|-0*([0-9]+))$`)
)

// translated writes a field as http.ServeContent understands it where the two
// differ on purpose:
//
//   - a field that breaks the grammar counts for nothing, while ServeContent
//     refuses most with 416 and lets some pass: signs and spaces in a range;
//   - so does a field of more than maxParts parts, and any field for content of no
//     bytes, where ServeContent answers -n with a Content-Range of "bytes 0--1/0";
//   - the unit has no case;
//   - a number may be beyond 63 bits, and is then the same as all others that are;
//   - "-0" cannot be satisfied, while ServeContent sends a part of no bytes.
func translated(field string, size int) string {
	m := rangesPattern.FindStringSubmatch(field)
	if m == nil || size == 0 {
		return ""
	}
	var specs []string
	for _, spec := range strings.Split(m[1], ",") {
		if spec = strings.Trim(spec, " \t\r\n"); spec == "" {
			continue
		}
		n := rangePattern.FindStringSubmatch(spec)
		if n == nil {
			return ""
		}
		first, last, suffix := bounded(n[1]), bounded(n[2]), bounded(n[3])
		switch {
		case last != "" && greater(first, last):
			return ""
		case suffix == "0":
			spec = fmt.Sprintf("%d-", size)
		case suffix != "":
			spec = "-" + suffix
		default:
			spec = first + "-" + last
		}
		specs = append(specs, spec)
	}
	if len(specs) > maxParts {
		return ""
	}
	return "bytes=" + strings.Join(specs, ",")
}

// bounded cuts a number without zeros in front to what an int64 holds.
func bounded(n string) string {
	if most := strconv.Itoa(math.MaxInt64); greater(n, most) {
		return most
	}
	return n
}

// greater compares numbers of any length without zeros in front.
func greater(a, b string) bool {
	return len(a) > len(b) || len(a) == len(b) && a > b
}

// partsOf reads the parts of a body: type, Content-Range and bytes of each.
func partsOf(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	mediaType, parameters, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if mediaType != "multipart/byteranges" {
		return []string{mediaType + "\n" + w.Body.String()}
	}
	var parts []string
	in := multipart.NewReader(bytes.NewReader(w.Body.Bytes()), parameters["boundary"])
	for {
		part, err := in.NextPart()
		if err == io.EOF {
			return parts
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part.Header.Get("Content-Type")+"\n"+part.Header.Get("Content-Range")+"\n"+string(content))
	}
}
