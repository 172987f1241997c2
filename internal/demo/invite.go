package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Invite prints what to try while Breakwater serves the registry at one address,
// and its metrics at another ("" is nowhere).
func (s *Stage) Invite(w io.Writer, registry, admin string) error {
	out := &printer{w: w}
	out.printf("\nBoth run until Ctrl-C. In another terminal, try:\n\n")
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	base := "http://" + registry + "/v2/"
	for _, line := range [][2]string{
		{"curl " + base, "the registry is there"},
		{"curl " + base + "_catalog", "repositories"},
		{"curl " + base + repository + "/tags/list", "tags"},
		{"curl " + base + repository + "/manifests/" + tag, "its manifest"},
		{"curl " + base + ledger + "/tags/list", "404: not for the robot"},
		{"curl " + s.URL + "/v2/" + repository + "/tags/list", "401: Harbor itself"},
		{"crane manifest " + registry + "/" + multi + ":" + tag, "an index of two architectures"},
		{"crane manifest " + registry + "/" + repository + ":" + sbom, "an artifact that refers to the image"},
		{"docker pull " + registry + "/" + repository + ":" + tag, "the image whole"},
	} {
		fmt.Fprintf(columns, "  %s\t# %s\n", line[0], line[1])
	}
	if admin != "" {
		fmt.Fprintf(columns, "  curl http://%s/metrics\t# what Breakwater counted\n", admin)
	}
	_ = columns.Flush() // out keeps the error
	return out.err
}
