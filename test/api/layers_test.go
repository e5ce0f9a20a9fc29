package api_test

import (
	"fmt"
	"net/http"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func getLayers(t *testing.T, ns, name string, header ...string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodGet, inNamespace(ns, "imagestreams/"+name+"/layers"), "", header...)
}

func TestLayersOfListWithMissingPartAndPlainImage(t *testing.T) {
	ns := env.Namespace(t, "layers")
	makeStream(t, ns, "l")
	l, m1, m2, p := digestOf(t, "l"), digestOf(t, "m1"), digestOf(t, "m2"), digestOf(t, "p")
	storeImage(t, m2)
	push(t, ns, "l", "list", listImage(l, m1, m2))
	push(t, ns, "l", "plain", plainImage(p))
	getLayers(t, ns, "l").want(t, http.StatusOK, `
		{"kind":"ImageStreamLayers","apiVersion":"image.openshift.io/v1",
		 "metadata":{"name":"l","namespace":"`+ns+`","uid":"…","resourceVersion":"…","generation":1,"creationTimestamp":"…"},
		 "blobs":{
		  "`+l+`":{"size":null,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"},
		  "`+m2+`":{"size":null,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"},
		  "`+p+`":{"size":null,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"},
		  "`+configDigest(m2)+`":{"size":null,"mediaType":"application/vnd.docker.container.image.v1+json"},
		  "`+configDigest(p)+`":{"size":null,"mediaType":"application/vnd.docker.container.image.v1+json"},
		  "`+layerDigest(m2)+`":{"size":8,"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip"},
		  "`+layerDigest(p)+`":{"size":8,"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip"}},
		 "images":{
		  "`+l+`":{"imageMissing":false,"layers":null,"config":null,"manifests":["`+m1+`","`+m2+`"]},
		  "`+m1+`":{"imageMissing":true,"layers":null,"config":null},
		  "`+m2+`":{"imageMissing":false,"layers":["`+layerDigest(m2)+`"],"config":"`+configDigest(m2)+`"},
		  "`+p+`":{"imageMissing":false,"layers":["`+layerDigest(p)+`"],"config":"`+configDigest(p)+`"}}}`)
}

func TestLayersHaveAllHistory(t *testing.T) {
	ns := env.Namespace(t, "layers")
	makeStream(t, ns, "s")
	const revisions = 30
	for i := range revisions {
		push(t, ns, "s", "latest", plainImage(digestOf(t, fmt.Sprint(i))))
		// What was stored a moment ago is not missing.
		var got imagev1.ImageStreamLayers
		unmarshal(t, getLayers(t, ns, "s").body, &got)
		if len(got.Images) != i+1 || got.Images[digestOf(t, fmt.Sprint(i))].ImageMissing {
			t.Fatalf("after %d images: %d, the newest %+v", i+1, len(got.Images), got.Images[digestOf(t, fmt.Sprint(i))])
		}
	}
}

func TestLayersOfStreamWithoutImages(t *testing.T) {
	ns := env.Namespace(t, "layers")
	makeStream(t, ns, "s")
	annotate(t, ns, "s")
	getLayers(t, ns, "s").want(t, http.StatusOK, `
		{"kind":"ImageStreamLayers","apiVersion":"image.openshift.io/v1","blobs":{},"images":{},
		 "metadata":{"name":"s","namespace":"`+ns+`","uid":"…","resourceVersion":"…","generation":1,"creationTimestamp":"…","annotations":{"a":"b"},"labels":{"l":"m"}}}`)
	getLayers(t, ns, "none").wantStatus(t, 404, metav1.StatusReasonNotFound, "imagestreams", "none")
}

func TestLayersOfOtherFormats(t *testing.T) {
	ns := env.Namespace(t, "layers")
	makeStream(t, ns, "s")
	plain, oci, schema1, untyped, bad, gone := digestOf(t, "plain"), digestOf(t, "oci"), digestOf(t, "schema1"), digestOf(t, "untyped"), digestOf(t, "bad"), digestOf(t, "gone")
	for name, change := range map[string]func(*imagev1.Image){
		plain: func(*imagev1.Image) {},
		oci: func(img *imagev1.Image) {
			img.DockerImageManifestMediaType = "application/vnd.oci.image.manifest.v1+json"
		},
		schema1: func(img *imagev1.Image) {
			img.DockerImageManifestMediaType = "application/vnd.docker.distribution.manifest.v1+json"
		},
		untyped: func(img *imagev1.Image) { img.DockerImageManifestMediaType = "" },
		bad:     func(img *imagev1.Image) { img.DockerImageMetadata = metadata("") },
		gone:    func(*imagev1.Image) {},
	} {
		img := plainImage(name)
		change(img)
		push(t, ns, "s", "t"+name[7:15], img)
	}
	if err := env.Images.ImageV1().Images().Delete(t.Context(), gone, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var got imagev1.ImageStreamLayers
	unmarshal(t, getLayers(t, ns, "s").body, &got)
	if !got.Images[gone].ImageMissing {
		t.Errorf("the deleted image has %+v", got.Images[gone])
	}
	for name, want := range map[string]struct{ manifest, config string }{
		plain:   {"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json"},
		oci:     {"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"},
		schema1: {"application/vnd.docker.distribution.manifest.v1+json", ""},
		untyped: {"application/vnd.docker.distribution.manifest.v2+json", ""},
		bad:     {"application/vnd.docker.distribution.manifest.v2+json", ""},
	} {
		references := got.Images[name]
		if references.ImageMissing || len(references.Layers) != 1 || got.Blobs[name].MediaType != want.manifest {
			t.Errorf("%s: %+v, manifest %+v, want %q", name, references, got.Blobs[name], want.manifest)
		}
		config := ""
		if references.Config != nil {
			config = got.Blobs[*references.Config].MediaType
		}
		if config != want.config {
			t.Errorf("%s: config of type %q, want %q", name, config, want.config)
		}
	}
}

func TestLayersAreReadOnly(t *testing.T) {
	ns := env.Namespace(t, "layers")
	makeStream(t, ns, "s")
	if r := getLayers(t, ns, "s", "Accept", acceptTable); r.code != http.StatusNotAcceptable {
		t.Errorf("as a table alone: %d", r.code)
	}
	if r := getLayers(t, ns, "s", "Accept", acceptTable+",application/json"); r.code != http.StatusOK {
		t.Errorf("as a table or JSON: %d", r.code)
	}
	getLayers(t, ns, "s", "Accept", acceptPartial).want(t, http.StatusOK, `
		{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",
		 "metadata":{"name":"s","namespace":"`+ns+`","uid":"…","resourceVersion":"…","generation":1,"creationTimestamp":"…"}}`)
	raw(t, env.Config, http.MethodPut, inNamespace(ns, "imagestreams/s/layers"), "{}").wantStatus(t, 405, metav1.StatusReasonMethodNotAllowed, "", "")
	wantRefused(t, http.MethodGet, inNamespace(ns, "imagestreams/s/layers"), "", "imagestreams", "s")
}
