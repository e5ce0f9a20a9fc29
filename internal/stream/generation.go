package stream

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PrepareCreate makes s a new stream as its creator may make it: without any
// status, at generation 1, every spec tag too. The repository fields of status are
// left empty; see Repositories.
func PrepareCreate(s *imagev1.ImageStream) {
	s.Status = imagev1.ImageStreamStatus{}
	PrepareCreateWithStatus(s)
}

// PrepareCreateWithStatus is PrepareCreate for writers inside the server, whose
// status tags stay.
func PrepareCreateWithStatus(s *imagev1.ImageStream) {
	Normalize(s)
	s.Generation = 1
	for i := range s.Spec.Tags {
		s.Spec.Tags[i].Generation = generationOf(1)
	}
	dropStaleRetries(s)
}

// PrepareUpdate makes s what a writer of streams may make of old: the status is
// the old one, and the generations of the stream and of its tags are counted on.
//
// metadata.generation rises with every change of spec. A spec tag gets the new
// number when it is new, when tagChanged says that it points elsewhere, or when the
// writer reset it to 0 to have it imported again; any other number is ignored.
func PrepareUpdate(s, old *imagev1.ImageStream) {
	old.Status.DeepCopyInto(&s.Status)
	PrepareUpdateWithStatus(s, old)
}

// PrepareUpdateWithStatus is PrepareUpdate for writers inside the server (tags,
// imports), whose status tags stay.
func PrepareUpdateWithStatus(s, old *imagev1.ImageStream) {
	Normalize(s)
	s.Generation = old.Generation
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		before := SpecTag(old, tag.Name)
		if before == nil || isZero(tag.Generation) {
			continue
		}
		tag.Generation = copyGeneration(before.Generation)
	}
	if s.Generation == 0 || !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
		s.Generation = old.Generation + 1
	}
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		before := SpecTag(old, tag.Name)
		if before == nil || tag.Generation == nil || *tag.Generation == 0 || tagChanged(before, tag, s.Namespace) {
			tag.Generation = generationOf(s.Generation)
		}
	}
	dropStaleRetries(s)
}

// PrepareStatusUpdate makes s what a writer of status may make of old: everything
// but status is the old one's, except resourceVersion and managedFields, which the
// server needs. New heads that come without a generation get one.
func PrepareStatusUpdate(s, old *imagev1.ImageStream) {
	old.Spec.DeepCopyInto(&s.Spec)
	metav1.ResetObjectMetaForStatus(&s.ObjectMeta, &old.ObjectMeta)
	Normalize(s)
	for i := range s.Status.Tags {
		newest := head(&s.Status.Tags[i])
		if newest != nil && newest.Generation == 0 {
			newest.Generation = headGeneration(s, old, s.Status.Tags[i].Tag, newest)
		}
	}
	dropStaleRetries(s)
}

// headGeneration is the generation for a head that came without one: that of the
// spec tag if the writer moved the head of a tag with history, else the stream's.
func headGeneration(s, old *imagev1.ImageStream, tag string, newest *imagev1.TagEvent) int64 {
	before := LatestEvent(old, tag)
	if before == nil || !headMoved(before, newest) {
		return s.Generation
	}
	if specTag := SpecTag(s, tag); specTag != nil && specTag.Generation != nil {
		return *specTag.Generation
	}
	return s.Generation
}

// tagChanged reports whether a spec tag of a stream in namespace points elsewhere
// than before, so that it has to be resolved or imported again. A tag without from
// points nowhere and never counts as changed. Annotations, referencePolicy and
// importPolicy's scheduled and insecure say how, not where, and are not compared.
// A nil before is a tag that is new.
func tagChanged(before, after *imagev1.TagReference, namespace string) bool {
	from := after.From
	if from == nil || (from.Kind == "" && from.Name == "") {
		return false
	}
	if before == nil || before.From == nil {
		return true
	}
	return before.From.Kind != from.Kind ||
		before.From.Name != from.Name ||
		namespaceOr(before.From.Namespace, namespace) != namespaceOr(from.Namespace, namespace) ||
		before.Reference != after.Reference ||
		before.ImportPolicy.ImportMode != after.ImportPolicy.ImportMode ||
		(before.Generation != nil && *before.Generation != 0 && isZero(after.Generation))
}

func namespaceOr(namespace, fallback string) string {
	if namespace == "" {
		return fallback
	}
	return namespace
}

func isZero(generation *int64) bool { return generation != nil && *generation == 0 }

func generationOf(g int64) *int64 { return &g }

func copyGeneration(g *int64) *int64 {
	if g == nil {
		return nil
	}
	return generationOf(*g)
}
