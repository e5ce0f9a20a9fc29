package api_test

import (
	"net/http"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// TestErrorsSayWhatToDo looks at the words of answers that users met and could not use.
func TestErrorsSayWhatToDo(t *testing.T) {
	ns := env.Namespace(t, "wording")
	makeStream(t, ns, "s")
	list := storeImageOf(t, listImage(digestOf(t, "list"), digestOf(t, "part")))
	for name, test := range map[string]struct {
		method, path, body string
		want               string
	}{
		"import of nothing": {http.MethodPost, inNamespace(ns, "imagestreamimports"), `{"metadata":{"name":"s"},"spec":{"import":true}}`,
			`spec.images: Invalid value: []: images or a repository must be given`},
		"layers of a list": {http.MethodPost, groupPath + "/images", strings.Replace(encoded(t, list), `"dockerImageManifests"`, `"dockerImageLayers":[{"name":"layer","size":1,"mediaType":"a/b"}],"dockerImageManifests"`, 1),
			`dockerImageLayers: Invalid value: "layer": must be empty`},
		"capital letters": {http.MethodPost, inNamespace(ns, "imagestreams"), `{"metadata":{"name":"x"},"spec":{"tags":[{"name":"1","from":{"kind":"DockerImage","name":"quay.io/Org/app"}}]}}`,
			`spec.tags[1].from.name: Invalid value: "quay.io/Org/app": not a valid pull spec: the repository has capital letters`},
		"a repository with a tag": {http.MethodPost, inNamespace(ns, "imagestreams"), `{"metadata":{"name":"x"},"spec":{"dockerImageRepository":"quay.io/org/app:1"}}`,
			`spec.dockerImageRepository: Invalid value: "quay.io/org/app:1": not a repository: it must not have a tag or digest`},
		"apiVersion of old templates": {http.MethodPost, inNamespace(ns, "imagestreams"), `{"apiVersion":"v1","kind":"ImageStream","metadata":{"name":"x"}}`,
			`use apiVersion: image.openshift.io/v1`},
		"apiVersion of old tags": {http.MethodPut, streamTags(ns, "/s:1"), `{"apiVersion":"v1","kind":"ImageStreamTag","metadata":{"name":"s:1"}}`,
			`use apiVersion: image.openshift.io/v1`},
		"labels of a tag": {http.MethodPut, streamTags(ns, "/s:1"), `{"metadata":{"name":"s:1","labels":{"a":"b"}},"tag":{"reference":true}}`,
			`metadata: Invalid value: ["labels"]: must not be changed: of an ImageStreamTag only annotations and tag can be`},
		"two kinds of annotations": {http.MethodPut, streamTags(ns, "/s:1"), `{"metadata":{"name":"s:1","annotations":{"a":"b"}},"tag":{"annotations":{"c":"d"}}}`,
			`tag.annotations: Invalid value: {"c":"d"}: must be equal to metadata.annotations`},
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, env.Config, test.method, test.path, test.body)
			if message := r.status(t).Message; !strings.Contains(message, test.want) {
				t.Errorf("answered %d %q, want it to say %q", r.code, message, test.want)
			}
		})
	}
}

// TestTagWithoutANameInFrom compares the causes for each kind that a tag can come from.
func TestTagWithoutANameInFrom(t *testing.T) {
	ns := env.Namespace(t, "wording")
	for kind, causes := range map[string][]string{
		"ImageStreamTag":   {"FieldValueRequired spec.tags[t].from.name"},
		"ImageStreamImage": {"FieldValueRequired spec.tags[t].from.name"},
		"DockerImage":      {"FieldValueRequired spec.tags[t].from.name", "InternalError []"},
	} {
		t.Run(kind, func(t *testing.T) {
			body := `{"metadata":{"name":"x"},"spec":{"tags":[{"name":"t","from":{"kind":"` + kind + `","name":""}}]}}`
			r := post(t, inNamespace(ns, "imagestreams"), body).wantCode(t, http.StatusUnprocessableEntity)
			r.wantCauses(t, causes...)
		})
	}
}

// TestReferenceTagShowsNoImage writes tags that merely refer to an image: they have a history, and
// as imagestreamtags neither an image nor a generation.
func TestReferenceTagShowsNoImage(t *testing.T) {
	ns := env.Namespace(t, "wording")
	makeStream(t, ns, "s")
	for name, r := range map[string]reply{
		"POST": post(t, streamTags(ns, ""), referenceTag("s:a", "registry.example.com/x:1", "")),
		"PUT":  put(t, streamTags(ns, "/s:b"), referenceTag("s:b", "registry.example.com/x:1", "")),
	} {
		var tag imagev1.ImageStreamTag
		unmarshal(t, r.wantCode(t, http.StatusCreated).body, &tag)
		if tag.Generation != 0 || tag.Image.Name != "" || tag.Image.DockerImageReference != "" || tag.CreationTimestamp != getStream(t, ns, "s").CreationTimestamp {
			t.Errorf("%s answered %s", name, r.body)
		}
	}
}

// TestImageTagShowsTheImagesOwnAnnotations compares the two views of a tag with annotations.
func TestImageTagShowsTheImagesOwnAnnotations(t *testing.T) {
	ns := env.Namespace(t, "wording")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "annotated"))
	push(t, ns, "s", "pushed", img)
	post(t, streamTags(ns, ""), `{"metadata":{"name":"s:t","annotations":{"of":"tag"}},"tag":{"annotations":{"of":"tag"},"from":{"kind":"ImageStreamImage","name":"s@`+img.Name+`"}}}`).wantCode(t, http.StatusCreated)
	var tag imagev1.ImageTag
	unmarshal(t, get(t, imageTags(ns, "/s:t")).body, &tag)
	if _, overlaid := tag.Image.Annotations["of"]; overlaid {
		t.Errorf("the image of an imagetag has the annotations of the tag: %v", tag.Image.Annotations)
	}
	var view imagev1.ImageStreamTag
	unmarshal(t, get(t, streamTags(ns, "/s:t")).body, &view)
	if view.Image.Annotations["of"] != "tag" {
		t.Errorf("the image of an imagestreamtag lacks the annotations of the tag: %v", view.Image.Annotations)
	}
}
