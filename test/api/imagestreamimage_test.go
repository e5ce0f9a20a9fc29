package api_test

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func getStreamImage(t *testing.T, ns, name string, header ...string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodGet, inNamespace(ns, "imagestreamimages/")+name, "", header...)
}

// annotate gives a stream annotations and labels.
func annotate(t *testing.T, ns, name string) {
	t.Helper()
	r := raw(t, env.Config, http.MethodPatch, inNamespace(ns, "imagestreams/")+name, `{"metadata":{"annotations":{"a":"b"},"labels":{"l":"m"}}}`, "Content-Type", "application/merge-patch+json")
	if r.code != http.StatusOK {
		t.Fatalf("answered %d: %s", r.code, r.body)
	}
}

func TestStreamImageShowsImageOfHistory(t *testing.T) {
	ns := env.Namespace(t, "isimage")
	makeStream(t, ns, "s")
	annotate(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	img.DockerImageConfig, img.DockerImageManifest = "{}", "{}"
	push(t, ns, "s", "latest", img)
	push(t, ns, "s", "latest", plainImage(digestOf(t, "b")))
	for what, id := range map[string]string{
		"digest":                    img.Name,
		"beginning of the digest":   img.Name[:15],
		"beginning of the hex part": strings.TrimPrefix(img.Name, "sha256:")[:12],
	} {
		t.Run(what, func(t *testing.T) {
			getStreamImage(t, ns, "s@"+id).want(t, http.StatusOK, `
				{"kind":"ImageStreamImage","apiVersion":"image.openshift.io/v1",
				 "metadata":{"name":"s@`+id+`","namespace":"`+ns+`","creationTimestamp":"…","annotations":{"a":"b"}},
				 "image":{
				  "metadata":{"name":"`+img.Name+`","uid":"…","resourceVersion":"…","creationTimestamp":"…",
				   "annotations":{"image.openshift.io/dockerLayersOrder":"ascending"}},
				  "dockerImageReference":"`+img.DockerImageReference+`",
				  "dockerImageMetadata":{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"`+configDigest(img.Name)+`","Created":null,"ContainerConfig":{}},
				  "dockerImageMetadataVersion":"1.0",
				  "dockerImageManifestMediaType":"application/vnd.docker.distribution.manifest.v2+json",
				  "dockerImageLayers":[{"name":"`+layerDigest(img.Name)+`","size":8,"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip"}]}}`)
		})
	}
}

func TestStreamImageShowsPartsOfLists(t *testing.T) {
	ns := env.Namespace(t, "isimage")
	makeStream(t, ns, "s")
	part, gone := digestOf(t, "part"), digestOf(t, "gone")
	storeImage(t, part)
	push(t, ns, "s", "latest", listImage(digestOf(t, "list"), part, gone))
	for _, id := range []string{part, part[:20]} {
		r := getStreamImage(t, ns, "s@"+id)
		var got struct {
			Metadata metav1.ObjectMeta
			Image    struct{ Metadata metav1.ObjectMeta }
		}
		unmarshal(t, r.body, &got)
		if r.code != http.StatusOK || got.Metadata.Name != "s@"+id || got.Image.Metadata.Name != part {
			t.Errorf("answered %d to %s: %s", r.code, id, r.body)
		}
	}
	getStreamImage(t, ns, "s@"+gone).wantStatus(t, 404, metav1.StatusReasonNotFound, "imagestreamimages", gone)
}

func TestStreamImageThatIsAmbiguous(t *testing.T) {
	ns := env.Namespace(t, "isimage")
	makeStream(t, ns, "s")
	// Names need not be digests, so two may begin alike, and one be the other's beginning.
	prefix := "sha256:" + strings.ReplaceAll(ns, "-", "")
	for tag, name := range map[string]string{"a": prefix, "b": prefix + "b", "c": prefix + "c"} {
		img := plainImage(name)
		img.DockerImageReference = "registry.example.com/app:" + tag
		push(t, ns, "s", tag, img)
	}
	shortened := prefix[:len(prefix)-1]
	r := getStreamImage(t, ns, "s@"+shortened)
	r.wantStatus(t, 409, metav1.StatusReasonConflict, "imagestreamimages", "s@"+shortened)
	if message := r.status(t).Message; !strings.Contains(message, "3 images of the stream match") {
		t.Errorf("the message does not help: %q", message)
	}
	if r := getStreamImage(t, ns, "s@"+prefix); r.code != http.StatusOK {
		t.Errorf("a whole name that others begin with: %d %s", r.code, r.body)
	}
}

func TestStreamImageThatIsNotThere(t *testing.T) {
	ns := env.Namespace(t, "isimage")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "latest", img)
	getStreamImage(t, ns, "none@"+img.Name).want(t, http.StatusNotFound, `
		{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NotFound","code":404,
		 "message":"imagestreamimages.image.openshift.io \"none\" not found",
		 "details":{"name":"none","group":"image.openshift.io","kind":"imagestreamimages"}}`)
	getStreamImage(t, ns, "s@sha256:nope").want(t, http.StatusNotFound, `
		{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NotFound","code":404,
		 "message":"imagestreamimage.image.openshift.io \"s@sha256:nope\" not found",
		 "details":{"name":"s@sha256:nope","group":"image.openshift.io","kind":"imagestreamimage"}}`)
	for _, name := range []string{"s", "s@", "@" + img.Name, "s@a@b", "s:latest"} {
		getStreamImage(t, ns, name).wantStatus(t, 400, metav1.StatusReasonBadRequest, "", "")
	}
	if err := env.Images.ImageV1().Images().Delete(t.Context(), img.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	getStreamImage(t, ns, "s@"+img.Name).wantStatus(t, 404, metav1.StatusReasonNotFound, "imagestreamimages", img.Name)
	if r := raw(t, env.Config, http.MethodGet, inNamespace(ns, "imagestreamimages"), ""); r.code != http.StatusNotFound {
		t.Errorf("the collection: %d", r.code)
	}
}

func TestStreamImageAsTable(t *testing.T) {
	ns := env.Namespace(t, "isimage")
	makeStream(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "latest", img)
	var got metav1.Table
	unmarshal(t, getStreamImage(t, ns, "s@"+img.Name, "Accept", acceptTable).body, &got)
	var columns []string
	for _, c := range got.ColumnDefinitions {
		columns = append(columns, c.Name)
	}
	if strings.Join(columns, "|") != "Name|Updated|Image Reference|Image Name" || len(got.Rows) != 1 || got.Rows[0].Cells[0] != "s@"+img.Name || got.Rows[0].Cells[3] != img.Name {
		t.Errorf("columns %v, rows %v", columns, got.Rows)
	}
	getStreamImage(t, ns, "s@"+img.Name, "Accept", acceptPartial).want(t, http.StatusOK, `
		{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",
		 "metadata":{"name":"s@`+img.Name+`","namespace":"`+ns+`","creationTimestamp":"…"}}`)
}

func TestStreamImageNeedsTheRightToSeeIt(t *testing.T) {
	ns := env.Namespace(t, "isimage")
	wantRefused(t, http.MethodGet, inNamespace(ns, "imagestreamimages/s@sha256:a"), "", "imagestreamimages", "s@sha256:a")
}
