package stream

import (
	"fmt"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func copier(namespace, name string) *imagev1.ImageStream {
	return &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(namespace + "-11111111-1111-1111-1111-111111111111"),
	}}
}

// tagged makes an image the head of a tag and returns its digest.
func tagged(s *imagev1.ImageStream, tag, image string, second int) string {
	d := digest.FromString(image).String()
	AddEvent(s, tag, imagev1.TagEvent{Image: d, DockerImageReference: "x@" + d, Created: metav1.NewTime(time.Unix(int64(second), 0))})
	return d
}

func hasCopy(s *imagev1.ImageStream, repository, image string) bool {
	for _, source := range sourcesByImage(CopySources(s))[image] {
		if source.Repository == repository {
			return true
		}
	}
	return false
}

// TestHeadsStayCopies holds that no number of newer images makes a stream forget where the
// head of a tag was copied from.
func TestHeadsStayCopies(t *testing.T) {
	s, base, other := copier("b", "app"), copier("a", "base"), copier("a", "other")
	head := tagged(s, "base", "base", 1)
	RecordCopies(s, Copied{head, base})
	var copied []Copied
	for i := range 3000 {
		tagged(s, "pushed", fmt.Sprint("pushed", i), 10+i)
		copied = append(copied, Copied{tagged(s, "copied", fmt.Sprint("copied", i), 10+i), other})
	}
	RecordCopies(s, copied...)
	PruneCopySources(s)
	if !hasCopy(s, "a/base", head) {
		t.Error("the source of a head is forgotten")
	}
	if newest := copied[len(copied)-1].Image; !hasCopy(s, "a/other", newest) {
		t.Error("the source of the newest copy is forgotten")
	}
	if n := len(s.Annotations[AnnotationCopiedFrom]); n > maxCopiedFrom {
		t.Errorf("the annotation has %d bytes", n)
	}
}

// TestPromotionsStayWritable holds that the annotation of a stream whose images passed
// through others first stays below what Kubernetes takes.
func TestPromotionsStayWritable(t *testing.T) {
	dev, staging, prod := copier("dev", "app"), copier("staging", "app"), copier("prod", "app")
	var first, second []Copied
	for i := range 1900 {
		d := tagged(prod, "latest", fmt.Sprint(i), i)
		first, second = append(first, Copied{d, dev}), append(second, Copied{d, staging})
	}
	RecordCopies(staging, first...)
	RecordCopies(prod, second...)
	PruneCopySources(prod)
	if n := len(prod.Annotations[AnnotationCopiedFrom]); n > maxCopiedFrom {
		t.Errorf("the annotation has %d bytes", n)
	}
	newest := second[len(second)-1].Image
	if !hasCopy(prod, "staging/app", newest) || !hasCopy(prod, "dev/app", newest) {
		t.Error("the sources of the newest copy are forgotten")
	}
}

// TestSourcesOfOneImageAreBounded holds that the writer of a source cannot make a copy of
// its image push out all others.
func TestSourcesOfOneImageAreBounded(t *testing.T) {
	s, from := copier("b", "app"), copier("a", "app")
	own := tagged(s, "own", "own", 1)
	RecordCopies(s, Copied{own, copier("c", "app")})
	image := tagged(s, "wide", "wide", 2)
	var sources []CopySource
	for i := range 1000 {
		sources = append(sources, CopySource{Repository: fmt.Sprintf("a/source-%04d", i), Images: []string{image}})
	}
	SetCopySources(from, sources)
	RecordCopies(s, Copied{image, from})
	PruneCopySources(s)
	if n := len(CopySources(s)); n != 2+maxFurther {
		t.Errorf("%d sources are recorded", n)
	}
	if !hasCopy(s, "c/app", own) || !hasCopy(s, "a/app", image) {
		t.Errorf("the copies are %v", CopySources(s))
	}
}
