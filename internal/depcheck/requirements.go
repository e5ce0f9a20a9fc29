package depcheck

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// reasonRow is a row of the table in docs/decisions/0001-dependencies.md: a module in
// backquotes, then what it is for.
var reasonRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| *([^|]*?) *\\|")

// leastReason is the number of words below which a reason is none.
const leastReason = 5

// DirectRequirements are the modules that a go.mod requires for packages that this
// module imports itself. It takes the form that `go mod tidy` writes.
func DirectRequirements(gomod string) []string {
	var modules []string
	inBlock := false
	for line := range strings.Lines(gomod) {
		line = strings.TrimSpace(line)
		switch line {
		case "require (":
			inBlock = true
			continue
		case ")":
			inBlock = false
		}
		single, isSingle := strings.CutPrefix(line, "require ")
		if !inBlock && !isSingle || strings.HasSuffix(line, "// indirect") {
			continue
		}
		if fields := strings.Fields(single); len(fields) >= 2 {
			modules = append(modules, fields[0])
		}
	}
	return modules
}

// CheckReasons returns the direct requirements of a go.mod that have no row with a
// reason in the decision, and the rows that are about no such requirement.
func CheckReasons(gomod, decision string) []string {
	required := DirectRequirements(gomod)
	reasons := map[string]string{}
	var wrong []string
	for _, row := range reasonRow.FindAllStringSubmatch(decision, -1) {
		reasons[row[1]] = row[2]
		if !slices.Contains(required, row[1]) {
			wrong = append(wrong, fmt.Sprintf("a reason is given for %s, which go.mod does not require directly", row[1]))
		}
	}
	for _, module := range required {
		if len(strings.Fields(reasons[module])) < leastReason {
			wrong = append(wrong, fmt.Sprintf("no reason is given for %s: each dependency is the code of others "+
				"that ships with ours and has to be kept current, so it needs one", module))
		}
	}
	return wrong
}
