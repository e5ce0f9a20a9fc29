package registry_test

import (
	"fmt"
	"net/http"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// platforms pushes an index of two platforms and returns its digest, those of its manifests,
// and those of the blobs of each.
func platforms(t *testing.T, to *testenv.Registry, path string) (index string, children []string, blobs [][]string) {
	t.Helper()
	list, children := testimage.List(t, "linux/amd64", "linux/arm64")
	index = to.Push(t, path, list)
	for _, child := range children {
		h, err := v1.NewHash(child)
		fatal(t, err)
		image, err := list.Image(h)
		fatal(t, err)
		m, err := image.Manifest()
		fatal(t, err)
		of := []string{m.Config.Digest.String()}
		for _, l := range m.Layers {
			of = append(of, l.Digest.String())
		}
		blobs = append(blobs, of)
	}
	return index, children, blobs
}

// fetched is an error while a registry was not asked for all of these blobs.
func fetched(from *testenv.Registry, repo string, blobs []string) error {
	for _, d := range blobs {
		if from.Count("GET /v2/"+repo+"/blobs/"+d) == 0 {
			return fmt.Errorf("%s was not fetched", d)
		}
	}
	return nil
}

// A client that reads a manifest and a layer, and not the configuration, leaves an image
// that can be pulled when the other registry is gone. Platforms that were not pulled are
// not fetched.
func TestPulledImagesAreCompleted(t *testing.T) {
	p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
	_, children, blobs := platforms(t, elsewhere, "team/multi:1")
	p.imports(t, "app", "1", elsewhere.Ref("team/multi:1"))
	p.get(t, "app", "manifests/1")
	p.get(t, "app", "manifests/"+children[0])
	elsewhere.Reset()
	p.get(t, "app", "blobs/"+blobs[0][1])
	testenv.Eventually(t, "the rest of the image", func() error { return fetched(elsewhere, "team/multi", blobs[0]) })
	if n := elsewhere.Count("GET /v2/team/multi/blobs/" + blobs[1][0]); n > 0 {
		t.Errorf("the configuration of the other platform was fetched %d times", n)
	}
	elsewhere.Close()
	p.pullAll(t, "app", children[0])
}

// Images of a tag with weir.dev/mirror: always are kept at import, with all platforms; those
// of other tags when they are pulled.
func TestImagesAreKeptAtImport(t *testing.T) {
	p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
	index, _, blobs := platforms(t, elsewhere, "team/kept:1")
	_, _, others := platforms(t, elsewhere, "team/other:1")
	tag := func(name, from string, annotations map[string]string) imagev1.TagReference {
		return imagev1.TagReference{
			Name: name, Annotations: annotations, From: &corev1.ObjectReference{Kind: "DockerImage", Name: elsewhere.Ref(from)},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true, ImportMode: imagev1.ImportModePreserveOriginal},
		}
	}
	_, err := p.Images.ImageV1().ImageStreams(p.namespace).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
			tag("other", "team/other:1", nil), tag("kept", "team/kept:1", map[string]string{"weir.dev/mirror": "always"}),
		}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	for _, of := range blobs {
		testenv.Eventually(t, "all of the image to be kept", func() error { return fetched(elsewhere, "team/kept", of) })
	}
	elsewhere.Close()
	p.pullAll(t, "app", index)
	p.pullAll(t, "app", "kept")
	answer, err := p.ask(t, http.MethodGet, "app", "blobs/"+others[0][0])
	if err == nil && answer.status == http.StatusOK {
		t.Error("the image of the other tag was kept too")
	}
}
