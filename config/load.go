package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxDocument bounds the configuration file and each file of certificates, keys or
// users, in bytes. A configuration of a thousand routes has a tenth of it.
const maxDocument = 1 << 20

// Load reads the file at path as [Parse] does, and then looks at the files and
// environment variables that it names: a password that is missing or empty, a
// certificate that does not parse. An error is always a [Problems].
func Load(path string) (Config, error) {
	r := newReport(path, nil)
	data, m := readDocument(path)
	if m != nil {
		r.problem(document, m.message, m.fix)
		return r.result(Config{})
	}
	c, ok := r.parse(data)
	if ok {
		c.validateFiles(r)
	}
	return r.result(c)
}

// Parse lays the YAML document data over [Default] and checks every value. It
// looks at nothing but data (and asks the environment for the user's cache folder
// where no other is written); name stands for the file in errors, which are
// always a [Problems].
func Parse(name string, data []byte) (Config, error) {
	r := newReport(name, nil)
	c, _ := r.parse(data)
	return r.result(c)
}

// parse reports whether there was a document to speak of.
func (r *report) parse(data []byte) (Config, bool) {
	root := r.document(data)
	if root == nil {
		return Config{}, false
	}
	c := Default()
	d := decoder{report: r}
	d.value(root, reflect.ValueOf(&c).Elem(), "")
	c.complete(r)
	c.validate(r)
	return c, true
}

// document is the root of the one document in data, or nil and a problem. It
// is a tree in which aliases are not yet followed, so its size is that of data.
func (r *report) document(data []byte) *yaml.Node {
	if len(data) > maxDocument {
		r.problem(document, "is larger than 1MiB", "name the configuration file")
		return nil
	}
	documents := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := documents.Decode(&first); {
	case errors.Is(err, io.EOF):
		r.problem(document, "is empty", "begin with the lines of config/example.yaml")
		return nil
	case err != nil:
		r.syntax(data, err)
		return nil
	}
	switch err := documents.Decode(&second); {
	case err == nil:
		r.lines[document] = second.Line
		r.problem(document, "is followed by a second document", "write one document, without a line of ---")
		return nil
	case !errors.Is(err, io.EOF):
		r.syntax(data, err)
		return nil
	}
	root := first.Content[0]
	r.lines[document] = root.Line
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		r.problem(document, "is empty", "begin with the lines of config/example.yaml")
		return nil
	}
	return root
}

// syntax reports what the YAML parser said of data. Its messages speak of
// structure, except that an unknown alias is quoted: that may be a password with
// a star in front, so it is left out.
func (r *report) syntax(data []byte, err error) {
	said := strings.TrimPrefix(err.Error(), "yaml: ")
	said = regexp.MustCompile(`^line \d+: `).ReplaceAllString(said, "")
	if strings.HasPrefix(said, "unknown anchor") {
		said = "an alias (*) without its anchor (&)"
	}
	r.lines[document] = brokenLine(data)
	r.problem(document, "is not YAML: "+said, "mend the line, or the one above; quote values that begin with a special character")
}

// brokenLine is the line after the longest beginning of data that is YAML by
// itself. The parser's own line is that of the block around a mistake, or none
// at all. It takes a parse for each line that follows, so of a document that is
// large it knows nothing, which is 0.
func brokenLine(data []byte) int {
	const maxLines, maxBytes = 1000, 100 << 10
	lines := slices.Collect(bytes.Lines(data))
	if len(lines) <= maxLines && len(data) <= maxBytes {
		for i, line := range slices.Backward(lines) {
			data = data[:len(data)-len(line)]
			if isYAML(data) {
				return i + 1
			}
		}
	}
	return 0
}

func isYAML(data []byte) bool {
	documents := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if err := documents.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// complete fills in what depends on more than one value.
func (c *Config) complete(r *report) {
	if len(c.Listeners) == 0 {
		c.Listeners = Default().Listeners
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		l.complete()
		for j := range l.Token {
			l.Token[j].bearerAt = issuerAt(r, fmt.Sprintf("listeners[%d].token", i), j) + ".bearer_token_file"
		}
	}
	c.Cache.complete(r)
	for name, u := range c.Upstreams {
		u.Name = name
		source := "password_file"
		if u.PasswordEnv != "" {
			source = "password_env"
		}
		u.passwordAt = r.name(join("upstreams", name, source))
		u.bearerAt = r.name(join("upstreams", name, "bearer_token_file"))
		c.Upstreams[name] = u
	}
	c.completeRoutes(r)
	for i := range c.Listeners {
		c.completeListener(&c.Listeners[i])
	}
}

// ReadFile returns what a file that a [Listener] names holds now: a regular file of
// at most 1 MiB. The error says how to mend it.
func ReadFile(path string) ([]byte, error) {
	data, m := regularFile(path, maxDocument)
	if m != nil {
		return nil, errors.New(m.message + "; " + m.fix)
	}
	return data, nil
}

func readDocument(path string) ([]byte, *mistake) {
	data, err := readFile(path, maxDocument)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return data, nil
}

// readFile is os.ReadFile with a limit in bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %s", Size(limit))
	}
	return data, nil
}
