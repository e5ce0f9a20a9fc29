package chaos_test

import (
	"fmt"
	"net/http"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// privateImport is an image of another registry that two namespaces pulled through this one
// with a pull secret.
type privateImport struct {
	from *testenv.Registry
	ref  string // with the digest
	// lost is a namespace that is deleted and made anew, kept is the other; the stream is
	// "private" in both.
	lost, kept string
	parts      parts
}

// importPrivately imports an image into both namespaces, the second of which it makes, and
// pulls it.
func importPrivately(t *testing.T, p *process, c registryClient, lost, kept string) *privateImport {
	t.Helper()
	i := &privateImport{from: testenv.NewRegistry(t), lost: lost, kept: kept}
	image := testimage.Image(t, "linux/amd64")
	d := i.from.Push(t, "team/private:1", image)
	i.ref, i.parts = i.from.Ref("team/private@"+d), partsOfImage(t, image)
	i.from.DemandBasic(map[string]string{"puller": "secret"}, testenv.Everybody)
	makeNamespace(t, p, kept)
	for _, ns := range []string{lost, kept} {
		secret := testenv.PullSecret(t, "login", map[string]string{i.from.Host: "puller:secret"})
		if _, err := p.kube.CoreV1().Secrets(ns).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		isi, err := p.images.ImageV1().ImageStreamImports(ns).Create(t.Context(), importOf("private", imageImport("1", i.from.Ref("team/private:1"))), metav1.CreateOptions{})
		if err != nil || headOf(isi.Status.Import, "1") != d {
			t.Fatalf("importing into %s: %+v, %v", ns, isi.Status, err)
		}
		if err := c.readAll(t.Context(), ns+"/private", i.parts); err != nil {
			t.Fatalf("pulling through %s: %v", ns, err)
		}
	}
	waitStored(t, c, i.from, kept+"/private", i.parts)
	return i
}

// waitStored waits until content of another registry is read without asking that.
func waitStored(t *testing.T, c registryClient, from *testenv.Registry, repo string, p parts) {
	t.Helper()
	testenv.Eventually(t, "the content of "+repo+" to be kept", func() error {
		from.Reset()
		if err := c.readAll(t.Context(), repo, p); err != nil {
			return err
		}
		if asked := from.Asked(); len(asked) > 0 {
			return fmt.Errorf("the other registry was asked %q", asked)
		}
		return nil
	})
}

// partsOfImage are the parts of an image of another registry.
func partsOfImage(t *testing.T, image v1.Image) (p parts) {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	p = parts{[]digest.Digest{digest.Digest(d.String())}, []digest.Digest{digest.Digest(m.Config.Digest.String())}}
	for _, layer := range m.Layers {
		p.blobs = append(p.blobs, digest.Digest(layer.Digest.String()))
	}
	return p
}

// wantApart checks that the namespace that has its name anew reads nothing of the image,
// which it has no pull secret for, though it has a tag event of it; and that the other one
// still reads it from storage.
func (i *privateImport) wantApart(t *testing.T, p *process, c registryClient) {
	t.Helper()
	i.from.Reset()
	if err := c.readAll(t.Context(), i.kept+"/private", i.parts); err != nil || len(i.from.Asked()) > 0 {
		t.Errorf("with a pull secret: %v; the other registry was asked %q", err, i.from.Asked())
	}
	streams := p.images.ImageV1().ImageStreams(i.lost)
	if _, err := streams.Get(t.Context(), "private", metav1.GetOptions{}); err != nil {
		s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "private"}, Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{{
			Name: "1", From: &corev1.ObjectReference{Kind: "DockerImage", Name: i.ref}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
		}}}}
		if _, err := streams.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		mapping := &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "private"}, Tag: "1", Image: imagev1.Image{
			ObjectMeta: metav1.ObjectMeta{Name: i.parts.manifests[0].String()}, DockerImageReference: i.ref,
		}}
		if _, err := p.images.ImageV1().ImageStreamMappings(i.lost).Create(t.Context(), mapping, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	i.parts.each(i.lost+"/private", func(path string, _ digest.Digest) {
		if reply, err := c.send(t.Context(), http.MethodGet, path, nil); err != nil || reply.status < 400 || reply.status >= 500 {
			t.Errorf("without a pull secret: GET %s: %d %.200s, %v", path, reply.status, reply.body, err)
		}
	})
}
