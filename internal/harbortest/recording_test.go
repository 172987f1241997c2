package harbortest

import (
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// recorded is one entry of a recording: a request to a real Harbor, and what it
// answered. The notation is that of the recordings' own headings.
type recorded struct {
	file   string
	number int
	title  string

	request string // the request line
	sent    []string
	body    string // of the request

	status int
	header http.Header
	answer string   // the answer's body, as written down
	notes  []string // times, upstream requests, claims
}

func (e recorded) name() string { return fmt.Sprintf("[%d] %s", e.number, e.title) }

func (e recorded) method() string {
	method, _, _ := strings.Cut(e.request, " ")
	return method
}

var (
	titleLine = regexp.MustCompile(`^\[(\d+)\] (.*)$`)
	ruleLine  = regexp.MustCompile(`^(={20,}|-{20,})$`)
	noteLine  = regexp.MustCompile(`^(    |\(curl: )`)
)

// readRecording takes one file of testdata apart.
func readRecording(t *testing.T, file string) []recorded {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var entries []recorded
	for _, part := range strings.Split(string(text), strings.Repeat("=", 100)+"\n")[1:] {
		entries = append(entries, parseEntry(t, file, strings.Split(part, "\n")))
	}
	return entries
}

func parseEntry(t *testing.T, file string, lines []string) recorded {
	t.Helper()
	title := titleLine.FindStringSubmatch(lines[0])
	if title == nil {
		t.Fatalf("%s: no title in %q", file, lines[0])
	}
	number, err := strconv.Atoi(title[1])
	if err != nil {
		t.Fatal(err)
	}
	e := recorded{file: file, number: number, title: title[2], header: http.Header{}}
	inBody := false
	var body []string
	for _, line := range lines[1:] {
		switch {
		case ruleLine.MatchString(line):
		case strings.HasPrefix(line, ">") && e.status == 0:
			e.addSent(strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "), line)
		case strings.HasPrefix(line, "<") && !inBody:
			inBody = line == "<"
			e.addReceived(t, strings.TrimPrefix(line, "< "))
		case noteLine.MatchString(line) && inBody && !strings.HasPrefix(strings.TrimSpace(line), "<"):
			e.notes = append(e.notes, strings.TrimSpace(line))
		case strings.HasPrefix(line, "## "):
		default:
			body = append(body, line)
		}
	}
	e.answer = strings.TrimSpace(strings.Join(body, "\n"))
	return e
}

// addSent adds a line of the request: its first line, headers, then the body
// after a line that is nothing but ">".
func (e *recorded) addSent(text, line string) {
	switch {
	case e.request == "":
		e.request = text
	case line == ">" || e.body != "" || len(e.sent) > 0 && e.sent[len(e.sent)-1] == "":
		e.body += text
		e.sent = append(e.sent, "")
	default:
		e.sent = append(e.sent, text)
	}
}

func (e *recorded) addReceived(t *testing.T, text string) {
	t.Helper()
	if e.status == 0 {
		fields := strings.Fields(text)
		status, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatalf("%s [%d]: status line %q", e.file, e.number, text)
		}
		e.status = status
		return
	}
	if name, value, ok := strings.Cut(text, ":"); ok {
		e.header.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
}

// notModelled reads the one list of what the stand-in does not do: file, entry
// and reason.
func notModelled(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/not-modelled.txt")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(fields) != 3 {
			t.Fatalf("not-modelled.txt: want file, entry, reason: %q", line)
		}
		key := fields[0] + " " + fields[1]
		if reasons[key] != "" {
			t.Fatalf("not-modelled.txt: %s is listed twice", key)
		}
		reasons[key] = fields[2]
	}
	return reasons
}
