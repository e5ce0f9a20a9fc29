package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

const (
	groupPath     = "/apis/image.openshift.io/v1"
	acceptTable   = "application/json;as=Table;v=v1;g=meta.k8s.io"
	acceptPartial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
)

// reply is an answer as it stands on the wire.
type reply struct {
	code int
	body []byte
}

// raw sends a request as it stands on the wire. header is pairs of name and value.
// It may be called from goroutines of a test; a request that gets no answer fails
// the test, with a reply of code 0.
func raw(t *testing.T, config *rest.Config, method, path, body string, header ...string) reply {
	t.Helper()
	r, err := send(t.Context(), config, method, path, body, header)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return r
}

func send(ctx context.Context, config *rest.Config, method, path, body string, header []string) (reply, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, method, config.Host+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, answer}, err
}

// inNamespace is the path of a resource of the group in a namespace.
func inNamespace(ns, resource string) string { return groupPath + "/namespaces/" + ns + "/" + resource }

// want compares the answer with a code and a JSON document, in which null and
// absent differ. In the answer, metadata that no test can foresee reads "…".
func (r reply) want(t *testing.T, code int, document string) {
	t.Helper()
	if r.code != code {
		t.Errorf("answered %d, want %d: %s", r.code, code, r.body)
		return
	}
	got, want := parse(t, r.body), parse(t, []byte(document))
	blankVolatile(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func parse(t *testing.T, document []byte) any {
	t.Helper()
	var parsed any
	if err := json.Unmarshal(document, &parsed); err != nil {
		t.Fatalf("parsing %s: %v", document, err)
	}
	return parsed
}

func unmarshal(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(document, into); err != nil {
		t.Fatalf("parsing %s: %v", document, err)
	}
}

func blankVolatile(document any) {
	switch d := document.(type) {
	case map[string]any:
		for key, value := range d {
			_, text := value.(string)
			if text && (key == "uid" || key == "resourceVersion" || key == "creationTimestamp") {
				d[key] = "…"
			}
			blankVolatile(value)
		}
		delete(d, "managedFields")
	case []any:
		for _, value := range d {
			blankVolatile(value)
		}
	}
}

// status is the answer as a Status.
func (r reply) status(t *testing.T) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(r.body, &s); err != nil || s.Kind != "Status" {
		t.Fatalf("not a Status: %s (%v)", r.body, err)
	}
	return s
}

// wantStatus compares the answer with a code and a reason, and with the kind and
// name of details; details without any read "".
func (r reply) wantStatus(t *testing.T, code int, reason metav1.StatusReason, kind, name string) {
	t.Helper()
	s := r.status(t)
	var details metav1.StatusDetails
	if s.Details != nil {
		details = *s.Details
	}
	if r.code != code || s.Reason != reason || details.Kind != kind || details.Name != name {
		t.Errorf("answered %d %q kind %q name %q, want %d %q %q %q: %s", r.code, s.Reason, details.Kind, details.Name, code, reason, kind, name, r.body)
	}
}

// wantCauses compares the causes of a Status, each as "type field".
func (r reply) wantCauses(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	if details := r.status(t).Details; details != nil {
		for _, cause := range details.Causes {
			got = append(got, fmt.Sprintf("%s %s", cause.Type, cause.Field))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
}

// wantRefused checks that neither anonymous nor a user without rights gets through.
func wantRefused(t *testing.T, method, path, body, kind, name string) {
	t.Helper()
	for who, config := range map[string]*rest.Config{"nobody": env.As("nobody"), "anonymous": env.Anonymous()} {
		r := raw(t, config, method, path, body)
		if s := r.status(t); r.code != http.StatusForbidden || s.Details == nil || s.Details.Kind != kind || s.Details.Name != name {
			t.Errorf("%s: answered %d to %s %s, want 403 of kind %q, name %q: %s", who, r.code, method, path, kind, name, r.body)
		}
	}
}

// salts keep images of one run of a test from those of another: images belong to
// no namespace.
var salts sync.Map // *testing.T → string

// digestOf makes up a digest that no other test uses, the same one for the same
// words within a test.
func digestOf(t *testing.T, what string) string {
	salt, _ := salts.LoadOrStore(t, rand.Text())
	return digest.FromString(salt.(string) + what).String()
}

// storeImage stores an image with one layer of 8 bytes and a configuration, both
// made up from its name.
func storeImage(t *testing.T, name string) *imagev1.Image {
	t.Helper()
	return storeImageOf(t, plainImage(name))
}

func plainImage(name string) *imagev1.Image {
	return &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: name},
		DockerImageReference:         "registry.example.com/app@" + name,
		DockerImageManifestMediaType: "application/vnd.docker.distribution.manifest.v2+json",
		DockerImageMetadata:          metadata(configDigest(name)),
		DockerImageLayers:            []imagev1.ImageLayer{{Name: layerDigest(name), LayerSize: 8, MediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip"}},
	}
}

func metadata(id string) runtime.RawExtension {
	return runtime.RawExtension{Raw: fmt.Appendf(nil, `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":%q,"Created":null,"ContainerConfig":{}}`, id)}
}

func configDigest(image string) string { return digest.FromString("config " + image).String() }
func layerDigest(image string) string  { return digest.FromString("layer " + image).String() }

// listImage is a manifest list of parts.
func listImage(name string, parts ...string) *imagev1.Image {
	list := &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: name},
		DockerImageReference:         "registry.example.com/app@" + name,
		DockerImageManifestMediaType: "application/vnd.docker.distribution.manifest.list.v2+json",
	}
	for _, part := range parts {
		list.DockerImageManifests = append(list.DockerImageManifests, imagev1.ImageManifest{
			Digest: part, MediaType: "application/vnd.docker.distribution.manifest.v2+json", ManifestSize: 1, Architecture: "amd64", OS: "linux",
		})
	}
	return list
}

func storeImageOf(t *testing.T, img *imagev1.Image) *imagev1.Image {
	t.Helper()
	stored, err := env.Images.ImageV1().Images().Create(t.Context(), img, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// makeStream makes a stream without anything in it.
func makeStream(t *testing.T, ns, name string) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// push makes an image the head of a tag.
func push(t *testing.T, ns, stream, tag string, img *imagev1.Image) {
	t.Helper()
	if r := raw(t, env.Config, http.MethodPost, inNamespace(ns, "imagestreammappings"), mapping(t, stream, tag, img)); r.code != http.StatusCreated {
		t.Fatalf("mapping %s:%s: %d %s", stream, tag, r.code, r.body)
	}
}

// mapping is the body of an ImageStreamMapping.
func mapping(t *testing.T, stream, tag string, img *imagev1.Image) string {
	t.Helper()
	body, err := json.Marshal(&imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: stream}, Image: *img, Tag: tag})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func getStream(t *testing.T, ns, name string) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
