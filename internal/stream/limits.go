package stream

import (
	"cmp"
	"fmt"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"weir.dev/weir/internal/reference"
)

// Usage is the count of a stream for LimitRanges of type openshift.io/ImageStream.
type Usage struct {
	Images map[string]struct{} // distinct images in status.tags: openshift.io/images
	Tags   map[string]struct{} // distinct references in spec.tags: openshift.io/image-tags
}

// usageOf counts a stream; a nil stream counts nothing.
func usageOf(s *imagev1.ImageStream) Usage {
	usage := Usage{Images: map[string]struct{}{}, Tags: map[string]struct{}{}}
	if s == nil {
		return usage
	}
	for i := range s.Status.Tags {
		for j := range s.Status.Tags[i].Items {
			if image := s.Status.Tags[i].Items[j].Image; image != "" {
				usage.Images[image] = struct{}{}
			}
		}
	}
	for i := range s.Spec.Tags {
		if identity := fromIdentity(s, s.Spec.Tags[i].From); identity != "" {
			usage.Tags[identity] = struct{}{}
		}
	}
	return usage
}

// fromIdentity is a text that two froms of spec tags share when they refer to the
// same thing, or "" for one that does not count: no from, one that cannot be read,
// and a tag that follows another of its own stream by its bare name.
func fromIdentity(s *imagev1.ImageStream, from *corev1.ObjectReference) string {
	if from != nil && from.Kind == KindDockerImage {
		spec, err := reference.Parse(from.Name)
		if err != nil {
			return ""
		}
		return spec.Identity()
	}
	source, ok := sourceOf(s, from)
	if !ok {
		return ""
	}
	if source.Image != "" {
		return source.Namespace + "/" + reference.JoinStreamImage(source.Stream, source.Image)
	}
	if from.Name == source.Tag {
		return ""
	}
	return source.Namespace + "/" + reference.JoinStreamTag(source.Stream, source.Tag)
}

// exceedsNothing reports whether u brings nothing that old did not have.
func (u Usage) exceedsNothing(old Usage) bool {
	return isSubset(u.Images, old.Images) && isSubset(u.Tags, old.Tags)
}

func isSubset(part, whole map[string]struct{}) bool {
	if len(part) > len(whole) {
		return false
	}
	for member := range part {
		if _, found := whole[member]; !found {
			return false
		}
	}
	return true
}

// Bound is the maximum of a resource that a LimitRange sets.
type Bound struct {
	Max resource.Quantity
	// LimitRange is its name.
	LimitRange string
}

// BoundOf is the smallest maximum of a resource that the LimitRanges of a namespace set for a type;
// nil is no bound. Of equal ones it is that of the first name, so that errors do not vary.
func BoundOf(ranges []*corev1.LimitRange, kind corev1.LimitType, name corev1.ResourceName) *Bound {
	var bound *Bound
	for _, r := range ranges {
		for i := range r.Spec.Limits {
			quantity, found := r.Spec.Limits[i].Max[name]
			if other := (Bound{quantity, r.Name}); found && r.Spec.Limits[i].Type == kind && (bound == nil || other.before(*bound)) {
				bound = &other
			}
		}
	}
	return bound
}

func (b Bound) before(other Bound) bool {
	return cmp.Or(b.Max.Cmp(other.Max), strings.Compare(b.LimitRange, other.LimitRange)) < 0
}

// Limits are the bounds on streams of a namespace; nil is no bound.
type Limits struct {
	Images *Bound
	Tags   *Bound
}

// LimitsOf takes the bounds from the LimitRanges of a namespace.
func LimitsOf(ranges []*corev1.LimitRange) Limits {
	return Limits{
		Images: BoundOf(ranges, imagev1.LimitTypeImageStream, imagev1.ResourceImageStreamImages),
		Tags:   BoundOf(ranges, imagev1.LimitTypeImageStream, imagev1.ResourceImageStreamTags),
	}
}

// LimitError reports a stream that would count more than the namespace allows. Clients
// recognise it by the words "exceeds the maximum limit".
type LimitError struct {
	Resource corev1.ResourceName
	Used     int
	Bound    Bound
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("requested usage of %s exceeds the maximum limit per %s (%d > %s), set by LimitRange %s",
		e.Resource, imagev1.LimitTypeImageStream, e.Used, e.Bound.Max.String(), e.Bound.LimitRange)
}

// CheckLimits compares what s counts with the limits. A write that adds neither an
// image nor a reference to old passes, even if the stream was over its limits before.
// old is nil for a new stream.
func CheckLimits(s, old *imagev1.ImageStream, limits Limits) []*LimitError {
	if limits.Images == nil && limits.Tags == nil {
		return nil
	}
	usage := usageOf(s)
	if usage.exceedsNothing(usageOf(old)) {
		return nil
	}
	var exceeded []*LimitError
	check := func(name corev1.ResourceName, used int, bound *Bound) {
		if bound != nil && bound.Max.CmpInt64(int64(used)) < 0 {
			exceeded = append(exceeded, &LimitError{Resource: name, Used: used, Bound: *bound})
		}
	}
	check(imagev1.ResourceImageStreamImages, len(usage.Images), limits.Images)
	check(imagev1.ResourceImageStreamTags, len(usage.Tags), limits.Tags)
	return exceeded
}
