package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// A quota of streams is charged by every way to make one, under both of its names, and by none for
// a stream that is there.
func TestEveryWayToAStreamIsCharged(t *testing.T) {
	for _, name := range []corev1.ResourceName{"openshift.io/imagestreams", "count/imagestreams.image.openshift.io"} {
		t.Run(strings.ReplaceAll(string(name), "/", " "), func(t *testing.T) {
			w, registry := newTenant(t), testenv.NewRegistry(t) // it has one stream
			registry.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
			w.limitStreams(t, name)
			for way, make := range w.waysToAStream(registry.Ref("x:1")) {
				t.Run(way, func(t *testing.T) {
					if err := make("new"); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
						t.Errorf("a stream beyond the quota: %v", err)
					}
					_, err := env.Images.ImageV1().ImageStreams(w.namespace).Get(t.Context(), "new", metav1.GetOptions{})
					if !apierrors.IsNotFound(err) {
						t.Errorf("the stream: %v", err)
					}
					if way == "imagestream" {
						return // Kubernetes charges for a POST before it finds that the name is taken
					}
					if err := make("web"); err != nil && !apierrors.IsAlreadyExists(err) {
						t.Errorf("a stream that is there: %v", err)
					}
				})
			}
		})
	}
}

// limitStreams lets a namespace have no more streams than it has.
func (w tenant) limitStreams(t *testing.T, name corev1.ResourceName) {
	t.Helper()
	quotas := env.Kube.CoreV1().ResourceQuotas(w.namespace)
	_, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "streams"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse("1")}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	testenv.Eventually(t, "the quota to be counted", func() error {
		q, err := quotas.Get(t.Context(), "streams", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if used := q.Status.Used[name]; used.Value() != 1 {
			return fmt.Errorf("%s used", used.String())
		}
		return nil
	})
}

// waysToAStream are all requests that make the stream of a name if there is none. Each takes the
// name; its error has the words of the answer.
func (w tenant) waysToAStream(ref string) map[string]func(stream string) error {
	from := fmt.Sprintf(`{"from":{"kind":"DockerImage","name":%q},"importPolicy":{"insecure":true}`, ref)
	kind := func(kind, name, rest string) string {
		return fmt.Sprintf(`{"apiVersion":"image.openshift.io/v1","kind":%q,"metadata":{"name":%q,"namespace":%q}%s}`, kind, name, w.namespace, rest)
	}
	ways := map[string]func(string) error{"push": w.pushTo}
	api := func(way, method, resource string, body func(stream string) (name, text string)) {
		ways[way] = func(stream string) error {
			name, text := body(stream)
			return w.ask(method, resource, name, text)
		}
	}
	type body = func(string) (string, string)
	stream := func(s string) (string, string) { return s, kind("ImageStream", s, "") }
	streamTag := func(tag string) body {
		return func(s string) (string, string) {
			return s + ":" + tag, kind("ImageStreamTag", s+":"+tag, `,"tag":`+from+`,"name":"`+tag+`"}`)
		}
	}
	imageTag := func(tag string) body {
		return func(s string) (string, string) {
			return s + ":" + tag, kind("ImageTag", s+":"+tag, `,"spec":`+from+`,"name":"`+tag+`"}`)
		}
	}
	api("imagestream", http.MethodPost, "imagestreams", stream)
	api("imagestream, applied", http.MethodPatch, "imagestreams", stream)
	api("imagestreamtag", http.MethodPost, "imagestreamtags", streamTag("a"))
	api("imagestreamtag, replaced", http.MethodPut, "imagestreamtags", streamTag("b"))
	api("imagestreamtag, applied", http.MethodPatch, "imagestreamtags", streamTag("c"))
	api("imagetag", http.MethodPost, "imagetags", imageTag("d"))
	api("imagetag, replaced", http.MethodPut, "imagetags", imageTag("e"))
	api("imagetag, applied", http.MethodPatch, "imagetags", imageTag("f"))
	api("import", http.MethodPost, "imagestreamimports", func(s string) (string, string) {
		return s, kind("ImageStreamImport", s, `,"spec":{"import":true,"images":[`+from+`,"to":{"name":"g"}}]}`)
	})
	return ways
}

// ask sends a request to the API as the tenant's editor.
func (w tenant) ask(method, resource, name, text string) error {
	client := testenv.ImagesFor(env.As("system:serviceaccount:"+w.namespace+":editor", "system:serviceaccounts")).ImageV1().RESTClient()
	request := client.Verb(method).Namespace(w.namespace).Resource(resource).SetHeader("Content-Type", "application/json").Body([]byte(text))
	switch method {
	case http.MethodPatch:
		request = client.Patch(types.ApplyPatchType).Namespace(w.namespace).Resource(resource).Name(name).Param("fieldManager", "test").Body([]byte(text))
	case http.MethodPut:
		request = request.Name(name)
	}
	return request.Do(context.Background()).Error()
}

// pushTo pushes an image to a stream of the tenant.
func (w tenant) pushTo(stream string) error {
	image := testimage.NewRaw()
	if err := w.send(http.MethodPost, stream+"/blobs/uploads/?digest="+digest.FromBytes(image.Config).String(), "application/octet-stream", image.Config); err != nil {
		return err
	}
	return w.send(http.MethodPut, stream+"/manifests/pushed", ocispec.MediaTypeImageManifest, image.Manifest)
}

// send sends a request to the registry and returns what is not 201 as an error.
func (w tenant) send(method, path, mediaType string, body []byte) error {
	r, err := http.NewRequest(method, "http://"+env.Registry()+"/v2/"+w.namespace+"/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", w.authorization)
	r.Header.Set("Content-Type", mediaType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil || answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s %s: %s %s %w", method, path, answer.Status, text.String(), err)
	}
	return nil
}
