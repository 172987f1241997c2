package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "breakwater"

// everything stands for all packages of ours, in the one row that may use it.
const everything = "everything"

// allowed is the table: a package, and the packages of ours that it may import.
// Paths are relative to the module. Tests may import what their package may,
// the package itself and testsAlso.
var allowed = map[string][]string{
	"cmd/breakwater": {everything},

	"config":         {"proxy/registry", "proxy/route", "internal/pattern", "internal/redact"},
	"metrics":        {"proxy", "proxy/access", "blobcache", "tokencache"},
	"proxy":          {"proxy/access", "proxy/registry", "proxy/route", "proxy/upstream", "blobcache", "blobcache/fill", "blobcache/index", "tokencache", "internal/flight", "internal/pattern", "internal/redact"},
	"proxy/access":   {"proxy/registry", "tokencache", "internal/flight", "internal/pattern", "internal/redact"},
	"proxy/registry": {},
	"proxy/route":    {"proxy/registry", "internal/pattern"},
	"proxy/upstream": {"tokencache", "proxy/registry", "internal/redact"},
	"tokencache":     {"internal/flight", "internal/redact"},

	"blobcache":       {"blobcache/disk", "blobcache/fill", "blobcache/index", "internal/flight"},
	"blobcache/disk":  {},
	"blobcache/fill":  {},
	"blobcache/index": {},

	"internal/architecture": {},
	"internal/clientkit":    {},
	"internal/control":      {},
	"internal/demo":         {"internal/harbortest"},
	"internal/doctor":       {"tokencache", "proxy/registry", "proxy/upstream", "internal/redact"},
	"internal/explain":      {"proxy", "proxy/registry", "internal/plain"},
	"internal/flight":       {},
	"internal/harbortest":   {},
	"internal/pattern":      {},
	"internal/plain":        {},
	"internal/redact":       {},

	"test/e2e": {},
}

// testsAlso are open to the tests of every package: the Harbor stand-in, the type in
// which a secret travels, and the language in which names are meant.
var testsAlso = []string{"internal/harbortest", "internal/pattern", "internal/redact"}

// confined are the libraries that stay in one room: the only packages that may
// import them, and the only ones whose tests may.
var confined = map[string]struct{ code, tests []string }{
	// Metrics at the rim: packages declare events, metrics implements them.
	"github.com/prometheus": {
		code:  []string{"cmd/breakwater", "metrics"},
		tests: []string{"cmd/breakwater", "metrics", "test/e2e"},
	},
	// The shape of the configuration is known to config alone; redact proves
	// that a secret does not print as YAML either.
	"gopkg.in/yaml.v3": {
		code:  []string{"config"},
		tests: []string{"config", "internal/redact"},
	},
}

// A goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// room is the package's path inside the module.
func (p goPackage) room() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// listPackages asks the go command, so that build tags and generated files are
// seen as they are compiled. The e2e tests are included.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-tags", "e2e",
		"-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", list, err, stderr(err))
	}
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("reading the answer of %s: %v", list, err)
		}
		packages = append(packages, p)
	}
}

func stderr(err error) []byte {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.Stderr
	}
	return nil
}

// violations holds the packages against the tables and returns one line for
// every import that they do not allow.
func violations(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		row, known := allowed[p.room()]
		if !known {
			found = append(found, p.room()+" has no row in the table of allowed imports")
			continue
		}
		for _, imported := range p.Imports {
			if !mayImport(row, imported) || !unconfined(p.room(), imported, false) {
				found = append(found, p.room()+" may not import "+imported)
			}
		}
		testRow := slices.Concat(row, testsAlso, []string{p.room()})
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if !mayImport(testRow, imported) || !unconfined(p.room(), imported, true) {
				found = append(found, "tests of "+p.room()+" may not import "+imported)
			}
		}
	}
	return found
}

// mayImport tells whether a row allows an import; what is not ours is not its
// business.
func mayImport(row []string, imported string) bool {
	room, ours := strings.CutPrefix(imported, module+"/")
	return !ours || slices.Contains(row, room) || slices.Contains(row, everything)
}

func unconfined(room, imported string, test bool) bool {
	for library, rooms := range confined {
		if imported != library && !strings.HasPrefix(imported, library+"/") {
			continue
		}
		if test {
			return slices.Contains(rooms.tests, room)
		}
		return slices.Contains(rooms.code, room)
	}
	return true
}

func TestOnlyAllowedImports(t *testing.T) {
	for _, line := range violations(listPackages(t)) {
		t.Error(line)
	}
}

// A row for a package that is gone, or an arrow to one, would be a permission
// that nobody gave to whatever takes the name next.
func TestNoStaleRows(t *testing.T) {
	exists := map[string]bool{everything: true}
	for _, p := range listPackages(t) {
		exists[p.room()] = true
	}
	for _, room := range slices.Sorted(maps.Keys(allowed)) {
		if !exists[room] {
			t.Errorf("the table has a row for %s, which does not exist", room)
		}
		for _, to := range allowed[room] {
			if !exists[to] {
				t.Errorf("the row of %s allows %s, which does not exist", room, to)
			}
		}
	}
}

// The table must be able to say no.
func TestViolationsAreFound(t *testing.T) {
	tests := map[string]struct {
		pkg  goPackage
		want []string
	}{
		"package without a row": {
			goPackage{ImportPath: "breakwater/newcomer"},
			[]string{"newcomer has no row in the table of allowed imports"},
		},
		"arrow upward": {
			goPackage{ImportPath: "breakwater/tokencache", Imports: []string{"net/http", "breakwater/proxy"}},
			[]string{"tokencache may not import breakwater/proxy"},
		},
		"sub-package is another room": {
			goPackage{ImportPath: "breakwater/proxy/registry", Imports: []string{"breakwater/proxy/upstream"}},
			[]string{"proxy/registry may not import breakwater/proxy/upstream"},
		},
		"the stand-in in a program": {
			goPackage{ImportPath: "breakwater/proxy", Imports: []string{"breakwater/internal/harbortest"}},
			[]string{"proxy may not import breakwater/internal/harbortest"},
		},
		"the stand-in in a test": {
			goPackage{ImportPath: "breakwater/proxy", XTestImports: []string{"breakwater/internal/harbortest", "breakwater/proxy"}},
			nil,
		},
		"test that looks into another room": {
			goPackage{ImportPath: "breakwater/tokencache", TestImports: []string{"breakwater/proxy/registry"}},
			[]string{"tests of tokencache may not import breakwater/proxy/registry"},
		},
		"metrics library in a leaf": {
			goPackage{ImportPath: "breakwater/tokencache", Imports: []string{"github.com/prometheus/client_golang/prometheus"}},
			[]string{"tokencache may not import github.com/prometheus/client_golang/prometheus"},
		},
		"YAML outside config": {
			goPackage{ImportPath: "breakwater/cmd/breakwater", Imports: []string{"gopkg.in/yaml.v3"}},
			[]string{"cmd/breakwater may not import gopkg.in/yaml.v3"},
		},
		"YAML in the test of redact only": {
			goPackage{ImportPath: "breakwater/internal/redact", Imports: []string{"gopkg.in/yaml.v3"}, TestImports: []string{"gopkg.in/yaml.v3"}},
			[]string{"internal/redact may not import gopkg.in/yaml.v3"},
		},
		"the program sees everything": {
			goPackage{ImportPath: "breakwater/cmd/breakwater", Imports: []string{"breakwater/config", "breakwater/metrics", "breakwater/proxy"}},
			nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := violations([]goPackage{tt.pkg}); !slices.Equal(got, tt.want) {
				t.Errorf("violations: %q, want %q", got, tt.want)
			}
		})
	}
}
