package stream

import (
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func set(members ...string) map[string]struct{} {
	s := map[string]struct{}{}
	for _, m := range members {
		s[m] = struct{}{}
	}
	return s
}

func TestUsageOf(t *testing.T) {
	s := withStatus(streamOf(
		docker("d1", "busybox"), docker("d2", "docker.io/library/busybox:latest"), docker("d3", "q.io/x:1"), docker("d4", "No/Reference"), docker("d5", "q.io/x:1", asReference),
		tracking("t1", "d1"), tracking("t2", "s:d1"), tracking("t3", "other:d1"), tracking("t4", "other:d1", in("q")), tracking("t5", "a:b:c"),
		spec("i1", KindImageStreamImage, "other@sha256:a"), spec("i2", KindImageStreamImage, "sha256:a"), spec("i3", KindImageStreamImage, "s@sha256:a", in("p")),
		spec("k", "Pod", "x"), imagev1.TagReference{Name: "empty"},
	),
		history("d1", event("r1", "1", 1, at(1)), event("r0", "0", 1, at(1))),
		history("d2", event("r1", "1", 1, at(1))),
		history("reference", event("r", "", 1, at(1))),
	)
	equal(t, "usage", Usage{
		Images: set("0", "1"),
		Tags:   set("busybox", "q.io/x:1", "p/s:d1", "p/other:d1", "q/other:d1", "p/other@sha256:a", "p/s@sha256:a"),
	}, usageOf(s))
	equal(t, "usage of no stream", Usage{Images: set(), Tags: set()}, usageOf(nil))
}

func limitRange(limitType corev1.LimitType, maxima map[corev1.ResourceName]string) *corev1.LimitRange {
	list := corev1.ResourceList{}
	for name, quantity := range maxima {
		list[name] = resource.MustParse(quantity)
	}
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: limitType, Max: list}}}}
}

func called(name string, r *corev1.LimitRange) *corev1.LimitRange {
	r.Name = name
	return r
}

func TestCheckLimits(t *testing.T) {
	const images, tags = imagev1.ResourceImageStreamImages, imagev1.ResourceImageStreamTags
	limit := func(maxima map[corev1.ResourceName]string) *corev1.LimitRange {
		return limitRange(imagev1.LimitTypeImageStream, maxima)
	}
	small := withStatus(streamOf(docker("a", "q.io/a")), history("a", event("r1", "1", 1, at(1))))
	big := withStatus(streamOf(docker("a", "q.io/a"), docker("b", "q.io/b")), history("a", event("r2", "2", 1, at(1)), event("r1", "1", 1, at(1))))
	moved := withStatus(streamOf(docker("a", "q.io/c")), history("a", event("r3", "3", 1, at(1))))
	tooManyImages := "requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream (2 > 1), set by LimitRange limits"
	tooManyTags := "requested usage of openshift.io/image-tags exceeds the maximum limit per openshift.io/ImageStream (2 > 1), set by LimitRange limits"

	for _, test := range []struct {
		name   string
		s, old *imagev1.ImageStream
		ranges []*corev1.LimitRange
		want   []string
	}{
		{name: "no limits", s: big},
		{name: "within", s: small, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "1", tags: "1"})}},
		{name: "too much of both", s: big, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "1", tags: "1"})}, want: []string{tooManyImages, tooManyTags}},
		{name: "too many images", s: big, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "1"})}, want: []string{tooManyImages}},
		{name: "too many tags", s: big, old: small, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "2", tags: "1"})}, want: []string{tooManyTags}},
		{
			name: "the smallest maximum counts", s: big, want: []string{tooManyImages},
			ranges: []*corev1.LimitRange{
				limit(map[corev1.ResourceName]string{images: "5"}), limit(map[corev1.ResourceName]string{images: "1"}), limit(map[corev1.ResourceName]string{images: "3"}),
			},
		},
		{
			name: "of equal ones the first name", s: big, want: []string{strings.ReplaceAll(tooManyImages, "limits", "a")},
			ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "1"}), called("a", limit(map[corev1.ResourceName]string{images: "1000m"}))},
		},
		{name: "limits of other types", s: big, ranges: []*corev1.LimitRange{limitRange(imagev1.LimitTypeImage, map[corev1.ResourceName]string{images: "1"})}},
		{name: "over it before, unchanged", s: big, old: big, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "1", tags: "1"})}},
		{name: "over it before, less now", s: small, old: big, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "0", tags: "0"})}},
		{
			name: "as many as before, but others", s: moved, old: small, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "0"})},
			want: []string{"requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream (1 > 0), set by LimitRange limits"},
		},
		{name: "written as it was set", s: big, ranges: []*corev1.LimitRange{limit(map[corev1.ResourceName]string{images: "1500m"})},
			want: []string{"requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream (2 > 1500m), set by LimitRange limits"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, err := range CheckLimits(test.s, test.old, LimitsOf(test.ranges)) {
				got = append(got, err.Error())
			}
			equal(t, "violations", test.want, got)
		})
	}
}
