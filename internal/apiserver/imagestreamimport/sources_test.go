package imagestreamimport

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/importer"
)

func TestSkippedSources(t *testing.T) {
	dead, slow := importer.Skipped{Source: "dead.test/m", Text: "no answer"}, importer.Skipped{Source: "slow.test/m", Text: strings.Repeat("x", 2000)}
	got := skippedSources(importer.Result{
		Images:     []importer.ImageResult{{Skipped: []importer.Skipped{dead}}, {}, {Skipped: []importer.Skipped{slow, dead}}},
		Repository: &importer.RepositoryResult{Images: []importer.ImageResult{{Skipped: []importer.Skipped{dead}}}},
	})
	if len(got) != 2 || got[0] != "dead.test/m failed, and 3 images came from another source: no answer" {
		t.Fatal(cmp.Diff([]string{}, got))
	}
	if !strings.HasPrefix(got[1], "slow.test/m failed, and one image came from another source: xxx") || len(got[1]) > 1024 {
		t.Errorf("%d bytes: %.100s", len(got[1]), got[1])
	}
}
