package config

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// scalar is a value that reads itself from text. What it says of a mistake may
// show the text, unless that could hold a secret.
type scalar interface{ parse(text string) *mistake }

// keyRefuser is a section that knows keys which it must not have, and why.
type keyRefuser interface{ refused(key string) *mistake }

// beginner is an entry of a list, or under a name of the operator's own, that does not
// begin as its zero value.
type beginner interface{ usual() any }

// oneOrMore is a list whose only entry may be written without the list.
type oneOrMore interface{ oneOrMore() }

// maxNodes bounds how many values are read, each alias counted as often as it is
// used. Without it a list of a list of aliases could stand for far more than
// the document's size.
const maxNodes = 100_000

// decoder lays a YAML tree over a value, strictly, and goes on after a problem.
// The yaml package has a strict mode too, but that one knows no path, stops at
// a duplicate key, and reads a number where text is meant.
type decoder struct {
	*report
	nodes int
}

// value decodes n into a value of the shapes that Config is made of. The depth
// of this recursion is that of Config's type, whatever the document holds.
func (d *decoder) value(n *yaml.Node, into reflect.Value, path string) {
	if d.nodes++; d.nodes > maxNodes {
		d.problem(document, "stands for too many values once its aliases are followed", "write the values out")
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if s, ok := into.Addr().Interface().(scalar); ok {
		if d.is(n, yaml.ScalarNode, "a single value", path) {
			d.wrong(path, s.parse(n.Value))
		}
		return
	}
	switch into.Kind() {
	case reflect.Pointer: // a section that may be absent, and is not once its key is there
		into.Set(begun(into.Type().Elem()).Addr())
		d.value(n, into.Elem(), path)
	case reflect.Struct:
		d.section(n, into, path)
	case reflect.Map:
		d.entries(n, into, path)
	case reflect.Slice:
		d.items(n, into, path)
	case reflect.String:
		d.text(n, into, path)
	case reflect.Bool:
		d.truth(n, into, path)
	case reflect.Int:
		d.number(n, into, path)
	default:
		panic("config: no YAML shape for " + into.Type().String())
	}
}

// section decodes a mapping whose keys are the yaml tags of a struct.
func (d *decoder) section(n *yaml.Node, into reflect.Value, path string) {
	fields, keys := keysOf(into.Type())
	for key, value := range d.pairs(n, path) {
		if field, ok := fields[key]; ok {
			d.value(value, into.FieldByIndex(field), join(path, key))
			continue
		}
		if refuser, ok := into.Interface().(keyRefuser); ok {
			if m := refuser.refused(key); m != nil {
				d.wrong(join(path, key), m)
				continue
			}
		}
		fix := "the keys here are " + strings.Join(keys, ", ")
		if meant := closest(key, keys); meant != "" {
			fix = fmt.Sprintf("did you mean %q?", meant)
		}
		d.problem(join(path, key), "unknown key", fix)
	}
}

// entries decodes a mapping whose keys are the operator's own names.
func (d *decoder) entries(n *yaml.Node, into reflect.Value, path string) {
	into.Set(reflect.MakeMap(into.Type()))
	for key, value := range d.pairs(n, path) {
		entry := begun(into.Type().Elem())
		d.value(value, entry, join(path, key))
		into.SetMapIndex(reflect.ValueOf(key), entry)
	}
}

// begun is a new value to decode into.
func begun(t reflect.Type) reflect.Value {
	value := reflect.New(t).Elem()
	if b, ok := value.Addr().Interface().(beginner); ok {
		value.Set(reflect.ValueOf(b.usual()))
	}
	return value
}

// items decodes a list, in place of the default's. One that was written without an
// entry is not nil.
func (d *decoder) items(n *yaml.Node, into reflect.Value, path string) {
	if _, ok := into.Interface().(oneOrMore); ok && n.Kind != yaml.SequenceNode {
		value := begun(into.Type().Elem())
		d.value(n, value, path)
		into.Set(reflect.Append(reflect.Zero(into.Type()), value))
		return
	}
	if !d.is(n, yaml.SequenceNode, "a list", path) {
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), 0, 0))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = item.Line
		if item.Kind == yaml.MappingNode && item.Style&yaml.FlowStyle == 0 {
			d.columns[at] = item.Column
		}
		value := begun(into.Type().Elem())
		d.value(item, value, at)
		into.Set(reflect.Append(into, value))
	}
}

// pairs yields the keys and values of a mapping, and reports what is not a plain
// key, or stands there twice.
func (d *decoder) pairs(n *yaml.Node, path string) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if !d.is(n, yaml.MappingNode, "keys and values", path) {
			return
		}
		seen := map[string]int{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			at := join(path, key.Value)
			if key.Kind != yaml.ScalarNode {
				at = join(path, cmp.Or(key.Value, "<key>"))
			}
			d.lines[at] = key.Line
			if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
				d.problem(at, "a key must be a plain word, not a list, an alias or a merge (<<)", "write the keys out")
				continue
			}
			if first, twice := seen[key.Value]; twice {
				d.problem(at, fmt.Sprintf("is there already, on line %d", first), "remove one of the two")
				continue
			}
			seen[key.Value] = key.Line
			if !yield(key.Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// is reports whether n has the wanted kind, and if not says so at path.
func (d *decoder) is(n *yaml.Node, want yaml.Kind, wanted, path string) bool {
	if path == "" {
		path = document
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		d.problem(path, "has no value", "write one, or remove the key")
		return false
	case n.Kind != want:
		fix := map[yaml.Kind]string{
			yaml.SequenceNode: "write [a, b], or one line of `- …` each",
			yaml.MappingNode:  "write `key: value` lines below it",
			yaml.ScalarNode:   "write one value after the colon",
		}
		d.problem(path, "expected "+wanted+", got "+kind(n), fix[want])
		return false
	}
	return true
}

// keysOf gives the fields of a struct by their YAML keys, and the keys in order.
func keysOf(t reflect.Type) (fields map[string][]int, keys []string) {
	fields = map[string][]int{}
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		fields[key] = f.Index
		keys = append(keys, key)
	}
	return fields, keys
}

// join makes a YAML path. A name that is not a plain word is quoted, so that a
// dot in it separates nothing and a path is always one short line.
func join(path string, names ...string) string {
	for _, name := range names {
		if name == "" || len(name) > 64 || strings.ContainsFunc(name, notPlain) {
			name = shown(name)
		}
		path += "." + name
	}
	return strings.TrimPrefix(path, ".")
}

func notPlain(c rune) bool {
	return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-<>", c)
}
