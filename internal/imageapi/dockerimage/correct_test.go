package dockerimage

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func wantEqual(t *testing.T, want, got *imagev1.Image) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func filled(t *testing.T, img *imagev1.Image) *imagev1.Image {
	t.Helper()
	if err := Fill(img, now); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestNeedsCorrection(t *testing.T) {
	image := func(t *testing.T) *imagev1.Image { return filled(t, sentSchema2()) }
	aList := func(t *testing.T) *imagev1.Image {
		return filled(t, sent(list, MediaTypeManifestList, "", list))
	}
	old := func(t *testing.T) *imagev1.Image {
		return filled(t, sent(signed(schema1), MediaTypeSchema1, "", schema1))
	}
	metadata := func(from, to string) func(*imagev1.Image) {
		return func(i *imagev1.Image) {
			i.DockerImageMetadata.Raw = []byte(strings.Replace(string(i.DockerImageMetadata.Raw), from, to, 1))
		}
	}
	for name, test := range map[string]struct {
		verified func(*testing.T) *imagev1.Image
		stored   func(*imagev1.Image)
		want     bool
	}{
		"same":            {image, func(*imagev1.Image) {}, false},
		"claim":           {image, func(i *imagev1.Image) { Claim(i, "ns", "s") }, true},
		"layer":           {image, func(i *imagev1.Image) { i.DockerImageLayers[1].Name = "sha256:evil" }, true},
		"layer's size":    {image, func(i *imagev1.Image) { i.DockerImageLayers[1].LayerSize++ }, true},
		"no layers":       {image, func(i *imagev1.Image) { i.DockerImageLayers = nil }, true},
		"order":           {image, func(i *imagev1.Image) { i.Annotations = nil }, true},
		"type":            {image, func(i *imagev1.Image) { i.DockerImageManifestMediaType = MediaTypeManifestList }, true},
		"no type":         {image, func(i *imagev1.Image) { i.DockerImageManifestMediaType = "" }, true},
		"like type":       {image, func(i *imagev1.Image) { i.DockerImageManifestMediaType = MediaTypeOCIManifest }, false},
		"command":         {image, metadata(`"run"`, `"evil"`), true},
		"spelling":        {image, metadata(`"kind":"DockerImage",`, ``), false},
		"broken metadata": {image, metadata(`{`, `[`), true},
		"creation time":   {image, metadata(`2020`, `2021`), true},
		"not covered":     {image, func(i *imagev1.Image) { i.Labels, i.DockerImageReference = map[string]string{"a": "b"}, "q.io/other" }, false},
		"list":            {aList, func(*imagev1.Image) {}, false},
		"list made later": {aList, metadata("2026", "2027"), false},
		"list's layer note": {aList, func(i *imagev1.Image) {
			i.Annotations = map[string]string{imagev1.DockerImageLayersOrderAnnotation: ""}
		}, false},
		"entry":             {aList, func(i *imagev1.Image) { i.DockerImageManifests[0].Digest = "sha256:evil" }, true},
		"entry's platform":  {aList, func(i *imagev1.Image) { i.DockerImageManifests[0].Architecture = "evil" }, true},
		"entry's unknown":   {aList, func(i *imagev1.Image) { i.DockerImageManifests[0].Architecture = "unknown" }, false},
		"sizes of schema 1": {old, func(i *imagev1.Image) { metadata(`"Size":10`, `"Size":99`)(i); i.DockerImageLayers[0].LayerSize = 99 }, false},
		"layer of schema 1": {old, func(i *imagev1.Image) { i.DockerImageLayers[0].Name = "sha256:evil" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			verified, stored := test.verified(t), test.verified(t)
			stored.DockerImageManifests = append([]imagev1.ImageManifest{}, stored.DockerImageManifests...)
			test.stored(stored)
			if got := NeedsCorrection(stored, verified); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			before := stored.DeepCopy()
			Correct(stored, verified)
			if !test.want {
				wantEqual(t, before, stored)
			}
			if NeedsCorrection(stored, verified) {
				t.Error("still needs correction")
			}
		})
	}
}

func TestCorrectReplacesAClaim(t *testing.T) {
	verified := filled(t, sentSchema2())
	claim := &imagev1.Image{
		ObjectMeta: metav1.ObjectMeta{
			Name: verified.Name, UID: "u", ResourceVersion: "7",
			Labels:      map[string]string{"evil": "label"},
			Annotations: map[string]string{"images.openshift.io/deny-execution": "true"},
			Finalizers:  []string{"evil/x"},
		},
		DockerImageReference:  "evil.io/x:1",
		DockerImageSignatures: [][]byte{{1}},
		Signatures:            []imagev1.ImageSignature{{Type: "signer's"}},
		DockerImageManifest:   "{}", DockerImageConfig: "{}",
		DockerImageManifests: wantManifests,
	}
	Claim(claim, "ns", "s")
	if len(claim.Finalizers) != 0 || ClaimedBy(claim) != "ns/s" || !IsClaimOf(claim, "ns", "s") || IsClaimOf(claim, "ns", "other") {
		t.Errorf("claimed as %q with finalizers %v", ClaimedBy(claim), claim.Finalizers)
	}
	want := verified.DeepCopy()
	want.UID, want.ResourceVersion, want.Signatures = "u", "7", claim.Signatures
	Correct(claim, verified)
	wantEqual(t, want, claim)
}

func TestCorrectKeepsWhatTheDigestDoesNotCover(t *testing.T) {
	verified := filled(t, sentSchema2())
	verified.DockerImageManifest, verified.DockerImageConfig = "", ""
	metav1.SetMetaDataAnnotation(&verified.ObjectMeta, "from", "verified")
	stored := verified.DeepCopy()
	stored.DockerImageReference, stored.Labels = "other.io/x", map[string]string{"a": "b"}
	stored.Annotations = map[string]string{"images.openshift.io/deny-execution": "true", imagev1.DockerImageLayersOrderAnnotation: "ascending"}
	want := stored.DeepCopy()
	stored.DockerImageLayers, stored.DockerImageManifest = nil, "evil"
	delete(stored.Annotations, imagev1.DockerImageLayersOrderAnnotation)
	Correct(stored, verified)
	wantEqual(t, want, stored)
}

func TestUpdatesKeepTheMarkOfAClaim(t *testing.T) {
	for name, test := range map[string]struct{ old, updated, want string }{
		"kept":         {"ns/s", "ns/s", "ns/s"},
		"not removed":  {"ns/s", "", "ns/s"},
		"not replaced": {"ns/s", "ns/other", "ns/s"},
		"not set":      {"", "ns/s", ""},
		"none":         {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			mark := func(i *imagev1.Image, by string) {
				Unclaim(i)
				if by != "" {
					metav1.SetMetaDataAnnotation(&i.ObjectMeta, AnnotationClaimedBy, by)
				}
			}
			old := stored(t)
			mark(old, test.old)
			if got := ClaimedBy(update(t, old, func(i *imagev1.Image) { mark(i, test.updated) })); got != test.want {
				t.Errorf("claimed by %q, want %q", got, test.want)
			}
		})
	}
}
