package route

import (
	"fmt"
	"slices"
)

// Conflict is what is wrong with one route beside the others.
type Conflict struct {
	Route string // its name
	Key   string // of the route's keys in the configuration: "", "to", "repositories[0]"
	What  string // goes on from the key: "also opens …"
	Fix   string
}

// Conflicts finds what cannot be meant: two routes for one name, two that open the same
// repositories at the same place, and patterns that no repository can match.
func Conflicts(routes []Route) []Conflict {
	var found []Conflict
	for i, r := range routes {
		for _, other := range routes[:i] {
			found = append(found, r.against(other)...)
		}
	}
	return found
}

func (r Route) against(other Route) []Conflict {
	for _, alias := range other.Aliases() {
		if r.Name == alias {
			return []Conflict{{r.Name, "", fmt.Sprintf("is another name of %s, which has a route", other.Name), "remove one of the two"}}
		}
	}
	if r.Upstream != other.Upstream || r.Prefix != other.Prefix {
		return nil
	}
	for i, mine := range r.Repositories {
		if j := slices.IndexFunc(other.Repositories, mine.Overlaps); j >= 0 {
			return []Conflict{{r.Name, fmt.Sprintf("repositories[%d]", i), fmt.Sprintf("opens what %q of %s opens: both lead to the same place", other.Repositories[j], other.Name), "leave each repository to one of them"}}
		}
	}
	return nil
}
