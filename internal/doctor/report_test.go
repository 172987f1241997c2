package doctor_test

import (
	"errors"
	"os"
	"testing"

	"breakwater/internal/doctor"
)

func ExampleReport() {
	r := doctor.NewReport(os.Stdout)
	r.Section("configuration config.yaml")
	r.OK("values", "all are understood")
	r.Warn("line 3", "upstreams.harbor.url is plain http", "use https://")
	r.Close()
	// Output:
	// configuration config.yaml
	//   ok    values     all are understood
	//   warn  line 3     upstreams.harbor.url is plain http
	//                    to do: use https://
	//
	// Everything that was tried works, with 1 warning.
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestReportThatCannotBeWritten(t *testing.T) {
	r := doctor.NewReport(full{})
	r.OK("values", "all are understood")
	if _, err := r.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v, want %v", err, errFull)
	}
}
