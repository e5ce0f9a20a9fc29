package contract_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

func TestManifestTextIsIncludedOnRequest(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "manifests"), testenv.NewRegistry(t)
	img := testimage.Image(t, "linux/amd64")
	name := upstream.Push(t, "x:1", img)
	list, parts := testimage.List(t, "linux/amd64", "linux/arm64")
	listName := upstream.Push(t, "x:list", list)
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	with, without := image(upstream.Ref("x:1"), "a", withManifest), image(upstream.Ref("x:1"), "b")
	answer := post(t, ns, looking(with, without, image(upstream.Ref("x:list"), "l", preserve)))
	if answer.Status.Import != nil {
		t.Error("a look shows a stream")
	}
	for i, want := range []string{name, name, listName} {
		wantSuccess(t, answer.Status.Images[i], want)
	}
	if got := answer.Status.Images[0].Image; got.DockerImageManifest != string(manifest) || got.DockerImageConfig != string(config) {
		t.Errorf("with manifest: %q, config %q", got.DockerImageManifest, got.DockerImageConfig)
	}
	if got := answer.Status.Images[1].Image; got.DockerImageManifest+got.DockerImageConfig != "" {
		t.Error("manifest text that nobody asked for")
	}
	if answer.Status.Images[2].Image.DockerImageManifest != "" || len(answer.Status.Images[2].Manifests) != 2 {
		t.Errorf("list: %s", asJSON(t, answer.Status.Images[2]))
	}
	for i, part := range answer.Status.Images[2].Manifests { // O38
		if part.Name != parts[i] || part.DockerImageManifest == "" || part.DockerImageConfig == "" {
			t.Errorf("part %d: %s with a manifest of %d bytes", i, part.Name, len(part.DockerImageManifest))
		}
	}
	wantNoStream(t, ns, "looked-at")
	if _, err := env.Images.ImageV1().Images().Get(t.Context(), name, metav1.GetOptions{}); err == nil {
		t.Error("a look stored an Image")
	}
	stored := post(t, ns, importing("s", with, image(upstream.Ref("x:list"), "l", preserve, withManifest)))
	for _, status := range stored.Status.Images {
		for _, img := range append(slices.Clone(status.Manifests), *status.Image) {
			if img.DockerImageManifest+img.DockerImageConfig != "" || img.Kind != "" {
				t.Errorf("an import that stores shows text or a kind: %s", asJSON(t, img))
			}
		}
	}
	if stored.Status.Import.Kind != "" {
		t.Errorf("the stream inside the answer has kind %s", stored.Status.Import.Kind)
	}
}

// stored is an Image as it is stored, with its metadata.
func stored(t *testing.T, name string) (*imagev1.Image, map[string]any) {
	t.Helper()
	img, err := env.Images.ImageV1().Images().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var metadata map[string]any
	if err := json.Unmarshal(img.DockerImageMetadata.Raw, &metadata); err != nil {
		t.Fatal(err)
	}
	return img, metadata
}

func TestImportModesOfLists(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "lists"), testenv.NewRegistry(t)
	list, parts := testimage.List(t, "linux/s390x", "linux/amd64", "linux/arm64")
	name := upstream.Push(t, "x:1", list)
	answer := post(t, ns, importing("s",
		image(upstream.Ref("x:1"), "legacy"),
		image(upstream.Ref("x:1"), "whole", preserve),
		image(upstream.Ref("x@"+name), "by-digest"),
	))
	// The server of these tests is configured for arm64; O46.
	wantSuccess(t, answer.Status.Images[0], parts[2])
	wantSuccess(t, answer.Status.Images[2], parts[2])
	whole := answer.Status.Images[1]
	wantSuccess(t, whole, name)
	if answer.Status.Images[2].Tag != "" || whole.Tag != "1" {
		t.Errorf("tags %q by digest and %q by tag", answer.Status.Images[2].Tag, whole.Tag)
	}
	if got := answer.Status.Images[0].Image.DockerImageReference; got != upstream.Ref("x@"+parts[2]) {
		t.Errorf("reference of the chosen part: %s", got)
	}
	img, metadata := stored(t, name)
	if len(img.DockerImageLayers) > 0 || metadata["Id"] != name || metadata["Created"] == nil || img.DockerImageManifestMediaType != "application/vnd.docker.distribution.manifest.list.v2+json" {
		t.Errorf("stored list: %s", asJSON(t, img))
	}
	var listed []string
	for _, m := range img.DockerImageManifests {
		listed = append(listed, m.OS+"/"+m.Architecture+" "+m.Digest)
	}
	want := []string{"linux/s390x " + parts[0], "linux/amd64 " + parts[1], "linux/arm64 " + parts[2]}
	if !slices.Equal(listed, want) {
		t.Errorf("parts %q, want %q", listed, want)
	}
	for i, part := range parts {
		if whole.Manifests[i].Name != part {
			t.Errorf("manifests[%d] is %s, want %s", i, whole.Manifests[i].Name, part)
		}
		if img, _ := stored(t, part); img.DockerImageReference != upstream.Ref("x@"+part) {
			t.Errorf("stored part is at %s", img.DockerImageReference)
		}
	}
}

func TestPlatformOfLegacyImports(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "platform"), testenv.NewRegistry(t)
	list, parts := testimage.List(t, "linux/ppc64le", "windows/amd64", "linux/amd64", "linux/arm64")
	upstream.Push(t, "x:1", list)
	without, few := testimage.List(t, "linux/ppc64le", "linux/s390x")
	upstream.Push(t, "x:few", without)
	noArm, some := testimage.List(t, "linux/ppc64le", "linux/amd64")
	upstream.Push(t, "x:some", noArm)
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	for tag, annotations := range map[string]map[string]string{
		"arch":    {"importer.image.openshift.io/prefer-arch": "ppc64le", "keep": "me"},
		"both":    {"importer.image.openshift.io/prefer-arch": "amd64", "importer.image.openshift.io/prefer-os": "windows"},
		"neither": {"importer.image.openshift.io/prefer-arch": "riscv64"},
		"1":       {"importer.image.openshift.io/prefer-arch": "ppc64le"},
	} {
		s.Spec.Tags = append(s.Spec.Tags, imagev1.TagReference{Name: tag, Annotations: annotations})
	}
	if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	digestOfList := testimage.Digest(t, list)
	for _, test := range []struct {
		from, to, want string
	}{
		{"x:1", "arch", parts[0]},
		{"x:1", "both", parts[1]},
		{"x:1", "neither", parts[2]}, // linux/amd64
		{"x:1", "plain", parts[3]},   // the server's preference
		{"x:1", "", parts[0]},        // to is the tag of from then
		{"x@" + digestOfList, "arch", parts[3]},
		{"x:some", "plain", some[1]}, // not the server's: linux/amd64
		{"x:few", "plain", few[0]},   // neither: the first
	} {
		t.Run(test.from+" to "+test.to, func(t *testing.T) {
			isi := importing("s", image(upstream.Ref(test.from), test.to))
			isi.Spec.Import = false
			wantSuccess(t, post(t, ns, isi).Status.Images[0], test.want)
		})
	}
	after := post(t, ns, importing("s", image(upstream.Ref("x:1"), "arch"))).Status.Import
	if specTag(after, "arch").Annotations["keep"] != "me" {
		t.Errorf("an import lost annotations of the spec tag: %v", specTag(after, "arch").Annotations)
	}
	if got := history(after, "arch"); len(got) != 1 || got[0] != fmt.Sprintf("%s %d", parts[0], after.Generation) {
		t.Errorf("history %v", got)
	}
}

func TestMissingPartFailsPreservedList(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "lists"), testenv.NewRegistry(t)
	gone := digest.FromString("gone").String()
	list := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
		{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":7,"platform":{"architecture":"amd64","os":"linux"}}]}`, gone)
	upstream.Intercept(func(w http.ResponseWriter, r *http.Request) bool { // no real registry takes it
		if !strings.HasSuffix(r.URL.Path, "/manifests/1") {
			return false
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = w.Write([]byte(list))
		return true
	})
	answer := post(t, ns, importing("s", image(upstream.Ref("x:1"), "a", preserve), image(upstream.Ref("x:1"), "b")))
	for _, status := range answer.Status.Images {
		wantFailure(t, status.Status, metav1.StatusReasonNotFound, upstream.Ref("x@"+gone))
	}
}

func TestArtifactsAndNestedIndexes(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "oci"), testenv.NewRegistry(t)
	const empty, layer = "{}", "some chart"
	upstream.PutBlob(t, "x", []byte(empty))
	upstream.PutBlob(t, "x", []byte(layer))
	artifact := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example",
		"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[{"mediaType":"application/vnd.example.chart","digest":%q,"size":%d}]}`,
		digest.FromString(empty), digest.FromString(layer), len(layer))
	upstream.Put(t, "x", "artifact", "application/vnd.oci.image.manifest.v1+json", []byte(artifact))
	img := testimage.OCIImage(t, "linux/arm64")
	nested := testimage.Nest(testimage.Nest(img, "linux/arm64"), "linux/arm64")
	upstream.Push(t, "x:nested", nested)
	answer := post(t, ns, importing("s", image(upstream.Ref("x:artifact"), "artifact"), image(upstream.Ref("x:nested"), "nested"), image(upstream.Ref("x:nested"), "whole", preserve)))
	wantSuccess(t, answer.Status.Images[0], digest.FromString(artifact).String())
	got, metadata := stored(t, digest.FromString(artifact).String())
	if len(got.DockerImageLayers) != 1 || got.DockerImageLayers[0].MediaType != "application/vnd.example.chart" || metadata["Id"] != digest.FromString(empty).String() || metadata["Architecture"] != nil {
		t.Errorf("artifact: %s", asJSON(t, got))
	}
	wantSuccess(t, answer.Status.Images[1], testimage.Digest(t, img))
	wantSuccess(t, answer.Status.Images[2], testimage.Digest(t, nested))
	stored(t, testimage.Digest(t, img))
}
