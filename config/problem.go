package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong, or unwise, and how to mend it.
type Problem struct {
	File    string // as it was named to Load or Parse; "" for flags
	Line    int    // from 1; 0 = of no line
	Path    string // the YAML path, such as upstreams.harbor.url; or the flag; or "document"
	Message string // what is wrong
	Fix     string // what to write instead
}

// Error is one line: `config.yaml:7: upstreams.harbor.usrname: unknown key; did
// you mean "username"?`. Only where lines are to be added do they follow, to be pasted.
func (p Problem) Error() string {
	place := p.File
	if p.File != "" && p.Line > 0 {
		place += ":" + strconv.Itoa(p.Line)
	}
	if place != "" {
		place += ": "
	}
	return fmt.Sprintf("%s%s: %s; %s", place, p.Path, p.Message, p.Fix)
}

// Problems is every problem of one configuration, sorted by line.
type Problems []Problem

// Error is one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what is reported of one document. Whoever has a hundred
// has handed us the wrong file.
const maxProblems = 100

// document is the path of what concerns no key.
const document = "document"

// mistake is what is wrong with a value, said by the value's own type, which
// knows no path.
type mistake struct{ message, fix string }

// report collects problems by YAML path, and knows what an operator calls that
// path and on which line it stands.
type report struct {
	file    string
	lines   map[string]int    // YAML path → line
	columns map[string]int    // YAML path of a list's entry → column of its keys, where each has a line
	flags   map[string]string // YAML path → flag or variable; nil for a file

	reported map[string]bool // YAML paths that have a problem
	problems Problems
	warnings Problems
}

func newReport(file string, flags map[string]string) *report {
	return &report{file: file, flags: flags, lines: map[string]int{}, columns: map[string]int{}, reported: map[string]bool{}}
}

// problem adds one problem. The first one of a path hides its followers: a
// value that could not be read is not judged as well.
func (r *report) problem(path, message, fix string) {
	if r.reported[path] || len(r.problems) == maxProblems {
		return
	}
	r.reported[path] = true
	r.problems = append(r.problems, r.at(path, message, fix))
}

// wrong adds the problem that a value told of itself, if any.
func (r *report) wrong(path string, m *mistake) {
	if m != nil {
		r.problem(path, m.message, m.fix)
	}
}

// missing adds the problem that section lacks key, unless something in the
// section could not be understood: then that may be the very key, misspelt.
func (r *report) missing(section, path, message, fix string) {
	if !r.flawed(section) {
		r.problem(path, message, fix)
	}
}

// flawed reports whether a problem of the section, or of something in it, was found. Of
// the whole document only its own keys count.
func (r *report) flawed(section string) bool {
	for path := range r.reported {
		inside := strings.HasPrefix(path, section+".")
		if section == "" {
			inside = !strings.Contains(path, ".")
		}
		if inside || path == section {
			return true
		}
	}
	return false
}

func (r *report) warn(path, message, fix string) {
	r.warnings = append(r.warnings, r.at(path, message, fix))
}

func (r *report) at(path, message, fix string) Problem {
	return Problem{File: r.file, Line: r.line(path), Path: r.name(path), Message: message, Fix: fix}
}

// name is the flag for path, or the path itself.
func (r *report) name(path string) string {
	if flag, ok := r.flags[path]; ok {
		return flag
	}
	return path
}

// key is how a fix speaks of a neighbouring key: by its flag, or its last name.
func (r *report) key(path string) string {
	if flag, ok := r.flags[path]; ok {
		return flag
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}

// line is that of path, or of the nearest section around it that was written.
func (r *report) line(path string) int {
	for path != "" {
		if line, ok := r.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return r.lines[document] // a key of the top level that is missing
}

// indent is how far the keys of the entry at path stand from the margin.
func (r *report) indent(path string) int {
	const usual, most = 4, 40
	if column, ok := r.columns[path]; ok && column <= most {
		return column - 1
	}
	return usual
}

// result is the configuration if nothing is wrong with it.
func (r *report) result(c Config) (Config, error) {
	byLine := func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	}
	if len(r.problems) > 0 {
		slices.SortFunc(r.problems, byLine)
		return Config{}, r.problems
	}
	slices.SortFunc(r.warnings, byLine)
	c.Warnings = r.warnings
	return c, nil
}

// shown quotes what an operator wrote, bounded, for one line of an error.
func shown(text string) string {
	const most = 64
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}
