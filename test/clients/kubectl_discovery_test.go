package clients_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPIResources(t *testing.T) {
	k := env.Kubectl(t)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(k.Run(t, "api-resources", "--api-group=image.openshift.io", "--no-headers", "-o", "wide", "--sort-by=name")), "\n") {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	group := "image.openshift.io/v1 "
	want := []string{
		"images " + group + "false Image create,delete,deletecollection,get,list,patch,update,watch",
		"imagesignatures " + group + "false ImageSignature create,delete",
		"imagestreamimages isimage " + group + "true ImageStreamImage get",
		"imagestreamimports " + group + "true ImageStreamImport create",
		"imagestreammappings " + group + "true ImageStreamMapping create",
		"imagestreams is " + group + "true ImageStream create,delete,deletecollection,get,list,patch,update,watch all",
		"imagestreamtags istag " + group + "true ImageStreamTag create,delete,get,list,patch,update",
		"imagetags itag " + group + "true ImageTag create,delete,get,list,patch,update",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("api-resources (-want +got):\n%s", diff)
	}
	wantPart(t, k.Run(t, "api-versions"), "image.openshift.io/v1\n")
}

func TestExplain(t *testing.T) {
	k := env.Kubectl(t)
	for path, parts := range map[string][]string{
		"imagestream.spec.tags":                           {"GROUP:      image.openshift.io", "KIND:       ImageStream", "FIELD: tags <[]TagReference>", "  from\t<ObjectReference>", "  importPolicy\t<TagImportPolicy>", "  name\t<string> -required-"},
		"is.spec.tags.importPolicy.importMode":            {"FIELD: importMode <string>"},
		"istag.image.dockerImageLayers":                   {"FIELD: dockerImageLayers <[]ImageLayer>", "  mediaType\t<string> -required-"},
		"imagetag.status.items":                           {"FIELD: items <[]TagEvent>"},
		"imagestreamimport.spec.images.from.name":         {"FIELD: name <string>"},
		"imagestreammapping.image.signatures":             {"FIELD: signatures <[]ImageSignature>"},
		"images.dockerImageManifests":                     {"FIELD: dockerImageManifests <[]ImageManifest>"},
		"imagesignature.issuedBy":                         {"FIELD: issuedBy <SignatureIssuer>"},
		"isimage.image.metadata":                          {"FIELD: metadata <ObjectMeta>"},
		"imagestreams.status.publicDockerImageRepository": {"FIELD: publicDockerImageRepository <string>"},
	} {
		wantPart(t, k.Run(t, "explain", path), parts...)
	}
	wantPart(t, k.Run(t, "explain", "imagestream", "--recursive"), "  spec\t<ImageStreamSpec>", "      referencePolicy\t<TagReferencePolicy>", "        type\t<string> -required-")
	wantPart(t, k.Refused(t, "explain", "imagestream.spec.nothing"), "does not exist")
	wantPart(t, k.Run(t, "explain", "imagestream.spec.tags", "--output=plaintext-openapiv2"), "tags")
}
