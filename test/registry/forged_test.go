package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
)

// images is the image API as the tenant's editor.
func (w tenant) images() imageclient.ImageV1Interface {
	return testenv.ImagesFor(env.As("system:serviceaccount:"+w.namespace+":editor", "system:serviceaccounts")).ImageV1()
}

// writesStatus gives the tenant's editor the right to write the status of streams.
func (w tenant) writesStatus(t *testing.T) {
	t.Helper()
	_, err := env.Kube.RbacV1().Roles(w.namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "status"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"image.openshift.io"}, Resources: []string{"imagestreams", "imagestreams/status"}, Verbs: []string{"get", "list", "create", "update", "patch"},
		}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	bind(t, w.namespace, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "status"}, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: "editor"})
}

// ownImage pushes an image of the tenant's to a stream, so that the stream is there.
func (w tenant) ownImage(t *testing.T, stream string) { t.Helper(); w.pushPrivate(t, stream) }

// forgeEvent writes an event of an image into the status of a stream.
func (w tenant) forgeEvent(t *testing.T, name, reference string, p private) {
	t.Helper()
	streams := w.images().ImageStreams(w.namespace)
	testenv.Eventually(t, "the right to write the status", func() error {
		s, err := streams.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		stream.AddEvent(s, "forged", imagev1.TagEvent{
			Created: metav1.Now(), Image: p.manifest.Digest.String(), DockerImageReference: reference + "@" + p.manifest.Digest.String(), Generation: 1,
		})
		_, err = streams.UpdateStatus(t.Context(), s, metav1.UpdateOptions{})
		return err
	})
	if event := stream.LatestEvent(getStream(t, repo(t, w.namespace, name)), "forged"); event == nil || event.Image != p.manifest.Digest.String() {
		t.Fatalf("the event is %+v", event)
	}
}

// TestForgedStatusOpensNothing: who may write the status of a stream can claim any image of
// any stream for it.
func TestForgedStatusOpensNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p := owner.pushPrivate(t, "app")
	stranger.writesStatus(t)
	for name, reference := range map[string]string{
		"own":   env.Registry() + "/" + stranger.namespace + "/own",
		"named": env.Registry() + "/" + owner.namespace + "/app",
	} {
		stranger.ownImage(t, name)
		stranger.speaksHTTP(t, name)
		stranger.forgeEvent(t, name, reference, p)
		stranger.closed(t, name, p)
		stranger.closedByTag(t, name, "forged")
		stranger.copyTag(t, name+":forged", name+"-copy")
		stranger.closed(t, name+"-copy", p)
	}
}

// speaksHTTP lets the registry of this test be asked for what a stream refers to.
func (w tenant) speaksHTTP(t *testing.T, name string) {
	t.Helper()
	_, err := w.images().ImageStreams(w.namespace).Patch(t.Context(), name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"openshift.io/image.insecureRepository":"true"}}}`), metav1.PatchOptions{})
	fatal(t, err)
}

// closedByTag checks that what a tag leads to cannot be read.
func (w tenant) closedByTag(t *testing.T, name, tag string) {
	t.Helper()
	testenv.Eventually(t, "the tag to be known", func() error {
		if status, body := w.do(t, http.MethodGet, name+"/manifests/"+tag, nil, ""); status != http.StatusNotFound {
			return fmt.Errorf("%s: %d %.200s", name, status, body)
		}
		return nil
	})
}

// TestForgedMappingsOpenNothing: a mapping that claims an image as the stream's own is
// taken, as that of a registry is, and opens nothing. One that names the owner's stream is
// refused without the right to pull there, and opens the image with it.
func TestForgedMappingsOpenNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p := owner.pushPrivate(t, "app")
	image := func(repository string) imagev1.Image {
		return imagev1.Image{
			ObjectMeta:           metav1.ObjectMeta{Name: p.manifest.Digest.String()},
			DockerImageReference: env.Registry() + "/" + repository + "@" + p.manifest.Digest.String(),
		}
	}
	stranger.mapImage(t, "own", image(stranger.namespace+"/own"), false)
	stranger.closed(t, "own", p)
	stranger.mapImage(t, "named", image(owner.namespace+"/app"), true)
	stranger.closed(t, "named", p)

	stranger.mayPullFrom(t, owner.namespace)
	mapping := &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "named"}, Image: image(owner.namespace + "/app"), Tag: "1"}
	testenv.Eventually(t, "the right to pull", func() error {
		_, err := stranger.images().ImageStreamMappings(stranger.namespace).Create(t.Context(), mapping, metav1.CreateOptions{})
		return err
	})
	testenv.Eventually(t, "the image to be readable", func() error {
		if status, body := stranger.do(t, http.MethodGet, "named/blobs/"+p.layer.Digest.String(), nil, ""); status != http.StatusOK {
			return fmt.Errorf("%d %.200s", status, body)
		}
		return nil
	})
	stranger.closed(t, "own", p)
}

// TestForgedHeadsOfCopiedTagsOpenNothing: a spec tag that names a stream, which had nothing
// to copy when it was written, makes no copies of what the tag is led to later.
func TestForgedHeadsOfCopiedTagsOpenNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p := owner.pushPrivate(t, "app")
	stranger.mayPullFrom(t, owner.namespace)
	from := &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: owner.namespace, Name: "app:none"}
	streams := stranger.images().ImageStreams(stranger.namespace)
	testenv.Eventually(t, "the right to copy", func() error {
		_, err := streams.Create(t.Context(), &imagev1.ImageStream{
			ObjectMeta: metav1.ObjectMeta{Name: "by-stream"},
			Spec:       imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{{Name: "1", From: from}}},
		}, metav1.CreateOptions{})
		return err
	})
	_, err := stranger.images().ImageStreamTags(stranger.namespace).Create(t.Context(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: "by-tag:1"}, Tag: &imagev1.TagReference{From: from},
	}, metav1.CreateOptions{})
	fatal(t, err)
	for _, name := range []string{"by-stream", "by-tag"} {
		_, err := stranger.images().ImageStreamMappings(stranger.namespace).Create(t.Context(), &imagev1.ImageStreamMapping{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Tag: "1",
			Image: imagev1.Image{
				ObjectMeta:           metav1.ObjectMeta{Name: p.manifest.Digest.String(), Annotations: map[string]string{"openshift.io/image.managed": "true"}},
				DockerImageReference: env.Registry() + "/" + stranger.namespace + "/" + name + "@" + p.manifest.Digest.String(),
			},
		}, metav1.CreateOptions{})
		fatal(t, err)
		stranger.closed(t, name, p)
		if copies := stream.CopySources(getStream(t, repo(t, stranger.namespace, name))); len(copies) > 0 {
			t.Errorf("%s has copies %v", name, copies)
		}
	}
}

// TestLyingImportsOpenNothing: a registry that serves the owner's manifest, which is known
// from elsewhere, has it imported, and the rest of the image stays closed.
func TestLyingImportsOpenNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p, evil := owner.pushPrivate(t, "app"), newLiar(t)
	for path, d := range map[string]ocispec.Descriptor{"app/manifests/": p.manifest, "app/blobs/": p.config} {
		_, content := owner.do(t, http.MethodGet, path+d.Digest.String(), nil, "")
		evil.put(content, d.MediaType)
	}
	wantImported(t, stranger.imports(t, "evil", evil.host+"/"+owner.namespace+"/app@"+p.manifest.Digest.String()))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		stranger.want(t, http.StatusNotFound, method, "evil/blobs/"+p.layer.Digest.String(), nil, "")
	}
	// What the liar does not give any more came from there once, and is no secret.
	clear(evil.content)
	stranger.want(t, http.StatusNotFound, http.MethodGet, "evil/blobs/"+p.layer.Digest.String(), nil, "")
}

// TestForgedCopiesOpenNothing: what clients write into the record of copies is ignored,
// whichever way they write it.
func TestForgedCopiesOpenNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p := owner.pushPrivate(t, "app")
	text, err := json.Marshal([]stream.CopySource{
		{Repository: owner.namespace + "/app", UID: getStream(t, repo(t, owner.namespace, "app")).UID, Images: []string{p.manifest.Digest.String()}},
		{Repository: owner.namespace + "/app", Images: []string{p.manifest.Digest.String()}},
	})
	fatal(t, err)
	forged := map[string]string{stream.AnnotationCopiedFrom: string(text)}
	stranger.writesStatus(t)
	streams := stranger.images().ImageStreams(stranger.namespace)
	patch := func(kind types.PatchType, subresources ...string) func(string) error {
		return func(name string) error {
			body, err := json.Marshal(map[string]any{
				"apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": map[string]any{"name": name, "annotations": forged},
			})
			fatal(t, err)
			options := metav1.PatchOptions{}
			if kind == types.ApplyPatchType {
				force := true
				options = metav1.PatchOptions{FieldManager: "forger", Force: &force}
			}
			_, err = streams.Patch(t.Context(), name, kind, body, options, subresources...)
			return err
		}
	}
	update := func(write func(*imagev1.ImageStream) error) func(string) error {
		return func(name string) error {
			return retry.RetryOnConflict(retry.DefaultRetry, func() error {
				s, err := streams.Get(t.Context(), name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				s.Annotations = forged
				return write(s)
			})
		}
	}
	for way, write := range map[string]func(name string) error{
		"create": func(name string) error {
			fatal(t, env.Images.ImageV1().ImageStreams(stranger.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}))
			_, err := streams.Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: forged}}, metav1.CreateOptions{})
			return err
		},
		"update": update(func(s *imagev1.ImageStream) error {
			_, err := streams.Update(t.Context(), s, metav1.UpdateOptions{})
			return err
		}),
		"status": update(func(s *imagev1.ImageStream) error {
			_, err := streams.UpdateStatus(t.Context(), s, metav1.UpdateOptions{})
			return err
		}),
		"patch":        patch(types.MergePatchType),
		"status-patch": patch(types.MergePatchType, "status"),
		"apply":        patch(types.ApplyPatchType),
		"status-apply": patch(types.ApplyPatchType, "status"),
		"tag": func(name string) error {
			_, err := stranger.images().ImageStreamTags(stranger.namespace).Create(t.Context(), &imagev1.ImageStreamTag{
				ObjectMeta: metav1.ObjectMeta{Name: name + ":tag", Annotations: forged},
				Tag:        &imagev1.TagReference{Annotations: forged, From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: name + ":1"}},
			}, metav1.CreateOptions{})
			return err
		},
		"import": func(name string) error {
			_, err := stranger.images().ImageStreamImports(stranger.namespace).Create(t.Context(), &imagev1.ImageStreamImport{
				ObjectMeta: metav1.ObjectMeta{Name: name + "-new", Annotations: forged},
				Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
					From: corev1.ObjectReference{Kind: "DockerImage", Name: "localhost:1/x/y:1"}, To: &corev1.LocalObjectReference{Name: "1"},
				}}},
			}, metav1.CreateOptions{})
			return err
		},
	} {
		t.Run(way, func(t *testing.T) {
			stranger.ownImage(t, way)
			testenv.Eventually(t, "the right to write the stream", func() error { return write(way) })
			stranger.claim(t, way, p)
			stranger.closed(t, way, p)
			if way == "import" {
				way += "-new"
			}
			if copies := stream.CopySources(getStream(t, repo(t, stranger.namespace, way))); len(copies) > 0 {
				t.Errorf("copies %v", copies)
			}
		})
	}
}

// claim maps an image onto a tag of a stream as the stream's own.
func (w tenant) claim(t *testing.T, name string, p private) {
	t.Helper()
	_, err := w.images().ImageStreamMappings(w.namespace).Create(t.Context(), &imagev1.ImageStreamMapping{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Tag: "claimed",
		Image: imagev1.Image{
			ObjectMeta:           metav1.ObjectMeta{Name: p.manifest.Digest.String(), Annotations: map[string]string{"openshift.io/image.managed": "true"}},
			DockerImageReference: env.Registry() + "/" + w.namespace + "/" + name + "@" + p.manifest.Digest.String(),
		},
	}, metav1.CreateOptions{})
	fatal(t, err)
}
