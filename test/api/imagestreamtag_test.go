package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// imageOf is the body of an ImageStreamTag of another image of its stream.
func imageOf(name, image string) string {
	stream, _, _ := strings.Cut(name, ":")
	return fmt.Sprintf(`{"metadata":{"name":%q},"tag":{"from":{"kind":"ImageStreamImage","name":"%s@%s"}}}`, name, stream, image)
}

// generations are those of a stream and of its spec tags, as "name=number".
func generations(s *imagev1.ImageStream) string {
	text := fmt.Sprint(s.Generation)
	for _, tag := range s.Spec.Tags {
		text += fmt.Sprintf(" %s=%d", tag.Name, *tag.Generation)
	}
	return text
}

func TestStreamTagShowsTagAndImage(t *testing.T) {
	ns := env.Namespace(t, "istag")
	makeStream(t, ns, "s")
	annotate(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	img.DockerImageConfig, img.DockerImageManifest = "{}", "{}"
	push(t, ns, "s", "pushed", img)
	body := `{"metadata":{"name":"s:prod","annotations":{"x":"y"}},"tag":{"from":{"kind":"ImageStreamImage","name":"s@` + img.Name + `"},"annotations":{"x":"y"}}}`
	document := `
		{"kind":"ImageStreamTag","apiVersion":"image.openshift.io/v1",
		 "metadata":{"name":"s:prod","namespace":"` + ns + `","uid":"…","resourceVersion":"…","creationTimestamp":"…",
		  "labels":{"l":"m"},"annotations":{"x":"y"}},
		 "tag":{"name":"prod","annotations":{"x":"y"},"from":{"kind":"ImageStreamImage","name":"s@` + img.Name + `"},"generation":2,
		  "importPolicy":{"importMode":"Legacy"},"referencePolicy":{"type":"Source"}},
		 "generation":2,"lookupPolicy":{"local":false},
		 "image":{
		  "metadata":{"name":"` + img.Name + `","uid":"…","resourceVersion":"…","creationTimestamp":"…",
		   "annotations":{"image.openshift.io/dockerLayersOrder":"ascending","x":"y"}},
		  "dockerImageReference":"` + img.DockerImageReference + `",
		  "dockerImageMetadata":{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"` + configDigest(img.Name) + `","Created":null,"ContainerConfig":{}},
		  "dockerImageMetadataVersion":"1.0",
		  "dockerImageManifestMediaType":"application/vnd.docker.distribution.manifest.v2+json",
		  "dockerImageLayers":[{"name":"` + layerDigest(img.Name) + `","size":8,"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip"}]}}`
	post(t, streamTags(ns, ""), body).want(t, http.StatusCreated, document)
	get(t, streamTags(ns, "/s:prod")).want(t, http.StatusOK, document)

	var got imagev1.ImageStreamTag
	unmarshal(t, get(t, streamTags(ns, "/s:prod")).body, &got)
	s := getStream(t, ns, "s")
	if got.UID != s.UID || got.ResourceVersion != s.ResourceVersion {
		t.Errorf("uid %s, resourceVersion %s, want those of the stream: %s, %s", got.UID, got.ResourceVersion, s.UID, s.ResourceVersion)
	}
	var pushed map[string]any
	unmarshal(t, get(t, streamTags(ns, "/s:pushed")).body, &pushed)
	if tag, present := pushed["tag"]; !present || tag != nil {
		t.Errorf("a tag without spec shows %v, want null", tag)
	}
}

func TestStreamTagNotFound(t *testing.T) {
	ns := env.Namespace(t, "istag")
	makeStream(t, ns, "s")
	gone := digestOf(t, "gone")
	push(t, ns, "s", "gone", plainImage(gone))
	if err := env.Images.ImageV1().Images().Delete(t.Context(), gone, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	put(t, streamTags(ns, "/s:ref"), referenceTag("s:ref", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)

	get(t, streamTags(ns, "/nope:latest")).want(t, http.StatusNotFound, `
		{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
		 "message":"imagestreamtags.image.openshift.io \"nope\" not found","reason":"NotFound",
		 "details":{"name":"nope","group":"image.openshift.io","kind":"imagestreamtags"},"code":404}`)
	for _, name := range []string{"s:latest", "s:ref"} {
		get(t, streamTags(ns, "/"+name)).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagestreamtags", name)
	}
	get(t, streamTags(ns, "/s:gone")).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagestreamtags", gone)
	for _, name := range []string{"s", "s:", ":t", "s:t:u", "s@x:t", "s:t@x"} {
		for _, path := range []string{streamTags(ns, "/"+name), imageTags(ns, "/"+name)} {
			r := get(t, path)
			if s := r.status(t); r.code != http.StatusBadRequest || s.Details != nil {
				t.Errorf("GET %s answered %d: %s", path, r.code, r.body)
			}
		}
	}
	if r := del(t, streamTags(ns, "/s")); r.code != http.StatusBadRequest {
		t.Errorf("DELETE of a name without tag answered %d: %s", r.code, r.body)
	}
}

func TestStreamTagCreate(t *testing.T) {
	ns := env.Namespace(t, "istag")
	t.Run("makes the stream", func(t *testing.T) {
		post(t, streamTags(ns, ""), referenceTag("made:1", "registry.example.com/x:1", `,"labels":{"a":"b"},"annotations":{"a":"b"}`)).wantCode(t, http.StatusCreated)
		s := getStream(t, ns, "made")
		if len(s.Labels)+len(s.Annotations)+len(s.ManagedFields) != 0 || s.Spec.Tags[0].Annotations != nil {
			t.Errorf("metadata of the tag went elsewhere: %v, tag %v", s.ObjectMeta, s.Spec.Tags[0])
		}
		wantHistory(t, s, "1", " registry.example.com/x:1 1")
	})
	t.Run("without a tag makes the stream alone", func(t *testing.T) {
		post(t, streamTags(ns, ""), `{"metadata":{"name":"bare:1"}}`).want(t, http.StatusCreated, `
			{"kind":"ImageStreamTag","apiVersion":"image.openshift.io/v1",
			 "metadata":{"name":"bare:1","namespace":"`+ns+`","uid":"…","resourceVersion":"…","creationTimestamp":"…"},
			 "tag":null,"generation":0,"lookupPolicy":{"local":false},
			 "image":{"metadata":{},"dockerImageMetadata":{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"","Created":null,"ContainerConfig":{}},"dockerImageMetadataVersion":"1.0"}}`)
		if s := getStream(t, ns, "bare"); len(s.Spec.Tags) != 0 {
			t.Errorf("spec tags %v", s.Spec.Tags)
		}
	})
	t.Run("refuses a tag that is there", func(t *testing.T) {
		body := referenceTag("taken:1", "registry.example.com/x:1", "")
		post(t, streamTags(ns, ""), body).wantCode(t, http.StatusCreated)
		post(t, streamTags(ns, ""), body).wantStatus(t, http.StatusConflict, metav1.StatusReasonAlreadyExists, "imagestreamtag", "taken:1")
		post(t, imageTags(ns, ""), `{"metadata":{"name":"taken:1"},"spec":{}}`).wantStatus(t, http.StatusConflict, metav1.StatusReasonAlreadyExists, "imagetags", "taken:1")
	})
	t.Run("takes over a tag that was pushed", func(t *testing.T) {
		makeStream(t, ns, "pushed")
		push(t, ns, "pushed", "1", plainImage(digestOf(t, "a")))
		post(t, streamTags(ns, ""), `{"metadata":{"name":"pushed:1"},"tag":{}}`).wantCode(t, http.StatusCreated)
	})
	t.Run("ignores name, conditions and image of the body", func(t *testing.T) {
		body := `{"metadata":{"name":"named:1","uid":"x","generation":9},"tag":{"name":"other"},"conditions":[{"type":"x"}],"image":{"metadata":{"name":"x"}}}`
		post(t, streamTags(ns, ""), body).wantCode(t, http.StatusCreated)
		if s := getStream(t, ns, "named"); specTagOf(s, "1") == nil || len(s.Status.Tags) != 0 {
			t.Errorf("made %v, %v", s.Spec.Tags, s.Status.Tags)
		}
	})
}

func TestStreamTagCreateRefuses(t *testing.T) {
	ns := env.Namespace(t, "istag")
	tag := `"tag":{"from":{"kind":"DockerImage","name":"registry.example.com/x:1"},"reference":true}`
	for name, test := range map[string]struct {
		body   string
		kind   string
		object string
		causes []string
	}{
		"no colon":            {`{"metadata":{"name":"s"},` + tag + `}`, "ImageStreamTag", "s", []string{"FieldValueInvalid metadata.name"}},
		"no name":             {`{` + tag + `}`, "ImageStreamTag", "", []string{"FieldValueRequired metadata.name", "FieldValueInvalid metadata.name"}},
		"slash":               {`{"metadata":{"name":"s:a/b"},` + tag + `}`, "ImageStreamTag", "s:a/b", []string{"FieldValueInvalid metadata.name"}},
		"more colons":         {`{"metadata":{"name":"s:a:b"},` + tag + `}`, "ImageStream", "s", []string{"FieldValueInvalid spec.tags[a:b].name"}},
		"no tag name":         {`{"metadata":{"name":"s:-a"},` + tag + `}`, "ImageStream", "s", []string{"FieldValueInvalid spec.tags[-a].name"}},
		"no stream name":      {`{"metadata":{"name":"S:a"},` + tag + `}`, "ImageStream", "S", []string{"FieldValueInvalid metadata.name"}},
		"other annotations":   {`{"metadata":{"name":"s:a","annotations":{"a":"b"}},"tag":{"annotations":{"a":"c"}}}`, "ImageStreamTag", "s:a", []string{"FieldValueInvalid tag.annotations"}},
		"bad kind":            {`{"metadata":{"name":"s:a"},"tag":{"from":{"kind":"Pod","name":"x"}}}`, "ImageStreamTag", "s:a", []string{"FieldValueRequired tag.from.kind"}},
		"no source":           {`{"metadata":{"name":"s:a"},"tag":{"from":{"kind":"DockerImage"}}}`, "ImageStreamTag", "s:a", []string{"FieldValueRequired tag.from.name"}},
		"bad policy":          {`{"metadata":{"name":"s:a"},"tag":{"referencePolicy":{"type":"x"}}}`, "ImageStreamTag", "s:a", []string{"FieldValueInvalid tag.referencePolicy.type"}},
		"source that is gone": {`{"metadata":{"name":"s:a"},"tag":{"from":{"kind":"ImageStreamTag","name":"nope:1"}}}`, "ImageStream", "s", []string{"InternalError []"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(t, streamTags(ns, ""), test.body)
			r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, test.kind, test.object)
			r.wantCauses(t, test.causes...)
		})
	}
	for _, name := range []string{":a", "s:"} {
		if r := post(t, streamTags(ns, ""), `{"metadata":{"name":"`+name+`"},`+tag+`}`); r.code != http.StatusBadRequest {
			t.Errorf("name %q: answered %d: %s", name, r.code, r.body)
		}
	}
	wantNoStream(t, ns, "s")
}

func TestStreamTagFromAnotherNamespaceNeedsTheRightToPull(t *testing.T) {
	ns, other := env.Namespace(t, "istag"), env.Namespace(t, "istag")
	makeStream(t, other, "src")
	push(t, other, "src", "1", plainImage(digestOf(t, "a")))
	grant(t, ns, "tagger", []string{"imagestreamtags"}, "create", "update", "get")
	body := `{"metadata":{"name":"s:1"},"tag":{"from":{"kind":"ImageStreamTag","namespace":"` + other + `","name":"src:1"}}}`
	for method, path := range map[string]string{http.MethodPost: streamTags(ns, ""), http.MethodPut: streamTags(ns, "/s:1")} {
		r := raw(t, env.As("tagger"), method, path, body)
		r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageStream", "s")
		if want := "spec.tags[1].from: Forbidden: " + other + "/src"; !strings.Contains(r.status(t).Message, want) {
			t.Errorf("%s: message %q lacks %q", method, r.status(t).Message, want)
		}
	}
	wantNoStream(t, ns, "s")
	put(t, streamTags(ns, "/s:1"), body).wantCode(t, http.StatusCreated)
}

// TestTaggingTwice does what oc tag does: PUT without resourceVersion and
// annotations.
func TestTaggingTwice(t *testing.T) {
	ns := env.Namespace(t, "istag")
	makeStream(t, ns, "s")
	a, b := plainImage(digestOf(t, "a")), plainImage(digestOf(t, "b"))
	push(t, ns, "s", "in", a)
	push(t, ns, "s", "in", b)
	path := streamTags(ns, "/s:prod")
	for _, step := range []struct {
		what, body  string
		code        int
		generations string
	}{
		{"an image", imageOf("s:prod", a.Name), http.StatusCreated, "2 prod=2"},
		{"the same image", imageOf("s:prod", a.Name), http.StatusOK, "2 prod=2"},
		{"another image", imageOf("s:prod", b.Name), http.StatusOK, "3 prod=3"},
		{"another policy", strings.Replace(imageOf("s:prod", b.Name), `"tag":{`, `"tag":{"referencePolicy":{"type":"Local"},`, 1), http.StatusOK, "4 prod=3"},
		{"generation 0", strings.Replace(imageOf("s:prod", b.Name), `"tag":{`, `"tag":{"generation":0,`, 1), http.StatusOK, "5 prod=5"},
	} {
		if r := put(t, path, step.body); r.code != step.code {
			t.Errorf("%s: answered %d, want %d: %s", step.what, r.code, step.code, r.body)
		}
		if got := generations(getStream(t, ns, "s")); got != step.generations {
			t.Errorf("%s: generations %q, want %q", step.what, got, step.generations)
		}
	}
	wantHistory(t, getStream(t, ns, "s"), "prod", b.Name+" "+b.DockerImageReference+" 3", a.Name+" "+a.DockerImageReference+" 2")
}

func TestTrackingTagFollows(t *testing.T) {
	ns := env.Namespace(t, "istag")
	makeStream(t, ns, "s")
	a, b := plainImage(digestOf(t, "a")), plainImage(digestOf(t, "b"))
	push(t, ns, "s", "in", a)
	push(t, ns, "s", "in", b)
	put(t, streamTags(ns, "/s:follows"), `{"metadata":{"name":"s:follows"},"tag":{"from":{"kind":"ImageStreamTag","name":"leads"}}}`).wantCode(t, http.StatusCreated)
	for _, image := range []string{a.Name, b.Name} {
		put(t, streamTags(ns, "/s:leads"), imageOf("s:leads", image))
		var got imagev1.ImageStreamTag
		unmarshal(t, get(t, streamTags(ns, "/s:follows")).wantCode(t, http.StatusOK).body, &got)
		if got.Image.Name != image {
			t.Errorf("points to %s, want %s", got.Image.Name, image)
		}
	}
}

func TestStreamTagUpdateOfAnnotations(t *testing.T) {
	ns := env.Namespace(t, "istag")
	path := streamTags(ns, "/s:1")
	annotations := func() map[string]string { return specTagOf(getStream(t, ns, "s"), "1").Annotations }
	check := func(what string, want map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, annotations()); diff != "" {
			t.Errorf("%s: annotations (-want +got):\n%s", what, diff)
		}
	}
	put(t, path, referenceTag("s:1", "registry.example.com/x:1", `,"annotations":{"a":"b"}`)).wantCode(t, http.StatusCreated)
	check("made by PUT", map[string]string{"a": "b"})
	put(t, path, `{"metadata":{"name":"s:1","annotations":{"c":"d"}}}`).wantCode(t, http.StatusOK)
	check("PUT without tag", map[string]string{"c": "d"})
	if from := specTagOf(getStream(t, ns, "s"), "1").From; from == nil || from.Name != "registry.example.com/x:1" {
		t.Errorf("PUT without tag lost the tag: %v", from)
	}
	patch(t, path, mergePatch, `{"metadata":{"annotations":{"e":"f"}}}`).wantCode(t, http.StatusOK)
	check("PATCH", map[string]string{"c": "d", "e": "f"})
	r := patch(t, path, mergePatch, `{"tag":{"annotations":{"only":"here"}}}`)
	r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageStreamTag", "s:1")
	r.wantCauses(t, "FieldValueInvalid tag.annotations")
	put(t, path, referenceTag("s:1", "registry.example.com/x:1", "")).wantCode(t, http.StatusOK)
	check("PUT without annotations", nil)
}

func TestStreamTagUpdateRefuses(t *testing.T) {
	ns := env.Namespace(t, "istag")
	s := makeStream(t, ns, "s")
	push(t, ns, "s", "pushed", plainImage(digestOf(t, "a")))
	body := func(metadata string) string { return referenceTag("s:1", "registry.example.com/x:1", metadata) }
	path := streamTags(ns, "/s:1")
	put(t, path, body(`,"labels":{"a":"b"}`)).wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageStreamTag", "s:1")
	put(t, path, body(`,"labels":{"a":"b"}`)).wantCauses(t, "FieldValueInvalid metadata")
	put(t, path, body(`,"finalizers":["a/b"]`)).wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageStreamTag", "s:1")
	put(t, path, body(`,"resourceVersion":"`+s.ResourceVersion+`"`)).wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagestreamtags", "s:1")
	put(t, path, body(`,"uid":"x"`)).wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagestreamtags", "s:1")
	put(t, streamTags(ns, "/new:1"), referenceTag("new:1", "registry.example.com/x:1", `,"resourceVersion":"1"`)).
		wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagestreamtags", "new:1")
	put(t, streamTags(ns, "/new:1"), referenceTag("new:1", "registry.example.com/x:1", `,"uid":"x"`)).
		wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagestreamtags", "new:1")
	for _, name := range []string{"new:1", "s:1", "s:pushed"} {
		if r := put(t, streamTags(ns, "/"+name), `{"metadata":{"name":"`+name+`"}}`); r.code != http.StatusBadRequest {
			t.Errorf("PUT of %s without tag answered %d: %s", name, r.code, r.body)
		}
	}
	wantNoStream(t, ns, "new")
	if now := getStream(t, ns, "s"); len(now.Spec.Tags) != 0 {
		t.Errorf("spec tags %v", now.Spec.Tags)
	}
	patch(t, streamTags(ns, "/s:pushed"), mergePatch, `{"metadata":{"uid":"x"},"tag":{}}`).
		wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageStreamTag", "s:pushed")
	annotate(t, ns, "s")
	put(t, path, body(`,"labels":{"l":"m"},"resourceVersion":"`+getStream(t, ns, "s").ResourceVersion+`"`)).wantCode(t, http.StatusCreated)
}

func TestStreamTagPatches(t *testing.T) {
	ns := env.Namespace(t, "istag")
	ref := `{"from":{"kind":"DockerImage","name":"registry.example.com/x:1"},"reference":true}`
	patch(t, streamTags(ns, "/s:merge"), mergePatch, `{"tag":`+ref+`}`).wantCode(t, http.StatusCreated)
	patch(t, streamTags(ns, "/s:strategic"), strategicPatch, `{"tag":`+ref+`}`).wantCode(t, http.StatusCreated)
	patch(t, streamTags(ns, "/s:json"), jsonPatch, `[{"op":"replace","path":"/tag","value":`+ref+`}]`).wantCode(t, http.StatusCreated)
	patch(t, streamTags(ns, "/s:merge"), mergePatch, `{"tag":{"importPolicy":{"insecure":true}}}`).wantCode(t, http.StatusOK)
	patch(t, streamTags(ns, "/s:strategic"), strategicPatch, `{"tag":{"importPolicy":{"insecure":true}}}`).wantCode(t, http.StatusOK)
	patch(t, streamTags(ns, "/s:json"), jsonPatch, `[{"op":"test","path":"/tag/reference","value":true},{"op":"add","path":"/tag/importPolicy/insecure","value":true}]`).wantCode(t, http.StatusOK)
	s := getStream(t, ns, "s")
	for _, tag := range []string{"merge", "strategic", "json"} {
		if got := specTagOf(s, tag); got == nil || !got.ImportPolicy.Insecure || !got.Reference || got.From.Name != "registry.example.com/x:1" {
			t.Errorf("%s: %+v", tag, got)
		}
	}
	if len(s.ManagedFields) != 0 {
		t.Errorf("managedFields of the tag came to the stream: %v", s.ManagedFields)
	}
	r := patch(t, streamTags(ns, "/s:json"), jsonPatch, `[{"op":"test","path":"/tag/reference","value":false}]`)
	r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "", "")
	r.wantCauses(t)
	stale := fmt.Sprintf(`{"metadata":{"resourceVersion":"1"},"tag":%s}`, ref)
	patch(t, streamTags(ns, "/s:merge"), mergePatch, stale).wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagestreamtags", "s:merge")
	patch(t, streamTags(ns, "/new:merge"), mergePatch, stale).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagestreamtags", "new:merge")
}

func TestStreamTagTable(t *testing.T) {
	ns := env.Namespace(t, "istag")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "1", img)
	for _, path := range []string{streamTags(ns, ""), streamTags(ns, "/s:1")} {
		got := getTable(t, path)
		var columns []string
		for _, c := range got.ColumnDefinitions {
			columns = append(columns, c.Name)
		}
		if diff := cmp.Diff([]string{"Name", "Image Reference", "Updated", "Image Name"}, columns); diff != "" {
			t.Errorf("columns (-want +got):\n%s", diff)
		}
		if len(got.Rows) != 1 || got.Rows[0].Cells[0] != "s:1" || got.Rows[0].Cells[1] != img.DockerImageReference || got.Rows[0].Cells[3] != img.Name || got.Metadata.ResourceVersion == "" {
			t.Errorf("table %+v", got)
		}
	}
	r := raw(t, env.Config, http.MethodGet, streamTags(ns, "/s:1"), "", "Accept", acceptPartial)
	var partial metav1.PartialObjectMetadata
	unmarshal(t, r.wantCode(t, http.StatusOK).body, &partial)
	if partial.Kind != "PartialObjectMetadata" || partial.Name != "s:1" {
		t.Errorf("answered %s", r.body)
	}
}
