package config

import "strings"

// closest is the key that was probably meant: at most two letters away, and
// nearer than a word of that length comes by chance. "" if there is none.
func closest(written string, keys []string) string {
	best, least := "", min(2, len(written)/2)+1
	for _, key := range keys {
		if n := len(written) - len(key); n > 2 || n < -2 {
			continue
		}
		if edits := distance(strings.ToLower(written), key); edits < least {
			best, least = key, edits
		}
	}
	return best
}

// distance is Levenshtein's: how many letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
