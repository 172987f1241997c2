package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// A mark tells at a glance how a step ended.
type mark string

const (
	markOK   mark = "ok"
	markNote mark = "note" // worth knowing, nothing to do
	markWarn mark = "warn" // works, but not as it should
	markFail mark = "FAIL"
	markSkip mark = "skip" // could not be tried
)

// longest bounds one text, in characters: some come from upstream.
const longest = 600

// Report prints steps as they end, and counts. Texts may hold what upstream
// said: control characters are dropped, so that no terminal obeys them.
type Report struct {
	w        io.Writer
	err      error // the first that writing met
	sections int
	failed   int
	warned   int
}

// NewReport returns a Report that prints to w.
func NewReport(w io.Writer) *Report { return &Report{w: w} }

// Section begins a group of steps.
func (r *Report) Section(title string) {
	if r.sections++; r.sections > 1 {
		r.printf("\n")
	}
	r.printf("%s\n", printable(title))
}

// OK prints a step that went as it should.
func (r *Report) OK(step, seen string) { r.line(markOK, step, seen, "") }

// Note prints something that is worth knowing.
func (r *Report) Note(step, seen string) { r.line(markNote, step, seen, "") }

// Warn prints and counts something that works, but not as it should. todo may
// be empty.
func (r *Report) Warn(step, seen, todo string) { r.line(markWarn, step, seen, todo) }

// Fail prints and counts a step that failed. todo may be empty.
func (r *Report) Fail(step, seen, todo string) { r.line(markFail, step, seen, todo) }

func (r *Report) skip(step, why string) { r.line(markSkip, step, "not tried: "+why, "") }

func (r *Report) line(m mark, step, seen, todo string) {
	switch m {
	case markFail:
		r.failed++
	case markWarn:
		r.warned++
	}
	r.printf("  %-5s %-10s %s\n", m, step, printable(seen))
	if todo != "" {
		r.printf("  %-5s %-10s to do: %s\n", "", "", printable(todo))
	}
}

// Close prints the summary. It reports whether nothing failed, and the first
// error that writing met.
func (r *Report) Close() (fine bool, err error) {
	verdict := "Everything that was tried works"
	if r.failed > 0 {
		verdict = plural(r.failed, "step") + " failed"
	}
	if r.warned > 0 {
		verdict += ", with " + plural(r.warned, "warning")
	}
	r.printf("\n%s.\n", verdict)
	return r.failed == 0, r.err
}

func (r *Report) printf(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format, args...)
	}
}

// printable drops what a terminal could obey and bounds the rest.
func printable(text string) string {
	text = strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' {
			return ' '
		}
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, text)
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return text
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
