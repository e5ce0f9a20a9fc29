package registryclients_test

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
)

// imports makes a stream with a tag for an image of another registry.
func (p *project) imports(t testing.TB, stream, tag, from string) {
	t.Helper()
	done, err := env.Images.ImageV1().ImageStreamImports(p.namespace).Create(t.Context(), &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: stream},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
			From:         corev1.ObjectReference{Kind: "DockerImage", Name: from},
			To:           &corev1.LocalObjectReference{Name: tag},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true, ImportMode: imagev1.ImportModePreserveOriginal},
		}}},
	}, metav1.CreateOptions{})
	if err != nil || done.Status.Images[0].Status.Status != metav1.StatusSuccess {
		t.Fatalf("importing %s: %v %+v", from, err, done)
	}
}

// TestClientsPullThrough has every client pull what only another registry has, and pull
// it once more from home folders of their own when that registry is gone.
func TestClientsPullThrough(t *testing.T) {
	p := newProject(t)
	elsewhere := testenv.NewRegistry(t)
	for _, puller := range pullers {
		want := elsewhere.Push(t, "team/"+puller.name+":1", index(t, "from outside with "+puller.name))
		p.imports(t, puller.name, "1", elsewhere.Ref("team/"+puller.name+":1"))
		puller.pull(t, p, puller.name+":1", "from outside with "+puller.name)
		if m := p.manifest(t, puller.name, "1"); m.digest != want {
			t.Errorf("%s is served as %s, want %s", puller.name, m.digest, want)
		}
	}
	elsewhere.Close()
	for _, puller := range pullers {
		puller.pull(t, p, puller.name+":1", "from outside with "+puller.name)
	}
}
