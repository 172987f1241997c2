package pattern

import "strings"

// Overlaps tells whether there is a text that both patterns stand for. It walks through
// both at once, as through two automata.
func (p Pattern) Overlaps(q Pattern) bool {
	a, b := symbols(p.text), symbols(q.text)
	seen := make(map[[2]int]struct{})
	var walk func(i, j int) bool
	walk = func(i, j int) bool {
		at := [2]int{i, j}
		if _, again := seen[at]; again {
			return false
		}
		seen[at] = struct{}{}
		switch {
		case i == len(a) && j == len(b):
			return true
		case i < len(a) && a[i].wild() && (walk(i+1, j) || j < len(b) && a[i].takes(b[j]) && walk(i, j+1)):
			return true
		case j < len(b) && b[j].wild() && (walk(i, j+1) || i < len(a) && b[j].takes(a[i]) && walk(i+1, j)):
			return true
		}
		return i < len(a) && j < len(b) && !a[i].wild() && a[i] == b[j] && walk(i+1, j+1)
	}
	return walk(0, 0)
}

// symbol is one byte, or a wildcard: * or **.
type symbol string

func symbols(text string) []symbol {
	var all []symbol
	for text != "" {
		n := 1
		if strings.HasPrefix(text, "**") {
			n = 2
		}
		all, text = append(all, symbol(text[:n])), text[n:]
	}
	return all
}

func (s symbol) wild() bool { return s == "*" || s == "**" }

// takes tells whether a wildcard stands for that byte.
func (s symbol) takes(other symbol) bool {
	return !other.wild() && (s == "**" || other != "/" && other != ":")
}
