package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/stream"
)

// sends changes ns/s with a request.
func sends(t *testing.T, method, ns, path, body, contentType string) reply {
	t.Helper()
	return raw(t, env.Config, method, inNamespace(ns, path), body, "Content-Type", contentType)
}

func asText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStreamOfTheLargestSize: a stream has a bound of its own, long before storage refuses it,
// with the same answer by every way of writing; what makes it smaller is taken.
func TestStreamOfTheLargestSize(t *testing.T) {
	ns := env.Namespace(t, "size")
	makeStream(t, ns, "s")
	full := env.FillStream(t, ns, "s", stream.MaxBytes)
	img := plainImage(digestOf(t, "a"))

	more := full.DeepCopy()
	more.Kind, more.APIVersion = "ImageStream", "image.openshift.io/v1"
	more.Status.Tags = append(more.Status.Tags, imagev1.NamedTagEventList{Tag: "more", Items: full.Status.Tags[0].Items[:5]})
	labeled := full.DeepCopy()
	labeled.Kind, labeled.APIVersion = more.Kind, more.APIVersion
	labeled.Annotations = map[string]string{"a": strings.Repeat("x", 1000)}
	annotation := `{"metadata":{"annotations":{"a":"` + strings.Repeat("x", 1000) + `"}}}`
	tag := `{"metadata":{"name":"s:new"},"tag":{"name":"new","reference":true,"from":{"kind":"DockerImage","name":"example.com/` + strings.Repeat("x", 230) + `:1"}}}`
	for name, send := range map[string]func() reply{
		"mapping": func() reply { return postMapping(t, ns, mapping(t, "s", strings.Repeat("t", 1000), img), "") },
		"update": func() reply {
			return sends(t, http.MethodPut, ns, "imagestreams/s", asText(t, labeled), "application/json")
		},
		"patch": func() reply { return sends(t, http.MethodPatch, ns, "imagestreams/s", annotation, mergePatch) },
		"status update": func() reply {
			return sends(t, http.MethodPut, ns, "imagestreams/s/status", asText(t, more), "application/json")
		},
		"status patch": func() reply {
			return sends(t, http.MethodPatch, ns, "imagestreams/s/status", `{"status":{"tags":`+asText(t, more.Status.Tags)+`}}`, mergePatch)
		},
		"imagestreamtag": func() reply { return sends(t, http.MethodPost, ns, "imagestreamtags", tag, "application/json") },
		"imagetag": func() reply {
			return sends(t, http.MethodPost, ns, "imagetags", strings.Replace(tag, `"tag":`, `"spec":`, 1), "application/json")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := send()
			r.wantStatus(t, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
			r.wantCauses(t, "FieldValueTooLong status.tags")
			if !strings.Contains(string(r.body), fmt.Sprint("exceeds the maximum limit of ", stream.MaxBytes)) || !strings.Contains(string(r.body), "weir.dev/history-limit") {
				t.Errorf("the answer does not say what to do: %s", r.body)
			}
		})
	}
	if now := getStream(t, ns, "s"); now.ResourceVersion != full.ResourceVersion {
		t.Error("a refused write changed the stream")
	}
	annotated := sends(t, http.MethodPatch, ns, "imagestreams/s", `{"metadata":{"annotations":{"weir.dev/history-limit":"10"}}}`, mergePatch)
	if now := getStream(t, ns, "s"); annotated.code != http.StatusOK || len(now.Status.Tags[0].Items) != 10 {
		t.Fatalf("answered %d; %d events are left", annotated.code, len(now.Status.Tags[0].Items))
	}
	push(t, ns, "s", "more", img)
}

func TestImageOfTheLargestSize(t *testing.T) {
	img := plainImage(digestOf(t, "large"))
	for i := range 20000 {
		img.DockerImageLayers = append(img.DockerImageLayers, imagev1.ImageLayer{
			Name: fmt.Sprintf("sha256:%064d", i), LayerSize: 1, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
		})
	}
	r := raw(t, env.Config, http.MethodPost, "/apis/image.openshift.io/v1/images", asText(t, img))
	r.wantStatus(t, 422, metav1.StatusReasonInvalid, "Image", img.Name)
	r.wantCauses(t, "FieldValueTooLong dockerImageMetadata")
}

func TestHistoryLimit(t *testing.T) {
	ns := env.Namespace(t, "limit")
	makeStream(t, ns, "s")
	var images []*imagev1.Image
	for i := range 5 {
		img := plainImage(digestOf(t, fmt.Sprint(i)))
		push(t, ns, "s", "a", img)
		images = append(images, img)
	}
	if got := history(getStream(t, ns, "s"), "a"); len(got) != 5 {
		t.Fatalf("%d events without a limit", len(got))
	}
	set := func(limit string) reply {
		return sends(t, http.MethodPatch, ns, "imagestreams/s", `{"metadata":{"annotations":{"weir.dev/history-limit":"`+limit+`"}}}`, mergePatch)
	}
	for _, bad := range []string{"0", "few", ""} {
		r := set(bad)
		r.wantStatus(t, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
		r.wantCauses(t, "FieldValueInvalid metadata.annotations[weir.dev/history-limit]")
	}
	if r := set("2"); r.code != http.StatusOK {
		t.Fatalf("answered %d: %s", r.code, r.body)
	}
	wanted := func(newest ...*imagev1.Image) {
		t.Helper()
		var want []string
		for _, img := range newest {
			want = append(want, img.Name+" "+img.DockerImageReference+" 1")
		}
		wantHistory(t, getStream(t, ns, "s"), "a", want...)
	}
	wanted(images[4], images[3])
	push(t, ns, "s", "a", images[0])
	wanted(images[0], images[4])

	status := getStream(t, ns, "s")
	status.Status.Tags[0].Items = append(status.Status.Tags[0].Items, status.Status.Tags[0].Items...)
	if _, err := env.Images.ImageV1().ImageStreams(ns).UpdateStatus(t.Context(), status, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	wanted(images[0], images[4])
	r := sends(t, http.MethodPost, ns, "imagestreamtags",
		`{"metadata":{"name":"s:a"},"tag":{"name":"a","from":{"kind":"ImageStreamImage","name":"s@`+images[4].Name+`"}}}`, "application/json")
	if r.code != http.StatusCreated {
		t.Fatalf("answered %d: %s", r.code, r.body)
	}
	if got := history(getStream(t, ns, "s"), "a"); len(got) != 2 || !strings.HasPrefix(got[0], images[4].Name) || !strings.HasPrefix(got[1], images[0].Name) {
		t.Errorf("history after a tag: %q", got)
	}
}
