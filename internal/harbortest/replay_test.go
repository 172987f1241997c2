package harbortest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

// TestReplay sends every recorded request to the stand-in and compares the
// answer with what the real Harbor gave. What is listed in
// testdata/not-modelled.txt must differ: an entry that has come to pass, or
// that does not exist, fails.
func TestReplay(t *testing.T) {
	excused := notModelled(t)
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := file.Name(); name[0] >= '0' && name[0] <= '9' {
			t.Run(strings.TrimSuffix(name, ".txt"), func(t *testing.T) { replayFile(t, name, excused) })
		}
	}
	for key, reason := range excused {
		if reason != "" {
			t.Errorf("not-modelled.txt: %s is no entry of the recordings", key)
		}
	}
}

// replayFile plays the entries of a file in their order, in one world whose
// clock is a bubble's.
func replayFile(t *testing.T, file string, excused map[string]string) {
	entries := readRecording(t, file)
	wrong := make([][]string, len(entries))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, entries)
		defer w.close()
		for i, e := range entries {
			if step := steps[file][e.number]; step != nil {
				step(w)
			}
			w.h.ResetRequests()
			response, body, cut := w.play(e)
			w.learn(e, response)
			wrong[i] = w.compare(e, response, body, cut)
		}
	})
	for i, e := range entries {
		t.Run(e.name(), func(t *testing.T) {
			key := fmt.Sprintf("%s %d", file, e.number)
			reason := excused[key]
			excused[key] = ""
			switch {
			case reason != "" && len(wrong[i]) == 0:
				t.Errorf("listed in not-modelled.txt (%s), but the answer is as recorded", reason)
			case reason == "" && len(wrong[i]) > 0:
				t.Errorf("%s\n%s", e.request, strings.Join(wrong[i], "\n"))
			}
		})
	}
}
