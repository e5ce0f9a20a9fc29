package contract_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// TestAnswerToImport is example A2 of the contract: the whole answer to an import of
// an image whose Image existed, one that is missing, and one that needs a login.
func TestAnswerToImport(t *testing.T) {
	t.Parallel()
	ns, q, locked := env.Namespace(t, "answer"), testenv.NewRegistry(t), testenv.NewRegistry(t)
	img := testimage.Image(t, "linux/amd64")
	d1 := q.Push(t, "x:1", img)
	locked.DemandBasic(nil, testenv.Everybody)
	post(t, ns, importing("earlier", image(q.Ref("x:1"), "a")))
	stored, err := env.Images.ImageV1().Images().Get(t.Context(), d1, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}

	body := asJSON(t, importing("s", image(q.Ref("x:1"), "a"), image(q.Ref("x:nope"), "b"), image(locked.Ref("s/c:1"), "c")))
	answer, err := env.Images.ImageV1().RESTClient().Post().Namespace(ns).Resource("imagestreamimports").
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body([]byte(body)).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if contains(string(answer), string(stored.UID)) {
		t.Error("the answer has the uid of the stored Image")
	}
	var got any
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatal(err)
	}
	blank(got)
	spec := func(from, to string) string {
		return fmt.Sprintf(`{"from":{"kind":"DockerImage","name":%q},"to":{"name":%q},"importPolicy":{"insecure":true,"importMode":"Legacy"},"referencePolicy":{"type":"Source"}}`, from, to)
	}
	tag := func(name, from string) string {
		return fmt.Sprintf(`{"name":%q,"annotations":null,"from":{"kind":"DockerImage","name":%q},"generation":1,"importPolicy":{"insecure":true,"importMode":"Legacy"},"referencePolicy":{"type":"Source"}}`, name, from)
	}
	failed := func(tag, reason, message string) string {
		return fmt.Sprintf(`{"tag":%q,"items":null,"conditions":[{"type":"ImportSuccess","status":"False","lastTransitionTime":"…","reason":%q,"message":%q,"generation":1}]}`, tag, reason, message)
	}
	missing := fmt.Sprintf(`dockerimage.image.openshift.io "%s" not found`, q.Ref("x:nope"))
	refusal := fmt.Sprintf(`you may not have access to the container image "%s"`, locked.Ref("s/c:1"))
	want := `{"kind":"ImageStreamImport","apiVersion":"image.openshift.io/v1",
	 "metadata":{"name":"s","namespace":"` + ns + `","uid":"…","creationTimestamp":"…"},
	 "spec":{"import":true,"images":[` + spec(q.Ref("x:1"), "a") + `,` + spec(q.Ref("x:nope"), "b") + `,` + spec(locked.Ref("s/c:1"), "c") + `]},
	 "status":{
	  "import":{
	   "metadata":{"name":"s","namespace":"` + ns + `","uid":"…","resourceVersion":"…","generation":1,"creationTimestamp":"…","annotations":{"openshift.io/image.dockerRepositoryCheck":"…"}},
	   "spec":{"lookupPolicy":{"local":false},"tags":[` + tag("a", q.Ref("x:1")) + `,` + tag("b", q.Ref("x:nope")) + `,` + tag("c", locked.Ref("s/c:1")) + `]},
	   "status":{"dockerImageRepository":"` + internalHost + `/` + ns + `/s","publicDockerImageRepository":"` + externalHost + `/` + ns + `/s","tags":[
	    {"tag":"a","items":[{"created":"…","dockerImageReference":"` + q.Ref("x@"+d1) + `","image":"` + d1 + `","generation":1}]},
	    ` + failed("b", "NotFound", missing) + `,` + failed("c", "Unauthorized", refusal) + `]}},
	  "images":[
	   {"status":{"metadata":{},"status":"Success"},"image":` + wantImage(t, img, q.Ref("x@"+d1)) + `,"tag":"1"},
	   {"status":{"metadata":{},"status":"Failure","message":` + quote(missing) + `,"reason":"NotFound","details":{"name":` + quote(q.Ref("x:nope")) + `,"group":"image.openshift.io","kind":"dockerimage"},"code":404},"tag":"nope"},
	   {"status":{"metadata":{},"status":"Failure","message":` + quote(refusal) + `,"reason":"Unauthorized","code":401},"tag":"1"}]}}`
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// wantImage is the Image of testenv.Image as imports show it, in JSON.
func wantImage(t *testing.T, img v1.Image, ref string) string {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	size := manifest.Config.Size
	var layers []string
	for _, l := range manifest.Layers {
		size += l.Size
		layers = append(layers, fmt.Sprintf(`{"name":%q,"size":%d,"mediaType":%q}`, l.Digest, l.Size, l.MediaType))
	}
	created, err := config.Created.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if config.Created.IsZero() {
		created = []byte("null")
	}
	return fmt.Sprintf(`{"metadata":{"name":%q,"uid":"…","creationTimestamp":"…","annotations":{"image.openshift.io/dockerLayersOrder":"ascending"}},
		"dockerImageReference":%q,
		"dockerImageMetadata":{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":%q,"Created":%s,"ContainerConfig":{},"Config":{"Env":["T=ok"]},"Architecture":%q,"Size":%d},
		"dockerImageMetadataVersion":"1.0","dockerImageLayers":[%s],"dockerImageManifestMediaType":%q}`,
		testimage.Digest(t, img), ref, manifest.Config.Digest, created, config.Architecture, size, strings.Join(layers, ","), manifest.MediaType)
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// blank puts "…" where no test can know what stands there.
func blank(document any) {
	switch d := document.(type) {
	case map[string]any:
		delete(d, "managedFields")
		for key, value := range d {
			_, text := value.(string)
			switch key {
			case "uid", "resourceVersion", "creationTimestamp", "lastTransitionTime", "created", "openshift.io/image.dockerRepositoryCheck":
				if text {
					d[key] = "…"
				}
			}
			blank(value)
		}
	case []any:
		for _, value := range d {
			blank(value)
		}
	}
}

func contains(text, part string) bool { return strings.Contains(text, part) }
