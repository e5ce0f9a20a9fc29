package conformance

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryRequirementHasChecks(t *testing.T) {
	names := Names()
	for _, r := range Requirements {
		if len(r.Checks) == 0 && !r.Client {
			t.Errorf("%s: no check", r)
		}
		for _, name := range r.Checks {
			if !slices.Contains(names, name) {
				t.Errorf("%s: there is no check %s", r, name)
			}
		}
	}
}

func TestEveryCheckStandsForSomething(t *testing.T) {
	for _, name := range Names() {
		if len(citations(name)) == 0 {
			t.Errorf("the check %s stands for no requirement", name)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Names() {
		if seen[name] {
			t.Errorf("two checks are named %s", name)
		}
		if strings.ContainsAny(name, " :") {
			t.Errorf("%q is no name for a subtest", name)
		}
		seen[name] = true
	}
}

func TestLinesAscend(t *testing.T) {
	last := 0
	for _, r := range Requirements {
		if r.Document != "" {
			continue
		}
		if r.Line <= last {
			t.Errorf("%s comes after line %d", r, last)
		}
		last = r.Line
	}
}
