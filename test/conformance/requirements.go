package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Requirement is one thing that a document asks of a registry.
type Requirement struct {
	// Document is the document; empty for spec.md of the distribution specification,
	// version 1.1.1.
	Document string
	// Line is where in spec.md it stands; 0 in other documents.
	Line    int
	Section string
	// Level is MUST, SHOULD, MAY or, where a document has other words, "".
	Level string
	// Says is what is asked, in our words.
	Says string
	// Client says that it is asked of clients, so that no registry can be checked.
	Client bool
	// Checks are the checks of it, "area/check".
	Checks []string
}

// String names the requirement, "spec.md:176 Pulling manifests: MUST …".
func (r Requirement) String() string {
	where := r.Document
	if where == "" {
		where = fmt.Sprintf("spec.md:%d", r.Line)
	}
	level := r.Level
	if level != "" {
		level += " "
	}
	return fmt.Sprintf("%s %s: %s%s", where, r.Section, level, r.Says)
}

// Requirements are all requirements, those of spec.md first, by line.
var Requirements = slices.Concat(pullRequirements, pushRequirements, discoveryRequirements, managementRequirements, otherRequirements)

// citations are the requirements that a check stands for.
func citations(name string) []string {
	var lines []string
	for _, r := range Requirements {
		if slices.Contains(r.Checks, name) {
			lines = append(lines, r.String())
		}
	}
	return lines
}

// in are checks of one area.
func in(area string, names ...string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = area + "/" + n
	}
	return all
}

// every are the checks of the areas that exist, all of them.
func every(names ...string) []string {
	var all []string
	for _, a := range areas() {
		if !slices.Contains(names, a.name) {
			continue
		}
		for _, k := range a.checks {
			all = append(all, a.name+"/"+k.name)
		}
	}
	return all
}

// ofKinds are the checks of kinds of content that begin so.
func ofKinds(prefix string) []string {
	var all []string
	for _, k := range kindChecks() {
		if strings.HasPrefix(k.name, prefix) {
			all = append(all, "kinds/"+k.name)
		}
	}
	return all
}
