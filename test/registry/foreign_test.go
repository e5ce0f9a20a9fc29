package registry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// tenant is somebody with a namespace, who may do with its streams what an editor may.
type tenant struct {
	namespace, authorization string
}

func newTenant(t *testing.T) tenant {
	t.Helper()
	s := newShop(t)
	w := tenant{s.namespace, basic(s.account(t, "editor", "registry-editor"))}
	testenv.Eventually(t, "the editor's rights", func() error {
		// Deleting asks for all that an editor has; there is nothing to delete.
		if status, body := w.do(t, http.MethodDelete, "app/manifests/none", nil, ""); status != http.StatusNotFound {
			return fmt.Errorf("%d %.200s", status, body)
		}
		if status, body := w.do(t, http.MethodPut, "app/manifests/none", nil, ""); status != http.StatusBadRequest {
			return fmt.Errorf("%d %.200s", status, body)
		}
		return nil
	})
	return w
}

func (w tenant) do(t *testing.T, method, path string, body []byte, mediaType string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+env.Registry()+"/v2/"+w.namespace+"/"+path, bytes.NewReader(body))
	fatal(t, err)
	r.Header.Set("Authorization", w.authorization)
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	answer, err := http.DefaultClient.Do(r)
	fatal(t, err)
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	fatal(t, err)
	return answer.StatusCode, content
}

func (w tenant) want(t *testing.T, status int, method, path string, body []byte, mediaType string) {
	t.Helper()
	if got, content := w.do(t, method, path, body, mediaType); got != status {
		t.Errorf("%s %s/%s: %d, want %d: %.300s", method, w.namespace, path, got, status, content)
	}
}

func (w tenant) blob(t *testing.T, stream, text string) ocispec.Descriptor {
	t.Helper()
	d := digest.FromString(text)
	w.want(t, http.StatusCreated, http.MethodPost, stream+"/blobs/uploads/?digest="+d.String(), []byte(text), "application/octet-stream")
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(text))}
}

func document(t *testing.T, mediaType string, v map[string]any) (ocispec.Descriptor, []byte) {
	t.Helper()
	v["schemaVersion"], v["mediaType"] = 2, mediaType
	content := testimage.Encode(v)
	return testimage.Describe(mediaType, content), content
}

// private is an image in a stream of somebody else's.
type private struct{ manifest, config, layer ocispec.Descriptor }

func (w tenant) pushPrivate(t *testing.T, stream string) private {
	t.Helper()
	image := testimage.NewRaw(testimage.Noise(64))
	return private{
		manifest: w.push(t, stream, "1", image),
		config:   testimage.Describe(ocispec.MediaTypeImageConfig, image.Config),
		layer:    testimage.Describe(ocispec.MediaTypeImageLayer, image.Layers[0]),
	}
}

// push pushes an image and returns the descriptor of its manifest.
func (w tenant) push(t *testing.T, stream, reference string, image testimage.Raw) ocispec.Descriptor {
	t.Helper()
	for _, content := range image.Blobs() {
		w.blob(t, stream, string(content))
	}
	w.want(t, http.StatusCreated, http.MethodPut, stream+"/manifests/"+reference, image.Manifest, ocispec.MediaTypeImageManifest)
	return testimage.Describe(ocispec.MediaTypeImageManifest, image.Manifest)
}

// closed makes sure that nothing of a private image can be read from a stream.
func (w tenant) closed(t *testing.T, stream string, p private) {
	t.Helper()
	for _, path := range []string{
		"/manifests/" + p.manifest.Digest.String(), "/blobs/" + p.manifest.Digest.String(),
		"/blobs/" + p.config.Digest.String(), "/blobs/" + p.layer.Digest.String(),
	} {
		w.want(t, http.StatusNotFound, http.MethodGet, stream+path, nil, "")
		w.want(t, http.StatusNotFound, http.MethodHead, stream+path, nil, "")
	}
}

// A digest known from elsewhere opens nothing, whatever is made to name it: indexes,
// layers that are not distributed, tags of streams that have such a manifest, mappings.
func TestForeignDigestsOpenNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p := owner.pushPrivate(t, "app")
	stranger.closed(t, "none", p)

	index, content := document(t, ocispec.MediaTypeImageIndex, map[string]any{"manifests": []ocispec.Descriptor{p.manifest}})
	stranger.want(t, http.StatusCreated, http.MethodPut, "index/manifests/1", content, index.MediaType)
	stranger.closed(t, "index", p)

	own := stranger.blob(t, "foreign", `{"architecture":"amd64","os":"linux"}`)
	own.MediaType = ocispec.MediaTypeImageConfig
	foreign := p.layer
	foreign.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	image, content := document(t, ocispec.MediaTypeImageManifest, map[string]any{"config": own, "layers": []ocispec.Descriptor{foreign}})
	stranger.want(t, http.StatusCreated, http.MethodPut, "foreign/manifests/1", content, image.MediaType)
	stranger.closed(t, "foreign", p)

	nested, content := document(t, ocispec.MediaTypeImageIndex, map[string]any{"manifests": []ocispec.Descriptor{index, image}})
	stranger.want(t, http.StatusCreated, http.MethodPut, "index/manifests/nested", content, nested.MediaType)
	stranger.closed(t, "index", p)

	for _, source := range []string{"index:1", "index:nested", "foreign:1"} {
		stranger.copyTag(t, source, "copy")
	}
	stranger.closed(t, "copy", p)

	// An Image that names what it likes, and one whose digest is the owner's.
	made := digest.FromString("made up").String()
	stranger.mapImage(t, "made", imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: made},
		DockerImageReference: env.Registry() + "/" + stranger.namespace + "/made@" + made, DockerImageManifestMediaType: ocispec.MediaTypeImageManifest,
		DockerImageLayers: []imagev1.ImageLayer{{Name: p.layer.Digest.String(), LayerSize: p.layer.Size, MediaType: p.layer.MediaType}},
	}, false)
	stranger.closed(t, "made", p)
	stranger.mapImage(t, "claimed", imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: p.manifest.Digest.String()},
		DockerImageReference: env.Registry() + "/" + stranger.namespace + "/claimed@" + p.manifest.Digest.String(),
	}, false)
	stranger.closed(t, "claimed", p)
	// One that names the owner's stream is a copy, and takes the right to pull there.
	stranger.mapImage(t, "named", imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: p.manifest.Digest.String()},
		DockerImageReference: env.Registry() + "/" + owner.namespace + "/app@" + p.manifest.Digest.String(),
	}, true)
	stranger.closed(t, "named", p)

	owner.want(t, http.StatusOK, http.MethodGet, "app/blobs/"+p.layer.Digest.String(), nil, "")
	owner.want(t, http.StatusOK, http.MethodGet, "app/manifests/"+p.manifest.Digest.String(), nil, "")
}

// An index opens all that its owner pushed of it where the owner tags it, and nothing where
// a stranger pushes the same index, who may lack its parts.
func TestWholeIndexesOpenWhereTheyAreTagged(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p := owner.pushPrivate(t, "app")
	index, content := document(t, ocispec.MediaTypeImageIndex, map[string]any{"manifests": []ocispec.Descriptor{p.manifest}})
	owner.want(t, http.StatusCreated, http.MethodPut, "app/manifests/all", content, index.MediaType)
	stranger.want(t, http.StatusCreated, http.MethodPut, "index/manifests/1", content, index.MediaType)
	stranger.closed(t, "index", p)

	owner.copyTag(t, "app:all", "copy")
	for _, path := range []string{"manifests/" + p.manifest.Digest.String(), "blobs/" + p.config.Digest.String(), "blobs/" + p.layer.Digest.String()} {
		testenv.Eventually(t, "the copy to be seen", func() error {
			if status, body := owner.do(t, http.MethodGet, "copy/"+path, nil, ""); status != http.StatusOK {
				return fmt.Errorf("%s: %d %.200s", path, status, body)
			}
			return nil
		})
	}
	stranger.closed(t, "index", p)
}

// What is missing when an index is pushed can be pushed later, and deleted before it.
func TestPartsThatComeLaterAndGoFirst(t *testing.T) {
	owner := newTenant(t)
	child, content := document(t, ocispec.MediaTypeImageIndex, map[string]any{"manifests": []any{}, "annotations": map[string]string{"for": string(unique("child"))}})
	index, list := document(t, ocispec.MediaTypeImageIndex, map[string]any{"manifests": []ocispec.Descriptor{child}})
	path := "app/manifests/" + child.Digest.String()
	owner.want(t, http.StatusCreated, http.MethodPut, "app/manifests/sparse", list, index.MediaType)
	owner.want(t, http.StatusNotFound, http.MethodGet, path, nil, "")
	owner.want(t, http.StatusCreated, http.MethodPut, path, content, child.MediaType)
	owner.want(t, http.StatusOK, http.MethodGet, path, nil, "")
	owner.want(t, http.StatusAccepted, http.MethodDelete, path, nil, "")
	owner.want(t, http.StatusNotFound, http.MethodGet, path, nil, "")
	owner.want(t, http.StatusOK, http.MethodGet, "app/manifests/sparse", nil, "")
}

// copyTag has the API copy a tag of the namespace, as kubectl would.
func (w tenant) copyTag(t *testing.T, source, to string) {
	t.Helper()
	name := to + ":" + digest.FromString(source).Encoded()[:8]
	_, err := env.Images.ImageV1().ImageStreamTags(w.namespace).Create(context.Background(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Tag: &imagev1.TagReference{
			From:         &corev1.ObjectReference{Kind: "ImageStreamTag", Name: source},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true}, // to hear what it has from a registry of a test
		},
	}, metav1.CreateOptions{})
	fatal(t, err)
}

// mapImage posts a mapping as the tenant's editor.
func (w tenant) mapImage(t *testing.T, stream string, img imagev1.Image, forbidden bool) {
	t.Helper()
	client := testenv.ImagesFor(env.As("system:serviceaccount:"+w.namespace+":editor", "system:serviceaccounts")).ImageV1()
	_, err := client.ImageStreams(w.namespace).Create(context.Background(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: stream}}, metav1.CreateOptions{})
	fatal(t, err)
	_, err = client.ImageStreamMappings(w.namespace).Create(context.Background(), &imagev1.ImageStreamMapping{
		ObjectMeta: metav1.ObjectMeta{Name: stream}, Image: img, Tag: "1",
	}, metav1.CreateOptions{})
	if forbidden != apierrors.IsForbidden(err) || !forbidden && err != nil {
		t.Errorf("mapping %s onto %s/%s: %v", img.Name, w.namespace, stream, err)
	}
}

// liar is a registry that has manifests, and of what they name only configurations.
type liar struct {
	host    string
	content map[string][]byte // by digest
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{content: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, d, _ := strings.Cut(path.Base(r.URL.Path), "sha256:")
		content := l.content["sha256:"+d]
		if r.URL.Path == "/v2/" {
			return
		}
		if content == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	l.host = strings.TrimPrefix(server.URL, "http://")
	return l
}

func (l *liar) put(content []byte, mediaType string) ocispec.Descriptor {
	d := digest.FromBytes(content)
	l.content[d.String()] = content
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

// imports imports as the tenant's editor.
func (w tenant) imports(t *testing.T, stream, from string) metav1.Status {
	t.Helper()
	client := testenv.ImagesFor(env.As("system:serviceaccount:"+w.namespace+":editor", "system:serviceaccounts")).ImageV1()
	done, err := client.ImageStreamImports(w.namespace).Create(t.Context(), &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: stream},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
			From:            corev1.ObjectReference{Kind: "DockerImage", Name: from},
			To:              &corev1.LocalObjectReference{Name: "1"},
			ImportPolicy:    imagev1.TagImportPolicy{Insecure: true},
			ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy},
		}}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	return done.Status.Images[0].Status
}

// wantImported fails the test unless an import went well.
func wantImported(t *testing.T, s metav1.Status) {
	t.Helper()
	if s.Status != metav1.StatusSuccess {
		t.Fatalf("importing: %+v", s)
	}
}

// A registry that somebody runs to name what others pushed opens nothing by that: not
// where it is imported, not where that is copied, claimed, mounted or pushed on. Whoever
// has the content there reads it.
func TestLyingRegistriesOpenNothing(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	p, evil := owner.pushPrivate(t, "app"), newLiar(t)
	owner.want(t, http.StatusOK, http.MethodGet, "app/blobs/"+p.layer.Digest.String(), nil, "")
	owner.want(t, http.StatusOK, http.MethodGet, "app/manifests/"+p.manifest.Digest.String(), nil, "")

	own := evil.put([]byte(fmt.Sprintf(`{"architecture":"amd64","os":"linux","author":%q}`, unique("evil"))), ocispec.MediaTypeImageConfig)
	asLayer := p.manifest // a manifest can be read by the route of blobs
	asLayer.MediaType = ocispec.MediaTypeImageLayer
	asConfig := p.config
	asConfig.MediaType = ocispec.MediaTypeImageLayer
	image, content := document(t, ocispec.MediaTypeImageManifest, map[string]any{"config": own, "layers": []ocispec.Descriptor{p.layer, asLayer, asConfig}})
	evil.put(content, image.MediaType)
	wantImported(t, stranger.imports(t, "evil", evil.host+"/x/y@"+image.Digest.String()))
	served := "manifests/" + image.Digest.String()
	stranger.want(t, http.StatusOK, http.MethodGet, "evil/"+served, nil, "") // which is kept now
	stranger.want(t, http.StatusOK, http.MethodGet, "evil/blobs/"+own.Digest.String(), nil, "")
	stranger.closed(t, "evil", p)

	stranger.copyTag(t, "evil:1", "copy")
	stranger.closed(t, "copy", p)
	stranger.mapImage(t, "claimed", imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: image.Digest.String(), Annotations: map[string]string{"openshift.io/image.managed": "true"}},
		DockerImageReference: env.Registry() + "/" + stranger.namespace + "/claimed@" + image.Digest.String(),
	}, false)
	stranger.closed(t, "claimed", p)
	// Nor where it is imported from this registry, which gives what the other one gives, or
	// where its bytes are a blob.
	login, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(stranger.authorization, "Basic "))
	fatal(t, err)
	_, err = env.Kube.CoreV1().Secrets(stranger.namespace).Create(t.Context(), testenv.PullSecret(t, "here", map[string]string{env.Registry(): string(login)}), metav1.CreateOptions{})
	fatal(t, err)
	for _, to := range []string{"again", "evil"} {
		wantImported(t, stranger.imports(t, to, env.Registry()+"/"+stranger.namespace+"/evil@"+image.Digest.String()))
		stranger.closed(t, to, p)
		stranger.want(t, http.StatusOK, http.MethodGet, to+"/"+served, nil, "")
		stranger.want(t, http.StatusOK, http.MethodGet, to+"/blobs/"+own.Digest.String(), nil, "")
	}
	stranger.knowsTheManifest(t, owner, evil, p)
	made, text := document(t, ocispec.MediaTypeImageManifest, map[string]any{"config": own, "layers": []ocispec.Descriptor{p.layer, asLayer, asConfig}, "annotations": map[string]string{"a": "blob"}})
	stranger.blob(t, "blobs", string(text))
	stranger.mapImage(t, "madeup", imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: made.Digest.String()},
		DockerImageManifest:          string(text),
		DockerImageManifestMediaType: ocispec.MediaTypeImageManifest,
	}, false)
	stranger.closed(t, "madeup", p)
	stranger.want(t, http.StatusAccepted, http.MethodPost, "mounted/blobs/uploads/?mount="+p.layer.Digest.String()+"&from="+stranger.namespace+"/evil", nil, "")
	pushed, manifest := document(t, ocispec.MediaTypeImageManifest, map[string]any{"config": own, "layers": []ocispec.Descriptor{p.layer}})
	stranger.want(t, http.StatusNotFound, http.MethodPut, "evil/manifests/mine", manifest, pushed.MediaType)
	stranger.closed(t, "evil", p)

	// The same again with the content: then it is no secret.
	_, layer := owner.do(t, http.MethodGet, "app/blobs/"+p.layer.Digest.String(), nil, "")
	evil.put(layer, p.layer.MediaType)
	testenv.Eventually(t, "the layer to be fetched", func() error {
		if status, body := stranger.do(t, http.MethodGet, "evil/blobs/"+p.layer.Digest.String(), nil, ""); status != http.StatusOK {
			return fmt.Errorf("%d %.200s", status, body)
		}
		return nil
	})
	stranger.want(t, http.StatusCreated, http.MethodPut, "evil/manifests/mine", manifest, pushed.MediaType)
	stranger.want(t, http.StatusNotFound, http.MethodGet, "evil/blobs/"+p.config.Digest.String(), nil, "")
}

// knowsTheManifest has the liar serve the owner's manifest and configuration, and the
// stranger do with them what makes images the stream's own. The layer stays closed.
func (w tenant) knowsTheManifest(t *testing.T, owner tenant, l *liar, p private) {
	t.Helper()
	for path, d := range map[string]ocispec.Descriptor{"app/manifests/": p.manifest, "app/blobs/": p.config} {
		_, content := owner.do(t, http.MethodGet, path+d.Digest.String(), nil, "")
		l.put(content, d.MediaType)
	}
	defer func() { delete(l.content, p.manifest.Digest.String()); delete(l.content, p.config.Digest.String()) }()
	wantImported(t, w.imports(t, "known", l.host+"/known/y@"+p.manifest.Digest.String()))
	closed := func(stream string) {
		t.Helper()
		w.want(t, http.StatusNotFound, http.MethodGet, stream+"/blobs/"+p.layer.Digest.String(), nil, "")
		w.want(t, http.StatusNotFound, http.MethodHead, stream+"/blobs/"+p.layer.Digest.String(), nil, "")
	}
	closed("known")
	for _, to := range []string{"known", "known-again"} {
		// That the liar did not have the configuration is remembered for a while.
		testenv.Eventually(t, "the import from here", func() error {
			if s := w.imports(t, to, env.Registry()+"/"+w.namespace+"/known@"+p.manifest.Digest.String()); s.Status != metav1.StatusSuccess {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		closed(to)
	}
	w.copyTag(t, "known:1", "known-copy")
	closed("known-copy")
	w.mapImage(t, "known-claim", imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: p.manifest.Digest.String(), Annotations: map[string]string{"openshift.io/image.managed": "true"}},
		DockerImageReference: env.Registry() + "/" + w.namespace + "/known-claim@" + p.manifest.Digest.String(),
	}, false)
	closed("known-claim")
}
