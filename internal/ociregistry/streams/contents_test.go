package streams

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// TestContents holds that the images whose content has to be here are listed: pushed ones and
// copies, and neither imported ones nor those that were only named.
func TestContents(t *testing.T) {
	s := imageStream()
	s.Annotations = map[string]string{
		stream.AnnotationCopiedFrom: `[{"repository":"ns/source","uid":"other","images":["` + id("copied").String() + `"]}]`,
	}
	stream.MarkUnproven(s, id("named").String())
	s.Status.Tags = imageStream(
		tagged("a", items(9, "pushed", "imported=quay.io/x/y")),
		tagged("b", items(3, "named", "pushed", "copied=quay.io/x/y")),
	).Status.Tags
	d := &Directory{known: newKnown(time.Now), histories: newHistories(allowAll, nil)}
	d.known.put(s, time.Now())
	var got []ociregistry.Content
	for c := range d.Contents() {
		c.Version = 0
		got = append(got, c)
	}
	repo, err := reference.ParseRepository("ns/app")
	if err != nil {
		t.Fatal(err)
	}
	want := []ociregistry.Content{
		{Repository: repo, Image: id("pushed"), Tags: []string{"a", "b"}},
		{Repository: repo, Image: id("copied"), Tags: []string{"b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
