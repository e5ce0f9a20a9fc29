package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"weir.dev/weir/internal/testenv"
)

// written is an object as clients write it again and again.
type written struct {
	path string
	// stored is the path of the object behind it.
	stored string
	// body is the object as a client keeps it, in its own spelling.
	body string
	// field is a JSON pointer into the body, to value.
	field, value string
}

// spellings are those of one stream by people and tools: order of tags, nulls, defaults, and the
// parts that the server fills.
func spellings(host string) map[string]string {
	from := func(tag string) string {
		return fmt.Sprintf(`"name":%q,"reference":true,"from":{"kind":"DockerImage","name":"%s/app:%[1]s"}`, tag, host)
	}
	tags := func(tags ...string) string { return `"spec":{"tags":[{` + strings.Join(tags, "},{") + `}]}` }
	return map[string]string{
		"in order":               tags(from("a"), from("b")),
		"not in order":           tags(from("c"), from("a"), from("b")),
		"annotations null":       tags(from("a") + `,"annotations":null`),
		"annotations empty":      tags(from("a") + `,"annotations":{}`),
		"generation null":        tags(from("a") + `,"generation":null`),
		"defaults spelled out":   tags(from("a") + `,"importPolicy":{"importMode":"Legacy","insecure":false},"referencePolicy":{"type":"Source"}`),
		"policies empty":         tags(from("a") + `,"importPolicy":{},"referencePolicy":{}`),
		"tags null":              `"spec":{"tags":null}`,
		"tags empty":             `"spec":{"tags":[]}`,
		"lookup policy":          `"spec":{"lookupPolicy":{"local":false}}`,
		"an exported status":     tags(from("a")) + `,"status":{"dockerImageRepository":""}`,
		"no spec":                `"spec":{}`,
		"spec null":              `"spec":null`,
		"another status of tags": tags(from("a")) + `,"status":{"dockerImageRepository":"x/y","tags":[{"tag":"b","items":null}]}`,
	}
}

// stillObjects makes one object of each kind that can be written twice.
func stillObjects(t *testing.T, ns string) map[string]written {
	t.Helper()
	objects := map[string]written{}
	number := 0
	for spelling, rest := range spellings("registry.example.com") {
		number++
		name := fmt.Sprintf("s%d", number)
		path := inNamespace(ns, "imagestreams/"+name)
		objects["stream: "+spelling] = written{
			path: path, stored: path,
			body:  `{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{"name":"` + name + `","creationTimestamp":null,"labels":{"l":"m"},"annotations":{"a":"b"}},` + rest + `}`,
			field: "/metadata/labels/l", value: "m",
		}
	}
	name := digestOf(t, "still")
	img := plainImage(name)
	img.TypeMeta = metav1.TypeMeta{APIVersion: "image.openshift.io/v1", Kind: "Image"}
	img.Labels = map[string]string{"l": "m"}
	objects["image"] = written{
		path: groupPath + "/images/" + name, stored: groupPath + "/images/" + name,
		body: encoded(t, img), field: "/metadata/labels/l", value: "m",
	}
	other := digestOf(t, "still, in another spelling")
	objects["image in another spelling"] = written{
		path: groupPath + "/images/" + other, stored: groupPath + "/images/" + other,
		body: `{"apiVersion":"image.openshift.io/v1","kind":"Image","metadata":{"name":"` + other + `","labels":{"l":"m"}},"dockerImageReference":"registry.example.com/x",
			"dockerImageMetadata":{"Size":8,"Architecture":"amd64","Id":"` + name + `","unknown":"dropped","Created":"2026-01-02T03:04:05.678Z"},
			"dockerImageLayers":[{"name":"` + name + `","size":8,"mediaType":"application/vnd.oci.image.layer.v1.tar"}]}`,
		field: "/metadata/labels/l", value: "m",
	}
	list := listImage(digestOf(t, "still list"), name)
	list.TypeMeta = img.TypeMeta
	objects["image of a list"] = written{
		path: groupPath + "/images/" + list.Name, stored: groupPath + "/images/" + list.Name,
		body: encoded(t, list), field: "/dockerImageReference", value: list.DockerImageReference,
	}
	stream := inNamespace(ns, "imagestreams/status")
	objects["status"] = written{
		path: stream + "/status", stored: stream,
		body: `{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{"name":"status"},"status":{"dockerImageRepository":"","tags":[
			{"tag":"b","items":[{"created":"2026-01-02T03:04:05.678Z","dockerImageReference":"registry.example.com/x@` + name + `","image":"` + name + `","generation":1}]},
			{"tag":"a","items":null,"conditions":[{"type":"ImportSuccess","status":"False","lastTransitionTime":"2026-01-02T03:04:05Z","reason":"NotFound","message":"none","generation":1}]}]}}`,
		field: "/status/tags/1/tag", value: "b",
	}
	makeStream(t, ns, "status")
	objects["imagestreamtag"] = written{
		path: streamTags(ns, "/istag:1"), stored: inNamespace(ns, "imagestreams/istag"),
		body: `{"apiVersion":"image.openshift.io/v1","kind":"ImageStreamTag","metadata":{"name":"istag:1","annotations":{"a":"b"}},
			"tag":{"name":"1","annotations":{"a":"b"},"reference":true,"from":{"kind":"DockerImage","name":"registry.example.com/x:1"}}}`,
		field: "/tag/from/name", value: "registry.example.com/x:1",
	}
	objects["imagetag"] = written{
		path: imageTags(ns, "/itag:1"), stored: inNamespace(ns, "imagestreams/itag"),
		body: `{"apiVersion":"image.openshift.io/v1","kind":"ImageTag","metadata":{"name":"itag:1"},
			"spec":{"name":"1","annotations":{"a":"b"},"from":{"kind":"ImageStreamTag","name":"itag:2"}}}`,
		field: "/spec/from/name", value: "itag:2",
	}
	return objects
}

// TestWritesThatChangeNothingWriteNothing writes each object again by every way there is, in
// another second than before: the resourceVersion stays, and a watch sees nothing.
func TestWritesThatChangeNothingWriteNothing(t *testing.T) {
	ns := env.Namespace(t, "still")
	objects := stillObjects(t, ns)
	for name, o := range objects {
		if r := patch(t, o.apply(), applyPatch, o.body); r.code != http.StatusCreated && r.code != http.StatusOK {
			t.Fatalf("%s: apply answered %d: %s", name, r.code, r.body)
		}
	}
	nextSecond(t)
	for name, o := range objects {
		t.Run(name, func(t *testing.T) {
			before := versionOf(t, o.stored)
			events := watchStored(t, o.stored, before)
			for _, way := range o.ways(string(get(t, o.path).body), before) {
				r := raw(t, env.Config, way.method, way.path, way.body, "Content-Type", way.kind)
				if r.code != http.StatusOK {
					t.Errorf("%s: answered %d: %s", way.name, r.code, r.body)
				}
				if got := versionOf(t, o.stored); got != before {
					t.Fatalf("%s: resourceVersion %s, want that of before, %s: %s", way.name, got, before, get(t, o.stored).body)
				}
			}
			sentinel := patch(t, o.stored, mergePatch, `{"metadata":{"labels":{"sentinel":"x"}}}`).wantCode(t, http.StatusOK)
			var object metav1.PartialObjectMetadata
			unmarshal(t, sentinel.body, &object)
			if got := resourceVersionOf(t, <-events.ResultChan()); got != object.ResourceVersion {
				t.Errorf("a watch saw version %s, want that of the next change, %s", got, object.ResourceVersion)
			}
		})
	}
}

func (o written) apply() string { return o.path + "?fieldManager=still&force=true" }

// way is one request that changes nothing.
type way struct{ name, method, kind, path, body string }

// ways are the requests that write the object as it is; read is its JSON of a moment ago.
func (o written) ways(read, version string) []way {
	const applicationJSON = "application/json"
	ways := []way{
		{"apply", http.MethodPatch, applyPatch, o.apply(), o.body},
		{"JSON patch", http.MethodPatch, jsonPatch, o.path, `[{"op":"replace","path":"` + o.field + `","value":"` + o.value + `"}]`},
		{"empty JSON patch", http.MethodPatch, jsonPatch, o.path, `[]`},
		{"merge patch", http.MethodPatch, mergePatch, o.path, o.body},
		{"empty merge patch", http.MethodPatch, mergePatch, o.path, `{}`},
		{"strategic patch", http.MethodPatch, strategicPatch, o.path, o.body},
		{"empty strategic patch", http.MethodPatch, strategicPatch, o.path, `{}`},
		{"PUT of what was written", http.MethodPut, applicationJSON, o.path, versioned(o.body, version)},
	}
	if !strings.Contains(read, `"kind":"Status"`) { // a tag that points to no image cannot be read
		ways = append(ways, way{"PUT of what was read", http.MethodPut, applicationJSON, o.path, read})
	}
	return ways
}

// versioned is a JSON object with a resourceVersion.
func versioned(body, version string) string {
	return strings.Replace(body, `"metadata":{`, `"metadata":{"resourceVersion":"`+version+`",`, 1)
}

// nextSecond waits for another second than the present one: managedFields have no smaller unit.
func nextSecond(t *testing.T) {
	t.Helper()
	now := time.Now().Unix()
	testenv.Eventually(t, "the next second", func() error {
		if time.Now().Unix() == now {
			return errors.New("it is still the same")
		}
		return nil
	})
}

func versionOf(t *testing.T, path string) string {
	t.Helper()
	var object metav1.PartialObjectMetadata
	unmarshal(t, get(t, path).wantCode(t, http.StatusOK).body, &object)
	return object.ResourceVersion
}

func watchStored(t *testing.T, path, version string) watch.Interface {
	t.Helper()
	name := path[strings.LastIndex(path, "/")+1:]
	options := metav1.ListOptions{ResourceVersion: version, FieldSelector: "metadata.name=" + name}
	var events watch.Interface
	var err error
	if strings.Contains(path, "/images/") {
		events, err = env.Images.ImageV1().Images().Watch(t.Context(), options)
	} else {
		ns := strings.Split(strings.TrimPrefix(path, groupPath+"/namespaces/"), "/")[0]
		events, err = env.Images.ImageV1().ImageStreams(ns).Watch(t.Context(), options)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(events.Stop)
	return events
}

func resourceVersionOf(t *testing.T, event watch.Event) string {
	t.Helper()
	switch object := event.Object.(type) {
	case *imagev1.Image:
		return object.ResourceVersion
	case *imagev1.ImageStream:
		return object.ResourceVersion
	}
	t.Fatalf("watched %+v", event)
	return ""
}
