package depcheck

import (
	"os"
	"path/filepath"
	"testing"
)

const root = "../.."

func TestModuleKeepsTheRules(t *testing.T) {
	imports, err := ReadImports(root)
	if err != nil {
		t.Fatal(err)
	}
	report(t, CheckLayers(imports, Layers))
	report(t, CheckImports(imports, Rules))
	report(t, CheckNames(imports))
}

func TestModuleReachesWhatItMay(t *testing.T) {
	// The files are read first, so that a change to one of them makes a cached result stale.
	if _, err := ReadImports(root); err != nil {
		t.Fatal(err)
	}
	graph, err := ReadGraph(root, ReachFolders(Rules))
	if err != nil {
		t.Fatal(err)
	}
	report(t, CheckReach(graph, Rules))
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	report(t, CheckReasons(read(t, "go.mod"), read(t, "docs/decisions/0001-dependencies.md")))
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func report(t *testing.T, wrong []string) {
	t.Helper()
	for _, w := range wrong {
		t.Error(w)
	}
}
