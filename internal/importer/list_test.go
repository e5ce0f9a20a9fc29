package importer_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	imagev1 "github.com/openshift/api/image/v1"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/testenv/testimage"
)

const preserve = imagev1.ImportModePreserveOriginal

func names(images []imagev1.Image) []string {
	var out []string
	for _, i := range images {
		out = append(out, i.Name)
	}
	return out
}

func TestLegacyChoosesAPlatform(t *testing.T) {
	for _, c := range []struct {
		name      string
		platforms []string
		arch, os  string
		byDigest  bool
		want      int
	}{
		{name: "default platform", platforms: []string{"linux/s390x", "linux/ppc64le", "linux/amd64"}, want: 1},
		{name: "preferred architecture", platforms: []string{"linux/ppc64le", "linux/arm64"}, arch: "arm64", want: 1},
		{name: "preferred system", platforms: []string{"linux/ppc64le", "windows/ppc64le"}, os: "windows", want: 1},
		{name: "first of several", platforms: []string{"linux/amd64", "linux/arm64", "linux/arm64"}, arch: "arm64", want: 1},
		{name: "falls back to linux/amd64", platforms: []string{"linux/s390x", "linux/amd64"}, arch: "arm64", want: 1},
		{name: "falls back to the first", platforms: []string{"linux/s390x", "linux/mips"}, arch: "arm64", want: 0},
		{name: "digest imports prefer nothing", platforms: []string{"linux/arm64", "linux/ppc64le"}, arch: "arm64", byDigest: true, want: 1},
		{name: "attestations are not images", platforms: []string{"unknown/unknown", "linux/mips"}, want: 1},
		{name: "unless there is nothing else", platforms: []string{"unknown/unknown"}, want: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			list, digests := testimage.ListOf(t, types.DockerManifestList, c.platforms...)
			d := s.push("x:1", list)
			ref := "x:1"
			if c.byDigest {
				ref = "x@" + d
			}
			i := newImporter(t, func(o *importer.Options) { o.DefaultPlatform.Architecture = "ppc64le" })
			result := mustImport(t, i, importer.ImageRequest{Ref: s.ref(ref), PreferArch: c.arch, PreferOS: c.os, Mode: imagev1.ImportModeLegacy})
			if result.Image.Name != digests[c.want] {
				t.Errorf("chose entry %d, want %d", slices.Index(digests, result.Image.Name), c.want)
			}
			if result.Image.DockerImageReference != s.ref("x@"+digests[c.want]) || len(result.Manifests) != 0 {
				t.Errorf("reference %s, %d manifests", result.Image.DockerImageReference, len(result.Manifests))
			}
		})
	}
}

func TestPreserveOriginal(t *testing.T) {
	for _, mediaType := range []types.MediaType{types.DockerManifestList, types.OCIImageIndex} {
		t.Run(string(mediaType), func(t *testing.T) {
			s := newServer(t)
			list, digests := testimage.ListOf(t, mediaType, "linux/amd64", "linux/arm64", "unknown/unknown")
			d := s.push("s/x:1", list)
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			i := newImporter(t, func(o *importer.Options) { o.Now = func() time.Time { return now } })
			result := mustImport(t, i, importer.ImageRequest{Ref: s.ref("s/x:1"), Mode: preserve, PreferArch: "arm64", IncludeManifest: true})

			if diff := cmp.Diff(digests, names(result.Manifests)); diff != "" {
				t.Errorf("children (-list +imported):\n%s", diff)
			}
			want := &imagev1.Image{
				DockerImageReference:         s.ref("s/x@" + d),
				DockerImageMetadataVersion:   "1.0",
				DockerImageManifestMediaType: string(mediaType),
			}
			want.Name = d
			want.DockerImageMetadata.Raw = []byte(`{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"` + d + `","Created":"2026-01-02T03:04:05Z","ContainerConfig":{}}`)
			manifest, _ := list.IndexManifest()
			for _, m := range manifest.Manifests {
				want.DockerImageManifests = append(want.DockerImageManifests, imagev1.ImageManifest{
					Digest: m.Digest.String(), MediaType: string(m.MediaType), ManifestSize: m.Size, Architecture: m.Platform.Architecture, OS: m.Platform.OS,
				})
			}
			if diff := cmp.Diff(want, result.Image); diff != "" {
				t.Errorf("image of the list (-want +imported):\n%s", diff)
			}
			child := result.Manifests[1]
			if child.DockerImageReference != s.ref("s/x@"+digests[1]) || metadataOf(t, &child).Architecture != "arm64" {
				t.Errorf("child %s with metadata %s", child.DockerImageReference, child.DockerImageMetadata.Raw)
			}
		})
	}
}

func TestMissingChildFailsTheTag(t *testing.T) {
	for _, mode := range []imagev1.ImportModeType{preserve, imagev1.ImportModeLegacy} {
		s := newServer(t)
		list, digests := testimage.ListOf(t, types.OCIImageIndex, "linux/arm64", "linux/amd64", "linux/s390x")
		s.push("x:1", list)
		s.fail(digests[1], http.StatusNotFound, "MANIFEST_UNKNOWN")
		result := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1"), Mode: mode})
		want := fmt.Sprintf(`{"metadata":{},"status":"Failure","message":"dockerimage.image.openshift.io \"%[1]s\" not found","reason":"NotFound","details":{"name":"%[1]s","group":"image.openshift.io","kind":"dockerimage"},"code":404}`, s.ref("x@"+digests[1]))
		if got := asJSON(t, result.Status); got != want {
			t.Errorf("%s: got  %s\nwant %s", mode, got, want)
		}
		if result.Image != nil || result.Manifests != nil || result.Tag != "1" {
			t.Errorf("%s: a failure has an image, or tag %q", mode, result.Tag)
		}
	}
}

// TestFailuresOfChildrenAreDeterministic: with two children missing, the status always names the
// first of them; otherwise a retry would write a new condition each time.
func TestFailuresOfChildrenAreDeterministic(t *testing.T) {
	s := newServer(t)
	list, digests := testimage.ListOf(t, types.OCIImageIndex, "linux/a", "linux/b", "linux/c", "linux/d")
	s.push("x:1", list)
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, digests[1]) && !strings.HasSuffix(r.URL.Path, digests[3]) {
			return false
		}
		registryError(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return true
	})
	for range 20 {
		result := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1"), Mode: preserve})
		if !strings.Contains(result.Status.Message, digests[1]) {
			t.Fatalf("names another child: %s", result.Status.Message)
		}
	}
}

// nested is an index in an index in an index: outer[amd64-less image, middle[inner[arm64, amd64], s390x]].
func nested(t *testing.T) (outer v1.ImageIndex, all map[string]string) {
	arm, amd, s390 := testimage.Image(t, "linux/arm64"), testimage.Image(t, "linux/amd64"), testimage.Image(t, "linux/s390x")
	mips := testimage.Image(t, "linux/mips")
	inner := testimage.Index(types.OCIImageIndex, testimage.Entry{Of: arm, Platform: "linux/arm64"}, testimage.Entry{Of: amd, Platform: "linux/amd64"})
	middle := testimage.Index(types.OCIImageIndex, testimage.Entry{Of: inner}, testimage.Entry{Of: s390})
	outer = testimage.Index(types.OCIImageIndex, testimage.Entry{Of: mips, Platform: "linux/mips"}, testimage.Entry{Of: middle}, testimage.Entry{Of: arm, Platform: "linux/arm64"})
	all = map[string]string{
		"arm": testimage.Digest(t, arm), "amd": testimage.Digest(t, amd), "s390": testimage.Digest(t, s390), "mips": testimage.Digest(t, mips),
		"inner": testimage.Digest(t, inner), "middle": testimage.Digest(t, middle),
	}
	return outer, all
}

func TestListsWithinLists(t *testing.T) {
	s := newServer(t)
	outer, d := nested(t)
	s.push("x:1", outer)
	i := newImporter(t)

	t.Run("legacy descends", func(t *testing.T) {
		for arch, want := range map[string]string{"amd64": d["amd"], "mips": d["mips"], "s390x": d["amd"], "none": d["amd"]} {
			if got := mustImport(t, i, importer.ImageRequest{Ref: s.ref("x:1"), PreferArch: arch}).Image.Name; got != want {
				t.Errorf("%s: chose %s, want %s", arch, got, want)
			}
		}
	})
	t.Run("legacy spares the descent", func(t *testing.T) {
		s.reset()
		mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1"), PreferArch: "mips"})
		if got := s.count("GET manifests"); got != 2 {
			t.Errorf("%d manifests read, want 2", got)
		}
	})
	t.Run("preserve keeps everything", func(t *testing.T) {
		result := mustImport(t, i, importer.ImageRequest{Ref: s.ref("x:1"), Mode: preserve})
		want := []string{d["mips"], d["arm"], d["amd"], d["inner"], d["s390"], d["middle"]}
		if diff := cmp.Diff(want, names(result.Manifests)); diff != "" {
			t.Errorf("members, each after its own (-want +got):\n%s", diff)
		}
		for _, image := range append(result.Manifests, *result.Image) {
			if errs := validation.Image(&image); len(errs) > 0 {
				t.Errorf("%s is not valid: %v", image.Name, errs)
			}
		}
		middle := result.Manifests[5]
		got := []string{middle.DockerImageManifests[0].Architecture, middle.DockerImageManifests[1].Architecture, middle.DockerImageManifests[1].OS}
		if diff := cmp.Diff([]string{"unknown", "s390x", "linux"}, got); diff != "" {
			t.Errorf("platforms that the list does not say:\n%s", diff)
		}
	})
}

func TestEmptyList(t *testing.T) {
	s := newServer(t)
	s.push("x:1", testimage.Index(types.OCIImageIndex))
	result := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1")})
	if want := "Internal error occurred: " + s.ref("x:1") + ": the manifest list is empty"; result.Status.Message != want {
		t.Errorf("message %q, want %q", result.Status.Message, want)
	}
	if kept := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1"), Mode: preserve}); len(kept.Manifests) != 0 {
		t.Errorf("an empty list has children %v", names(kept.Manifests))
	}
}

func TestRepeatedEntriesAreReadOnce(t *testing.T) {
	s := newServer(t)
	image := testimage.Image(t, "linux/amd64")
	s.push("x:1", testimage.Index(types.OCIImageIndex, testimage.Entry{Of: image, Platform: "linux/amd64"}, testimage.Entry{Of: image, Platform: "linux/386"}))
	result := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1"), Mode: preserve})
	if len(result.Manifests) != 1 || len(result.Image.DockerImageManifests) != 2 || s.count("GET manifests") != 2 {
		t.Errorf("%d children, %d entries, %d manifests read; want 1, 2, 2", len(result.Manifests), len(result.Image.DockerImageManifests), s.count("GET manifests"))
	}
}

func TestLimits(t *testing.T) {
	deep := func(t *testing.T, levels int) v1.ImageIndex {
		list := testimage.Index(types.OCIImageIndex, testimage.Entry{Of: testimage.Image(t, "linux/amd64"), Platform: "linux/amd64"})
		for range levels {
			list = testimage.Index(types.OCIImageIndex, testimage.Entry{Of: list})
		}
		return list
	}
	wide, _ := testimage.ListOf(t, types.OCIImageIndex, "linux/a", "linux/b", "linux/c", "linux/d")
	for _, c := range []struct {
		name  string
		what  mutate.Appendable
		limit func(*importer.Limits)
		modes []imagev1.ImportModeType
		want  string // "" for success
	}{
		{"as deep as allowed", deep(t, 4), nil, []imagev1.ImportModeType{"", preserve}, ""},
		{"too deep", deep(t, 5), nil, []imagev1.ImportModeType{"", preserve}, "nested more than 4 levels deep"},
		{"as wide as allowed", wide, func(l *importer.Limits) { l.ManifestsPerTag = 5 }, []imagev1.ImportModeType{preserve}, ""},
		{"too wide", wide, func(l *importer.Limits) { l.ManifestsPerTag = 4 }, []imagev1.ImportModeType{preserve}, "more than 4 manifests"},
		{"config too large", testimage.Image(t, "linux/amd64"), func(l *importer.Limits) { l.Client.ConfigSize = 10 }, []imagev1.ImportModeType{"", preserve}, "more than 10"},
		{"tag too large", wide, func(l *importer.Limits) { l.TagSize = 2000 }, []imagev1.ImportModeType{preserve}, "more than 2000 bytes"},
		{"request too large", wide, func(l *importer.Limits) { l.RequestSize = 2000 }, []imagev1.ImportModeType{preserve}, "images of the request are more than 2000 bytes"},
		{"image too large for the store", testimage.Image(t, "linux/amd64"), func(l *importer.Limits) { l.ImageSize = 300 }, []imagev1.ImportModeType{""}, "more than 300"},
		{"list too large for the store", wide, func(l *importer.Limits) { l.ImageSize = 300 }, []imagev1.ImportModeType{preserve}, "more than 300"},
	} {
		for _, mode := range c.modes {
			t.Run(c.name+" "+string(mode), func(t *testing.T) {
				s := newServer(t)
				s.push("x:1", c.what)
				i := newImporter(t, func(o *importer.Options) {
					if c.limit != nil {
						c.limit(&o.Limits)
					}
				})
				result := importOne(t, i, importer.ImageRequest{Ref: s.ref("x:1"), Mode: mode})
				if c.want == "" {
					if result.Status.Status != "Success" {
						t.Errorf("failed: %s", result.Status.Message)
					}
					return
				}
				if result.Status.Reason != "InternalError" || !strings.Contains(result.Status.Message, c.want) {
					t.Errorf("status %s; want %q", asJSON(t, result.Status), c.want)
				}
				if result.Retry != importer.RetryLater {
					t.Errorf("retry %s", result.Retry)
				}
			})
		}
	}
}
