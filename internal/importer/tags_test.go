package importer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/reference"
)

func TestPrioritizeTags(t *testing.T) {
	for name, want := range map[string]string{
		"contract":              "latest v5.2 5.1 5.1-rc1 5.2.3 a b",
		"numbers, not text":     "10.0 9.10 9.9 10.0.10 10.0.9",
		"without v before v":    "5.1 v5.1 5.1-rc1 v5.1-rc1 5.0.0 v5.0.0",
		"pre-releases":          "1.0.0 1.0.0-rc.1 1.0.0-beta.11 1.0.0-beta.2 1.0.0-beta 1.0.0-alpha.beta 1.0.0-alpha.1 1.0.0-alpha",
		"numbers of any length": "1.99999999999999999999999999 1.99999999999999999999999998",
		"leading zeros":         "2.0 1.0.0 01.0 20.04 22.04",
		"not quite versions":    "1.0 1 1.0- 1.0.0.0 1.0.0_x 1.x v vv1.0",
	} {
		t.Run(name, func(t *testing.T) {
			tags := strings.Fields(want)
			shuffled := slices.Clone(tags)
			for range 10 {
				rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				if diff := cmp.Diff(tags, prioritizeTags(shuffled)); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
			}
		})
	}
	if diff := cmp.Diff([]string{"latest", "a"}, prioritizeTags([]string{"a", "", "a", "latest", "not a tag", "-x"})); diff != "" {
		t.Errorf("empty, repeated and impossible names:\n%s", diff)
	}
}

func FuzzPrioritizeTags(f *testing.F) {
	f.Add("latest v5.2 5.1 5.1-rc1 5.2.3 a b")
	f.Add("1.0.0-1 1.0.0-a 1.0.0-01 1.0-rc.1.. v1.0- 00.1")
	f.Fuzz(func(t *testing.T, list string) {
		listed := strings.Split(list, " ")
		got := prioritizeTags(listed)
		reversed := slices.Clone(listed)
		slices.Reverse(reversed)
		if diff := cmp.Diff(got, prioritizeTags(reversed)); diff != "" {
			t.Errorf("the order depends on that of the registry:\n%s", diff)
		}
		for i, tag := range got {
			if !reference.ValidTag(tag) || slices.Contains(got[i+1:], tag) {
				t.Errorf("%q is no tag, or there twice", tag)
			}
		}
		for _, tag := range listed {
			if reference.ValidTag(tag) && !slices.Contains(got, tag) {
				t.Errorf("%q is lost", tag)
			}
		}
	})
}
