package config

import (
	"reflect"
	"strconv"

	"gopkg.in/yaml.v3"
)

// text decodes what YAML itself takes for text: `username: 1234` is a number,
// and 0123 would lose its zero elsewhere.
func (d *decoder) text(n *yaml.Node, into reflect.Value, path string) {
	if !d.is(n, yaml.ScalarNode, "text", path) {
		return
	}
	if n.ShortTag() != "!!str" {
		d.problem(path, "expected text, got "+kind(n), "put the value in quotes")
		return
	}
	into.SetString(n.Value)
}

// truth decodes true or false. The yes and on of YAML 1.1 are text since 1.2.
func (d *decoder) truth(n *yaml.Node, into reflect.Value, path string) {
	if !d.is(n, yaml.ScalarNode, "true or false", path) {
		return
	}
	var truth bool
	if n.ShortTag() != "!!bool" || n.Decode(&truth) != nil {
		d.problem(path, "is neither true nor false", "write one of the two, without quotes")
		return
	}
	into.SetBool(truth)
}

// number decodes a whole number in digits: YAML would take 010 for eight.
func (d *decoder) number(n *yaml.Node, into reflect.Value, path string) {
	if !d.is(n, yaml.ScalarNode, "a number", path) {
		return
	}
	number, err := strconv.Atoi(n.Value)
	if n.ShortTag() != "!!int" || err != nil || strconv.Itoa(number) != n.Value {
		d.problem(path, "is not a whole number", "write it in digits, without quotes")
		return
	}
	into.SetInt(int64(number))
}

// kind is the everyday name of what n is.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	default:
		return "a value with a tag (!)" // not shown: it may be a password with that in front
	}
}
