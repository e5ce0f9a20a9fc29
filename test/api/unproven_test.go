package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// A digest is all that an attacker knows of an image that another tenant pushed or imported.
func TestADigestShowsNoImage(t *testing.T) {
	owner, attacker := newEditor(t), newEditor(t)
	secret := testimage.Image(t, "linux/arm64")
	name := testimage.Digest(t, secret)
	push(t, owner.namespace, "s", "pushed", told(t, secret, false))
	owner.sees(t, "pushed", name, false, "arm64")
	layer := storedImage(t, name).DockerImageLayers[0].Name

	for _, ref := range []string{"registry.example.com/" + attacker.namespace + "/s@" + name, "elsewhere.example.com/x/y@" + name} {
		attacker.maps(t, &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: name}, DockerImageReference: ref})
		attacker.sees(t, "mapped", name, false, "")
		hides(t, attacker, layer)
	}
	// What only names the image in another way shows as little.
	spec := `{"spec":{"tags":[{"name":"copy","from":{"kind":"ImageStreamTag","name":"s:mapped"}}]}}`
	makeStream(t, attacker.namespace, "other")
	raw(t, attacker.config, http.MethodPatch, inNamespace(attacker.namespace, "imagestreams/other"), spec, "Content-Type", "application/merge-patch+json").wantCode(t, http.StatusOK)
	if body := string(attacker.get(t, "imagestreamtags/other:copy").wantCode(t, http.StatusOK).body); strings.Contains(body, "arm64") || !strings.Contains(body, name) {
		t.Errorf("a copy of the tag shows %s", body)
	}
	raw(t, attacker.config, http.MethodPatch, inNamespace(attacker.namespace, "imagestreams/s"), `{"metadata":{"annotations":{"weir.dev/unproven-images":null}}}`,
		"Content-Type", "application/merge-patch+json").wantCode(t, http.StatusOK)
	attacker.sees(t, "mapped", name, false, "")

	// With the content it is an image like any other.
	attacker.maps(t, told(t, secret, true))
	attacker.sees(t, "mapped", name, false, "arm64")
}

// A list that a client describes leads to no image of other tenants.
func TestAClaimedListShowsNoImage(t *testing.T) {
	owner, attacker := newEditor(t), newEditor(t)
	secret := testimage.Image(t, "linux/arm64")
	name := testimage.Digest(t, secret)
	push(t, owner.namespace, "s", "pushed", told(t, secret, false))
	layer := storedImage(t, name).DockerImageLayers[0].Name
	list := plainImage(digestOf(t, "list"))
	list.DockerImageLayers = nil
	list.DockerImageManifests = []imagev1.ImageManifest{{Digest: name, MediaType: "application/vnd.oci.image.manifest.v1+json", OS: "linux", Architecture: "arm64", ManifestSize: 1}}
	attacker.maps(t, list)
	hides(t, attacker, layer)
	attacker.get(t, "imagestreamimages/s@"+name).wantCode(t, http.StatusNotFound)
}

// hides checks that the layers of a stream do not have one.
func hides(t *testing.T, e editor, layer string) {
	t.Helper()
	if body := string(e.get(t, "imagestreams/s/layers").wantCode(t, http.StatusOK).body); strings.Contains(body, layer) {
		t.Errorf("the layers of %s have %s: %s", e.namespace, layer, body)
	}
}

// A registry that only knows the digest answers HEAD with it: the tag counts as unchanged only
// if the stream has more of the image.
func TestAnUnchangedTagProvesNothing(t *testing.T) {
	owner, attacker := newEditor(t), newEditor(t)
	upstream := testenv.NewRegistry(t)
	name := upstream.Push(t, "team/app:1", testimage.Image(t, "linux/arm64"))
	owner.imports(t, upstream.Ref("team/app:1"), "")

	lying := testenv.NewRegistry(t)
	lying.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Docker-Content-Digest", name)
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		w.Header().Set("Content-Length", "2")
		return true
	})
	ref := lying.Ref("team/app:1")
	attacker.maps(t, &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: name}, DockerImageReference: lying.Ref("team/app@" + name)})
	isi, err := testenv.ImagesFor(attacker.config).ImageV1().ImageStreamImports(attacker.namespace).Create(t.Context(), &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
			From:         corev1.ObjectReference{Kind: "DockerImage", Name: ref},
			To:           &corev1.LocalObjectReference{Name: "mapped"},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := json.Marshal(isi); err != nil || strings.Contains(string(answer), `"Architecture":"`) {
		t.Errorf("the import answers %s, %v", answer, err)
	}
	attacker.sees(t, "mapped", name, false, "")
}
