package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// line is one line of a streamed answer: an item, or how the stream ended. One
// without an end was cut.
type line[T any] struct {
	Item  *T     `json:"item,omitempty"`
	End   bool   `json:"end,omitempty"`
	Error string `json:"error,omitempty"` // with End
}

// writeLines answers with what each yields, a line as soon as it is there.
func writeLines[T any](w http.ResponseWriter, each func(yield func(T) error) error) {
	w.Header().Set("Content-Type", "application/jsonl")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
	lines.SetEscapeHTML(false)
	err := each(func(item T) error {
		if err := lines.Encode(line[T]{Item: &item}); err != nil {
			return err
		}
		return flush()
	})
	last := line[T]{End: true}
	if err != nil {
		last.Error = err.Error()
	}
	_ = lines.Encode(last) // whoever asked may be gone
}

// readLines yields the items of a streamed answer.
func readLines[T any](answer io.Reader, yield func(T) error) error {
	for lines := json.NewDecoder(answer); ; {
		var l line[T]
		switch err := lines.Decode(&l); {
		case err != nil:
			return fmt.Errorf("the running instance broke off: %w", err)
		case l.End && l.Error != "":
			return errors.New(l.Error)
		case l.End:
			return nil
		case l.Item == nil:
			return errors.New("the running instance answers with a line that is none")
		}
		if err := yield(*l.Item); err != nil {
			return err
		}
	}
}
