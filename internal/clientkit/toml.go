package clientkit

import (
	"bytes"
	"encoding/json"
	"strings"
)

// quote writes a text as a basic string of TOML 1.0. JSON's strings are such strings,
// but for the one control character that JSON lets pass.
func quote(text string) string {
	return strings.ReplaceAll(strings.TrimSuffix(marshal(text, ""), "\n"), "\x7f", `\u007f`)
}

// marshal writes JSON as people do: & and < stand for themselves.
func marshal(value any, indent string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		panic(err) // of texts and lists of them, nothing fails
	}
	return b.String()
}
