package imagestreammapping

import (
	"errors"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
	"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":2,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001"},
	"layers":[{"mediaType":"x/y","size":3000,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000002"},
	          {"mediaType":"x/y","size":3000,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000002"},
	          {"mediaType":"x/y","size":2000,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000003"}]}`

func maxOf(kind corev1.LimitType, name corev1.ResourceName, bound string) *corev1.LimitRange {
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: kind, Max: corev1.ResourceList{name: resource.MustParse(bound)}},
	}}}
}

func sized(size string) imagev1.Image {
	return imagev1.Image{DockerImageMetadata: runtime.RawExtension{Raw: []byte(`{"Size":` + size + `}`)}}
}

// withLayers is an image with the layers of manifest, 5000 bytes, and some text as its manifest.
func withLayers(text, metadata string) imagev1.Image {
	layer := func(end string, size int64) imagev1.ImageLayer {
		return imagev1.ImageLayer{Name: "sha256:" + strings.Repeat("0", 63) + end, LayerSize: size}
	}
	return imagev1.Image{
		DockerImageManifest: text, DockerImageConfig: "{}", DockerImageMetadata: runtime.RawExtension{Raw: []byte(metadata)},
		DockerImageLayers: []imagev1.ImageLayer{layer("2", 3000), layer("2", 3000), layer("3", 2000)},
	}
}

func TestImageLimit(t *testing.T) {
	fromManifest := imagev1.Image{DockerImageManifest: manifest, DockerImageConfig: "{}"}
	stored := *fromManifest.DeepCopy()
	stored.Annotations = map[string]string{"image.openshift.io/manifestBlobStored": "true"}
	image := func(bound string) *corev1.LimitRange {
		return maxOf(imagev1.LimitTypeImage, corev1.ResourceStorage, bound)
	}
	for name, test := range map[string]struct {
		image  imagev1.Image
		ranges []*corev1.LimitRange
		want   string
	}{
		"no limit":                     {sized("5000"), nil, ""},
		"other type":                   {sized("5000"), []*corev1.LimitRange{maxOf(corev1.LimitTypeContainer, corev1.ResourceStorage, "1")}, ""},
		"other resource":               {sized("5000"), []*corev1.LimitRange{maxOf(imagev1.LimitTypeImage, corev1.ResourceMemory, "1")}, ""},
		"as sent":                      {sized("5000"), []*corev1.LimitRange{image("1Ki")}, "(5000 > 1Ki), set by LimitRange limits to 1024 bytes"},
		"just fits":                    {sized("1024"), []*corev1.LimitRange{image("1Ki")}, ""},
		"smallest bound":               {sized("5000"), []*corev1.LimitRange{image("4k"), image("1Ki"), image("2Ki")}, "(5000 > 1Ki), set by LimitRange limits to 1024 bytes"},
		"one bound of two":             {sized("3000"), []*corev1.LimitRange{image("1M"), image("2k")}, "(3000 > 2k), set by LimitRange limits to 2000 bytes"},
		"from manifest":                {fromManifest, []*corev1.LimitRange{image("5001")}, "(5002 > 5001), set by LimitRange limits to 5001 bytes"},
		"manifest just fits":           {fromManifest, []*corev1.LimitRange{image("5002")}, ""},
		"manifest dropped":             {stored, []*corev1.LimitRange{image("1")}, "(5002 > 1), set by LimitRange limits to 1 bytes"},
		"unreadable":                   {imagev1.Image{DockerImageManifest: "?"}, []*corev1.LimitRange{image("1")}, ""},
		"unreadable, layers":           {withLayers("?", ""), []*corev1.LimitRange{image("1k")}, "(5000 > 1k), set by LimitRange limits to 1000 bytes"},
		"unreadable, layers just fit":  {withLayers("?", ""), []*corev1.LimitRange{image("5k")}, ""},
		"unreadable, sent size":        {withLayers("?", `{"Size":7000}`), []*corev1.LimitRange{image("6k")}, "(7000 > 6k), set by LimitRange limits to 6000 bytes"},
		"unreadable, sent a small one": {withLayers("?", `{"Size":1}`), []*corev1.LimitRange{image("1k")}, "(5000 > 1k), set by LimitRange limits to 1000 bytes"},
		"unreadable metadata, layers":  {withLayers("?", `[`), []*corev1.LimitRange{image("1k")}, "(5000 > 1k), set by LimitRange limits to 1000 bytes"},
		"Layers behind layers":         {withLayers(strings.TrimSuffix(manifest, "}")+`,"Layers":[]}`, ""), []*corev1.LimitRange{image("1k")}, "(5000 > 1k), set by LimitRange limits to 1000 bytes"},
		"layers twice":                 {withLayers(strings.TrimSuffix(manifest, "}")+`,"layers":[]}`, ""), []*corev1.LimitRange{image("1k")}, "(5000 > 1k), set by LimitRange limits to 1000 bytes"},
		"layers of what calls itself a list": {
			withLayers(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}`, ""),
			[]*corev1.LimitRange{image("1k")}, "(5000 > 1k), set by LimitRange limits to 1000 bytes",
		},
		"sent without a manifest": {withLayers("", `{"Size":1}`), []*corev1.LimitRange{image("1k")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}, Image: test.image}
			before := m.DeepCopy()
			err := checkImageLimit(m, func(namespace string) ([]*corev1.LimitRange, error) {
				if namespace != "ns" {
					t.Errorf("asked for the limits of %q", namespace)
				}
				return test.ranges, nil
			}, time.Now())
			want := ""
			if test.want != "" {
				want = `imagestreammappings.image.openshift.io "s" is forbidden: requested usage of storage exceeds the maximum limit per openshift.io/Image ` + test.want
			}
			if got := text(err); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if m.Image.DockerImageManifest != before.Image.DockerImageManifest {
				t.Error("measuring changed the image")
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestLimitsThatCannotBeTold(t *testing.T) {
	m := &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}}
	err := checkImageLimit(m, func(string) ([]*corev1.LimitRange, error) { return nil, errors.New("not read yet") }, time.Now())
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want Forbidden", err)
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details.RetryAfterSeconds != 1 {
		t.Errorf("no word on when to try again: %v", err)
	}
}
