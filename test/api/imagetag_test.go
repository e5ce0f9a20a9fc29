package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func getImageTag(t *testing.T, ns, name string) imagev1.ImageTag {
	t.Helper()
	var got imagev1.ImageTag
	unmarshal(t, get(t, imageTags(ns, "/"+name)).wantCode(t, http.StatusOK).body, &got)
	return got
}

// makeManagedStream makes a stream with a label and an annotation, as a client that
// the server keeps managedFields for.
func makeManagedStream(t *testing.T, ns, name string) *imagev1.ImageStream {
	t.Helper()
	body := `{"metadata":{"name":"` + name + `","labels":{"l":"m"},"annotations":{"a":"b"}}}`
	post(t, inNamespace(ns, "imagestreams"), body).wantCode(t, http.StatusCreated)
	s := getStream(t, ns, name)
	if len(s.ManagedFields) == 0 {
		t.Fatal("no managedFields are kept for the stream")
	}
	return s
}

func encoded(t *testing.T, object any) string {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestImageTagShowsAllThatTheStreamHasOfIt(t *testing.T) {
	ns := env.Namespace(t, "itag")
	makeManagedStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	img.DockerImageConfig, img.DockerImageManifest = "{}", "{}"
	push(t, ns, "s", "1", img)
	get(t, imageTags(ns, "/s:1")).want(t, http.StatusOK, `
		{"kind":"ImageTag","apiVersion":"image.openshift.io/v1",
		 "metadata":{"name":"s:1","namespace":"`+ns+`","uid":"…","resourceVersion":"…","creationTimestamp":"…","generation":1,
		  "labels":{"l":"m"},"annotations":{"a":"b"}},
		 "spec":null,
		 "status":{"tag":"1","items":[{"created":"`+getImageTag(t, ns, "s:1").Status.Items[0].Created.UTC().Format("2006-01-02T15:04:05Z")+`",
		  "dockerImageReference":"`+img.DockerImageReference+`","image":"`+img.Name+`","generation":1}]},
		 "image":{
		  "metadata":{"name":"`+img.Name+`","uid":"…","resourceVersion":"…","creationTimestamp":"…",
		   "annotations":{"image.openshift.io/dockerLayersOrder":"ascending"}},
		  "dockerImageReference":"`+img.DockerImageReference+`",
		  "dockerImageMetadata":{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"`+configDigest(img.Name)+`","Created":null,"ContainerConfig":{}},
		  "dockerImageMetadataVersion":"1.0",
		  "dockerImageManifestMediaType":"application/vnd.docker.distribution.manifest.v2+json",
		  "dockerImageLayers":[{"name":"`+layerDigest(img.Name)+`","size":8,"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip"}]}}`)
	var list imagev1.ImageTagList
	unmarshal(t, get(t, imageTags(ns, "")).body, &list)
	if item := list.Items[0]; item.ManagedFields != nil || item.Image != nil || item.Status == nil || item.Generation != 1 {
		t.Errorf("listed as %+v", item)
	}
	if got, s := getImageTag(t, ns, "s:1"), getStream(t, ns, "s"); got.UID != s.UID || len(got.ManagedFields) != 1 {
		t.Errorf("metadata %+v is not that of the stream", got.ObjectMeta)
	}
}

func TestImageTagOfSpecAlone(t *testing.T) {
	ns := env.Namespace(t, "itag")
	body := `{"metadata":{"name":"s:1"},"spec":{"from":{"kind":"ImageStreamTag","name":"other"}}}`
	document := `
		{"kind":"ImageTag","apiVersion":"image.openshift.io/v1",
		 "metadata":{"name":"s:1","namespace":"` + ns + `","uid":"…","resourceVersion":"…","creationTimestamp":"…","generation":1},
		 "spec":{"name":"1","annotations":null,"from":{"kind":"ImageStreamTag","name":"other"},"generation":1,
		  "importPolicy":{"importMode":"Legacy"},"referencePolicy":{"type":"Source"}},
		 "status":null,"image":null}`
	post(t, imageTags(ns, ""), body).want(t, http.StatusCreated, document)
	get(t, imageTags(ns, "/s:1")).want(t, http.StatusOK, document)
}

func TestImageTagNotFound(t *testing.T) {
	ns := env.Namespace(t, "itag")
	makeStream(t, ns, "s")
	get(t, imageTags(ns, "/nope:1")).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagetags", "nope")
	get(t, imageTags(ns, "/s:1")).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagetags", "s:1")
	put(t, streamTags(ns, "/s:ref"), referenceTag("s:ref", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)
	if got := getImageTag(t, ns, "s:ref"); got.Image != nil || got.Status.Items[0].DockerImageReference != "registry.example.com/x:1" {
		t.Errorf("a reference shows image %v, status %v", got.Image, got.Status)
	}
	gone := digestOf(t, "gone")
	push(t, ns, "s", "gone", plainImage(gone))
	if err := env.Images.ImageV1().Images().Delete(t.Context(), gone, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := getImageTag(t, ns, "s:gone"); got.Image != nil || got.Status == nil {
		t.Errorf("image %v, status %v", got.Image, got.Status)
	}
}

func TestImageTagCreateRefuses(t *testing.T) {
	ns := env.Namespace(t, "itag")
	for name, test := range map[string]struct {
		body   string
		kind   string
		object string
		causes []string
	}{
		"no colon":   {`{"metadata":{"name":"s"},"spec":{"name":"latest"}}`, "ImageTag", "s", []string{"FieldValueInvalid spec.name"}},
		"no spec":    {`{"metadata":{"name":"s:1"}}`, "ImageTag", "s:1", []string{"FieldValueRequired spec"}},
		"other name": {`{"metadata":{"name":"s:1"},"spec":{"name":"2"}}`, "ImageTag", "s:1", []string{"FieldValueInvalid spec.name"}},
		"bad kind":   {`{"metadata":{"name":"s:1"},"spec":{"from":{"kind":"Pod","name":"x"}}}`, "ImageTag", "s:1", []string{"FieldValueRequired spec.from.kind"}},
		"bad tag":    {`{"metadata":{"name":"s:-1"},"spec":{}}`, "ImageStream", "s", []string{"FieldValueInvalid spec.tags[-1].name"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(t, imageTags(ns, ""), test.body)
			r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, test.kind, test.object)
			r.wantCauses(t, test.causes...)
		})
	}
	wantNoStream(t, ns, "s")
}

func TestImageTagUpdate(t *testing.T) {
	ns := env.Namespace(t, "itag")
	s := makeManagedStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "1", img)
	path := imageTags(ns, "/s:1")

	// A spec tag where there was only a status.
	tag := getImageTag(t, ns, "s:1")
	tag.Spec = &imagev1.TagReference{Name: "1", Annotations: map[string]string{"a": "b"}}
	tag.Image = nil
	put(t, path, encoded(t, tag)).wantCode(t, http.StatusCreated)
	if got := specTagOf(getStream(t, ns, "s"), "1"); got == nil || got.Annotations["a"] != "b" {
		t.Errorf("spec tag %+v", got)
	}
	put(t, path, encoded(t, tag)).wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagetags", "s:1")

	// What a PUT leaves out of the metadata is the stream's.
	tag = getImageTag(t, ns, "s:1")
	tag.Labels, tag.Annotations, tag.ManagedFields, tag.Generation = nil, nil, nil, 0
	tag.Spec.Annotations = nil
	put(t, path, encoded(t, tag)).wantCode(t, http.StatusOK)
	now := getStream(t, ns, "s")
	if now.Labels["l"] != "m" || now.Annotations["a"] != "b" || len(now.Annotations) != 1 || now.Generation != s.Generation+2 {
		t.Errorf("the stream became %+v", now.ObjectMeta)
	}

	refused := func(what string, change func(*imagev1.ImageTag), cause string) {
		t.Helper()
		tag := getImageTag(t, ns, "s:1")
		change(&tag)
		r := put(t, path, encoded(t, tag))
		r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageTag", "s:1")
		if r.code == http.StatusUnprocessableEntity {
			r.wantCauses(t, "FieldValueInvalid "+cause)
		}
	}
	refused("labels", func(tag *imagev1.ImageTag) { tag.Labels = map[string]string{"other": "x"} }, "metadata")
	refused("annotations", func(tag *imagev1.ImageTag) { tag.Annotations["other"] = "x" }, "metadata")
	refused("finalizers", func(tag *imagev1.ImageTag) { tag.Finalizers = []string{"example.com/x"} }, "metadata")
	refused("owners", func(tag *imagev1.ImageTag) {
		tag.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Secret", Name: "x", UID: "y"}}
	}, "metadata")
	refused("status", func(tag *imagev1.ImageTag) { tag.Status.Items[0].Generation = 9 }, "status")
	refused("no status", func(tag *imagev1.ImageTag) { tag.Status = nil }, "status")
	refused("spec.name", func(tag *imagev1.ImageTag) { tag.Spec.Name = "2" }, "spec.name")
	refused("no spec.name", func(tag *imagev1.ImageTag) { tag.Spec.Name = "" }, "spec.name")

	// Without a spec, the spec tag goes.
	tag = getImageTag(t, ns, "s:1")
	tag.Spec = nil
	put(t, path, encoded(t, tag)).wantCode(t, http.StatusOK)
	if got := getStream(t, ns, "s"); len(got.Spec.Tags) != 0 || len(got.Status.Tags) != 1 {
		t.Errorf("spec tags %v, status tags %v", got.Spec.Tags, got.Status.Tags)
	}
	put(t, imageTags(ns, "/s:nothing"), `{"metadata":{"name":"s:nothing"}}`).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagetags", "s:nothing")
	put(t, imageTags(ns, "/new:1"), `{"metadata":{"name":"new:1","resourceVersion":"1"},"spec":{"name":"1"}}`).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagetags", "new:1")
	put(t, imageTags(ns, "/new:1"), `{"metadata":{"name":"new:1"},"spec":{"name":"1"}}`).wantCode(t, http.StatusCreated)
}

func TestImageTagPatches(t *testing.T) {
	ns := env.Namespace(t, "itag")
	makeManagedStream(t, ns, "s")
	patch(t, imageTags(ns, "/s:merge"), mergePatch, `{"spec":{"name":"merge"}}`).wantCode(t, http.StatusCreated)
	patch(t, imageTags(ns, "/s:merge"), mergePatch, `{"spec":{"annotations":{"a":"b"}}}`).wantCode(t, http.StatusOK)
	patch(t, imageTags(ns, "/s:strategic"), strategicPatch, `{"spec":{"name":"strategic","annotations":{"a":"b"}}}`).wantCode(t, http.StatusCreated)
	patch(t, imageTags(ns, "/s:json"), jsonPatch, `[{"op":"replace","path":"/spec","value":{"name":"json","annotations":{"a":"b"}}}]`).wantCode(t, http.StatusCreated)
	patch(t, imageTags(ns, "/made:1"), mergePatch, `{"spec":{"name":"1"}}`).wantCode(t, http.StatusCreated)
	apply := `{"apiVersion":"image.openshift.io/v1","kind":"ImageTag","metadata":{"name":"s:apply"},"spec":{"name":"apply","annotations":{"a":"b"}}}`
	for _, code := range []int{http.StatusCreated, http.StatusOK} {
		patch(t, imageTags(ns, "/s:apply")+"?fieldManager=m&force=true", applyPatch, apply).wantCode(t, code)
	}
	s := getStream(t, ns, "s")
	for _, tag := range []string{"merge", "strategic", "json", "apply"} {
		if got := specTagOf(s, tag); got == nil || got.Annotations["a"] != "b" {
			t.Errorf("%s: %+v", tag, got)
		}
	}
	patch(t, imageTags(ns, "/s:merge"), mergePatch, `{"metadata":{"uid":"x"}}`).wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageTag", "s:merge")
	patch(t, imageTags(ns, "/s:merge"), mergePatch, `{"spec":null}`).wantCode(t, http.StatusOK)
	get(t, imageTags(ns, "/s:merge")).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, "imagetags", "s:merge")
}

// TestImageTagMetadataIsTheStreams patches metadata in all ways, of a tag that is there and of a new one.
func TestImageTagMetadataIsTheStreams(t *testing.T) {
	ns := env.Namespace(t, "itag")
	makeManagedStream(t, ns, "s")
	patch(t, imageTags(ns, "/s:1"), mergePatch, `{"spec":{"name":"1"}}`).wantCode(t, http.StatusCreated)
	before := getStream(t, ns, "s")
	for name, test := range map[string]struct{ kind, tag, body string }{
		"label added":          {mergePatch, "1", `{"metadata":{"labels":{"new":"x"}}}`},
		"label removed":        {mergePatch, "1", `{"metadata":{"labels":{"l":null}}}`},
		"labels removed":       {mergePatch, "1", `{"metadata":{"labels":null}}`},
		"annotation changed":   {strategicPatch, "1", `{"metadata":{"annotations":{"a":"x"}}}`},
		"annotations removed":  {jsonPatch, "1", `[{"op":"remove","path":"/metadata/annotations"}]`},
		"finalizer added":      {strategicPatch, "1", `{"metadata":{"finalizers":["example.com/x"]}}`},
		"finalizer added, too": {jsonPatch, "1", `[{"op":"add","path":"/metadata/finalizers","value":["example.com/x"]}]`},
		"owner added":          {mergePatch, "1", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"x","uid":"y"}]}}`},
		"label applied":        {applyPatch, "1", `{"apiVersion":"image.openshift.io/v1","kind":"ImageTag","metadata":{"name":"s:1","labels":{"new":"x"}},"spec":{"name":"1"}}`},
		"label of a new tag":   {mergePatch, "2", `{"metadata":{"labels":{"new":"x"}},"spec":{"name":"2"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := patch(t, imageTags(ns, "/s:"+test.tag)+"?fieldManager=m", test.kind, test.body)
			r.wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "ImageTag", "s:"+test.tag)
			r.wantCauses(t, "FieldValueInvalid metadata")
		})
	}
	for name, body := range map[string]string{
		"managedFields": `{"metadata":{"managedFields":[]}}`,
		"generation":    `{"metadata":{"generation":99}}`,
	} {
		if r := patch(t, imageTags(ns, "/s:1"), mergePatch, body); r.code != http.StatusOK {
			t.Errorf("%s: answered %d: %s", name, r.code, r.body)
		}
	}
	if after := getStream(t, ns, "s"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the stream was written: %v", after)
	}
}

func TestImageTagTable(t *testing.T) {
	ns := env.Namespace(t, "itag")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "1", img)
	put(t, streamTags(ns, "/s:2"), referenceTag("s:2", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)
	got := getTable(t, imageTags(ns, ""))
	var columns []string
	for _, c := range got.ColumnDefinitions {
		columns = append(columns, c.Name)
	}
	if diff := cmp.Diff([]string{"Name", "Spec", "Status", "History", "Updated"}, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	want := [][]any{{"s:1", "Push", "image/" + img.Name, 1.0}, {"s:2", "Ref", "registry.example.com/x:1", 1.0}}
	for i, row := range got.Rows {
		if diff := cmp.Diff(want[i], row.Cells[:4]); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i, diff)
		}
	}
	if len(got.Rows) != len(want) {
		t.Errorf("%d rows", len(got.Rows))
	}
}
