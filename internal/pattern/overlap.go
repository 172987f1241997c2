package pattern

import "strings"

// Overlaps tells whether there is a text that both patterns stand for, in time
// proportional to the product of their lengths.
func (p Pattern) Overlaps(q Pattern) bool {
	if !strings.HasPrefix(p.prefix, q.prefix) && !strings.HasPrefix(q.prefix, p.prefix) {
		return false
	}
	a, b := symbols(p.text), symbols(q.text)
	// common[j] tells whether one text may be stood for by what was walked through of a
	// and by b[:j]; before is the same of one symbol of a less. Where two wildcards meet,
	// either may stand for nothing.
	before, common := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := range len(a) + 1 {
		before, common = common, before
		for j := range len(b) + 1 {
			common[j] = i == 0 && j == 0 ||
				i > 0 && before[j] && (a[i-1].wild() || j > 0 && b[j-1].takes(a[i-1])) ||
				j > 0 && common[j-1] && (b[j-1].wild() || i > 0 && a[i-1].takes(b[j-1])) ||
				i > 0 && j > 0 && before[j-1] && a[i-1] == b[j-1]
		}
	}
	return common[len(b)]
}

// symbol is one byte, or a wildcard: * or **. Bytes will do for characters: in UTF-8
// none begins inside another, and what wildcards leave out is ASCII.
type symbol string

func symbols(text string) []symbol {
	all := make([]symbol, 0, len(text))
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

// takes tells whether it is a wildcard that stands for that byte.
func (s symbol) takes(other symbol) bool {
	return s.wild() && !other.wild() && (s == "**" || other != "/" && other != ":")
}
