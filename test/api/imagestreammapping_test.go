package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
)

// history is a tag's history, each event as "image reference generation".
func history(s *imagev1.ImageStream, tag string) []string {
	var events []string
	for _, list := range s.Status.Tags {
		for _, event := range list.Items {
			if list.Tag == tag {
				events = append(events, fmt.Sprintf("%s %s %d", event.Image, event.DockerImageReference, event.Generation))
			}
		}
	}
	return events
}

func wantHistory(t *testing.T, s *imagev1.ImageStream, tag string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, history(s, tag)); diff != "" {
		t.Errorf("history of %s (-want +got):\n%s", tag, diff)
	}
}

func postMapping(t *testing.T, ns, body, query string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodPost, inNamespace(ns, "imagestreammappings")+query, body)
}

func TestMappingOntoMissingStreamIsTheNotFoundThatRegistriesKnow(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	name := digestOf(t, "a")
	for _, query := range []string{"", "?dryRun=All"} {
		postMapping(t, ns, mapping(t, "app", "latest", plainImage(name)), query).want(t, http.StatusNotFound, `
			{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
			 "message":"imagestreammappings.image.openshift.io \"app\" not found","reason":"NotFound",
			 "details":{"name":"app","group":"image.openshift.io","kind":"imagestreammappings"},"code":404}`)
	}
	if _, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), "app", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a mapping made the stream: %v", err)
	}
	if _, err := env.Images.ImageV1().Images().Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a mapping without stream made the image: %v", err)
	}
}

func TestMappingStoresImageAndMovesTag(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	img.Signatures = []imagev1.ImageSignature{{ObjectMeta: metav1.ObjectMeta{Name: img.Name + "@sig"}, Type: "x", Content: []byte("y")}}
	postMapping(t, ns, mapping(t, "s", "latest", img), "").want(t, http.StatusCreated,
		`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}`)
	s := getStream(t, ns, "s")
	wantHistory(t, s, "latest", img.Name+" "+img.DockerImageReference+" 1")
	if s.Generation != 1 || len(s.Spec.Tags) != 0 {
		t.Errorf("a mapping changed the spec: generation %d, tags %v", s.Generation, s.Spec.Tags)
	}
	stored, err := env.Images.ImageV1().Images().Get(t.Context(), img.Name, metav1.GetOptions{})
	if err != nil || len(stored.Signatures) != 0 || stored.DockerImageReference != img.DockerImageReference {
		t.Errorf("stored reference %q, signatures %v, %v", stored.DockerImageReference, stored.Signatures, err)
	}
}

func TestMappingFillsImageFromManifest(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	config := `{"architecture":"arm64","os":"linux","created":"2020-01-02T03:04:05Z"}`
	img := &imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: digestOf(t, "a")},
		DockerImageReference: "registry.example.com/app:1",
		DockerImageConfig:    config,
		DockerImageManifest: `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
			"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":1,"digest":"` + configDigest(t.Name()) + `"},
			"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":100,"digest":"` + layerDigest(t.Name()) + `"}]}`,
	}
	push(t, ns, "s", "latest", img)
	stored, err := env.Images.ImageV1().Images().Get(t.Context(), img.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID           string `json:"Id"`
		Architecture string
		Size         int
	}
	unmarshal(t, stored.DockerImageMetadata.Raw, &got)
	if got.ID != configDigest(t.Name()) || got.Architecture != "arm64" || got.Size != 100+len(config) {
		t.Errorf("metadata %+v", got)
	}
	if len(stored.DockerImageLayers) != 1 || stored.DockerImageLayers[0].LayerSize != 100 {
		t.Errorf("layers %v", stored.DockerImageLayers)
	}
}

func TestMappingKeepsHistory(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	a, b := plainImage(digestOf(t, "a")), plainImage(digestOf(t, "b"))
	push(t, ns, "s", "latest", a)
	first := getStream(t, ns, "s")

	push(t, ns, "s", "latest", a)
	if again := getStream(t, ns, "s"); again.ResourceVersion != first.ResourceVersion {
		t.Errorf("the same mapping wrote the stream: %v", history(again, "latest"))
	}

	moved := a.DeepCopy()
	moved.DockerImageReference = "registry.example.com/moved:1"
	push(t, ns, "s", "latest", moved)
	wantHistory(t, getStream(t, ns, "s"), "latest", a.Name+" registry.example.com/moved:1 1")
	if stored, err := env.Images.ImageV1().Images().Get(t.Context(), a.Name, metav1.GetOptions{}); err != nil || stored.DockerImageReference != a.DockerImageReference {
		t.Errorf("a mapping changed an image that was there: %q, %v", stored.DockerImageReference, err)
	}

	push(t, ns, "s", "latest", b)
	wantHistory(t, getStream(t, ns, "s"), "latest", b.Name+" "+b.DockerImageReference+" 1", a.Name+" registry.example.com/moved:1 1")
}

func TestMappingOfManagedImageThatExistsRefersToTheStream(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: imagev1.ImageStreamSpec{DockerImageRepository: "registry.example.com/here/s"}}
	if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	img := plainImage(digestOf(t, "a"))
	img.Annotations = map[string]string{"openshift.io/image.managed": "true"}
	push(t, ns, "s", "new", img)
	push(t, ns, "s", "existing", img)
	got := getStream(t, ns, "s")
	wantHistory(t, got, "new", img.Name+" "+img.DockerImageReference+" 1")
	wantHistory(t, got, "existing", img.Name+" registry.example.com/here/s@"+img.Name+" 1")
}

// TestMappingOfSeveralTags: a stream is written as a whole, so all tags of a push are one write.
func TestMappingOfSeveralTags(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	before := makeStream(t, ns, "s")
	changes, err := env.Images.ImageV1().ImageStreams(ns).Watch(t.Context(), metav1.ListOptions{ResourceVersion: before.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	img := plainImage(digestOf(t, "a"))
	further := func(tag, list string) string {
		m := &imagev1.ImageStreamMapping{}
		unmarshal(t, []byte(mapping(t, "s", tag, img)), m)
		m.Annotations = map[string]string{"weir.dev/further-tags": list}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	r := postMapping(t, ns, further("bad", `"b"`), "")
	r.wantStatus(t, 422, metav1.StatusReasonInvalid, "ImageStreamMapping", "s")
	r.wantCauses(t, "FieldValueInvalid metadata.annotations[weir.dev/further-tags]")
	postMapping(t, ns, further("1", `["2","3"]`), "").want(t, http.StatusCreated,
		`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}`)
	change, ok := (<-changes.ResultChan()).Object.(*imagev1.ImageStream)
	if !ok {
		t.Fatal("the watch ended")
	}
	for _, tag := range []string{"1", "2", "3"} {
		wantHistory(t, change, tag, img.Name+" "+img.DockerImageReference+" 1")
	}
	if now := getStream(t, ns, "s"); now.ResourceVersion != change.ResourceVersion || len(now.Status.Tags) != 3 {
		t.Errorf("the stream was written again: %v", now.Status.Tags)
	}
}

func TestMappingTakesFollowersAlong(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
		{Name: "stable", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "latest"}},
	}}}
	if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "latest", img)
	wantHistory(t, getStream(t, ns, "s"), "stable", img.Name+" "+img.DockerImageReference+" 1")
}

func TestMappingDryRunWritesNothing(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	before := makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	if r := postMapping(t, ns, mapping(t, "s", "latest", img), "?dryRun=All"); r.code != http.StatusCreated {
		t.Errorf("answered %d: %s", r.code, r.body)
	}
	if after := getStream(t, ns, "s"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("a dry run wrote the stream: %v", after.Status)
	}
	if _, err := env.Images.ImageV1().Images().Get(t.Context(), img.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a dry run made the image: %v", err)
	}
	postMapping(t, ns, mapping(t, "s", "latest", img), "?dryRun=Some").wantStatus(t, 422, metav1.StatusReasonInvalid, "CreateOptions", "")
}

func TestMappingValidation(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	name := digestOf(t, "a")
	whole := `"image":{"metadata":{"name":"` + name + `"},"dockerImageReference":"a/b"}`
	for what, test := range map[string]struct {
		body   string
		name   string
		causes []string
	}{
		"no name":      {`{` + whole + `,"tag":"t"}`, "", []string{"FieldValueRequired metadata.name", "FieldValueRequired name", "FieldValueRequired dockerImageRepository"}},
		"no tag":       {`{"metadata":{"name":"s"},` + whole + `}`, "s", []string{"FieldValueRequired tag"}},
		"no image":     {`{"metadata":{"name":"s"},"tag":"t"}`, "s", []string{"FieldValueRequired image.metadata.name", "FieldValueRequired image.dockerImageReference"}},
		"no reference": {`{"metadata":{"name":"s"},"image":{"metadata":{"name":"` + name + `"}},"tag":"t"}`, "s", []string{"FieldValueRequired image.dockerImageReference"}},
		"bad reference": {`{"metadata":{"name":"s"},"image":{"metadata":{"name":"` + name + `"},"dockerImageReference":"A B"},"tag":"t"}`, "s",
			[]string{"FieldValueInvalid image.dockerImageReference"}},
	} {
		t.Run(what, func(t *testing.T) {
			r := postMapping(t, ns, test.body, "")
			r.wantStatus(t, 422, metav1.StatusReasonInvalid, "ImageStreamMapping", test.name)
			r.wantCauses(t, test.causes...)
		})
	}
	postMapping(t, ns, `{"metadata":{"name":"s","namespace":"other"},`+whole+`,"tag":"t"}`, "").wantStatus(t, 400, metav1.StatusReasonBadRequest, "", "")
	if s := getStream(t, ns, "s"); len(s.Status.Tags) != 0 {
		t.Errorf("refused mappings wrote %v", s.Status.Tags)
	}
}

// TestRefusedMappingHidesWhetherTheImageExists compares the answers for a digest that others pushed
// with those for an unknown one.
func TestRefusedMappingHidesWhetherTheImageExists(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	known, unknown := storeImage(t, digestOf(t, "known")).Name, digestOf(t, "unknown")
	index := `{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"` + known + `\",\"size\":1}]}`
	for name, image := range map[string]string{
		"a list without platforms": `"dockerImageReference":"a/b","dockerImageManifestMediaType":"application/vnd.oci.image.index.v1+json","dockerImageManifest":"` + index + `"`,
		"no reference":             `"dockerImageManifestMediaType":"a/b"`,
		"foreign metadata":         `"dockerImageReference":"a/b","dockerImageMetadataVersion":"9"`,
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(digest string) string {
				body := `{"metadata":{"name":"s"},"tag":"t","image":{"metadata":{"name":"` + digest + `"},` + image + `}}`
				r := postMapping(t, ns, body, "")
				if r.code < 400 || r.code > 499 {
					t.Errorf("answered %d: %s", r.code, r.body)
				}
				return strings.ReplaceAll(string(r.body), digest, "DIGEST")
			}
			if diff := cmp.Diff(answer(unknown), answer(known)); diff != "" {
				t.Errorf("answers (-unknown +known):\n%s", diff)
			}
		})
	}
	wantNoImage(t, unknown)
}

func TestMappingTakesAnyTextAsTag(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "not/a tag", img)
	wantHistory(t, getStream(t, ns, "s"), "not/a tag", img.Name+" "+img.DockerImageReference+" 1")
}

// limit makes a limit range and waits until the server goes by it.
func limit(t *testing.T, ns string, kind corev1.LimitType, name corev1.ResourceName, bound string, inForce func() error) {
	t.Helper()
	_, err := env.Kube.CoreV1().LimitRanges(ns).Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "limit"},
		Spec:       corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: kind, Max: corev1.ResourceList{name: resource.MustParse(bound)}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the limit range to be in force", inForce)
}

func TestMappingOfImageThatIsTooLarge(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	large := plainImage(digestOf(t, "large"))
	large.DockerImageMetadata.Raw = []byte(`{"Size":5000}`)
	body := mapping(t, "s", "latest", large)
	limit(t, ns, imagev1.LimitTypeImage, corev1.ResourceStorage, "1Ki", func() error {
		if r := postMapping(t, ns, body, "?dryRun=All"); r.code != http.StatusForbidden {
			return fmt.Errorf("answered %d: %s", r.code, r.body)
		}
		return nil
	})
	postMapping(t, ns, body, "").want(t, http.StatusForbidden, `
		{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Forbidden","code":403,
		 "message":"imagestreammappings.image.openshift.io \"s\" is forbidden: requested usage of storage exceeds the maximum limit per openshift.io/Image (5000 > 1Ki), set by LimitRange limit to 1024 bytes",
		 "details":{"name":"s","group":"image.openshift.io","kind":"imagestreammappings"}}`)
	small := plainImage(digestOf(t, "small"))
	small.DockerImageMetadata.Raw = []byte(`{"Size":1024}`)
	push(t, ns, "s", "latest", small)
}

func TestMappingOfOneImageTooMany(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	a, b := plainImage(digestOf(t, "a")), plainImage(digestOf(t, "b"))
	push(t, ns, "s", "a", a)
	body := mapping(t, "s", "b", b)
	limit(t, ns, imagev1.LimitTypeImageStream, imagev1.ResourceImageStreamImages, "1", func() error {
		if r := postMapping(t, ns, body, "?dryRun=All"); r.code != http.StatusUnprocessableEntity {
			return fmt.Errorf("answered %d: %s", r.code, r.body)
		}
		return nil
	})
	r := postMapping(t, ns, body, "")
	r.wantStatus(t, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
	r.wantCauses(t, "FieldValueForbidden imageStream")
	if marker := "requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream (2 > 1)"; !strings.Contains(r.status(t).Message, marker) {
		t.Errorf("%q does not contain %q", r.status(t).Message, marker)
	}
	if message := r.status(t).Message; !strings.Contains(message, `ImageStream.image.openshift.io "s" is forbidden: `) {
		t.Errorf("%q does not say what is forbidden", message)
	}
	push(t, ns, "s", "same image", a)
}

func TestConcurrentMappingsLoseNothing(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	const writers = 24
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			img := plainImage(digestOf(t, fmt.Sprint(i%8)))
			if r := postMapping(t, ns, mapping(t, "s", fmt.Sprintf("tag-%d", i), img), ""); r.code != http.StatusCreated {
				t.Errorf("mapping %d: %d %s", i, r.code, r.body)
			}
		})
	}
	group.Wait()
	s := getStream(t, ns, "s")
	if len(s.Status.Tags) != writers {
		t.Errorf("%d tags, want %d", len(s.Status.Tags), writers)
	}
	for i := range writers {
		img := plainImage(digestOf(t, fmt.Sprint(i%8)))
		wantHistory(t, s, fmt.Sprintf("tag-%d", i), img.Name+" "+img.DockerImageReference+" 1")
	}
}

func TestConcurrentMappingsOntoOneTag(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	makeStream(t, ns, "s")
	push(t, ns, "s", "latest", plainImage(digestOf(t, "first")))
	const writers = 16
	replies := make([]reply, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			replies[i] = postMapping(t, ns, mapping(t, "s", "latest", plainImage(digestOf(t, fmt.Sprint(i)))), "")
		})
	}
	group.Wait()
	taken := 1
	for _, r := range replies {
		if r.code == http.StatusCreated {
			taken++
			continue
		}
		r.wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagestreammappings", "s")
	}
	if got := history(getStream(t, ns, "s"), "latest"); len(got) != taken {
		t.Errorf("%d mappings were taken and %d are in the history", taken, len(got))
	}
}

func TestMappingIsPostOnly(t *testing.T) {
	ns := env.Namespace(t, "mapping")
	before := makeStream(t, ns, "s")
	body := mapping(t, "s", "latest", plainImage(digestOf(t, "a")))
	path := inNamespace(ns, "imagestreammappings")
	raw(t, env.Config, http.MethodGet, path, "").wantStatus(t, 405, metav1.StatusReasonMethodNotAllowed, "", "")
	if r := raw(t, env.Config, http.MethodGet, path+"/s", ""); r.code != http.StatusNotFound {
		t.Errorf("GET of a name: %d", r.code)
	}
	if r := raw(t, env.Config, http.MethodPost, path, body, "Accept", acceptTable); r.code != http.StatusNotAcceptable {
		t.Errorf("POST for a table alone: %d", r.code)
	}
	wantRefused(t, http.MethodPost, path, body, "imagestreammappings", "")
	if after := getStream(t, ns, "s"); after.ResourceVersion != before.ResourceVersion {
		t.Error("a refused POST wrote")
	}
	raw(t, env.Config, http.MethodPost, path, body, "Accept", acceptPartial).want(t, http.StatusCreated,
		`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}`)
}
