package quota_test

import (
	"context"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/apiserver/quota"
)

func TestChargesWhatMakesAStream(t *testing.T) {
	exists := func(_ context.Context, namespace, name string) bool { return namespace == "shop" && name == "there" }
	tag := func(name string, spec *imagev1.TagReference) *imagev1.ImageStreamTag {
		return &imagev1.ImageStreamTag{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Tag: spec}
	}
	imageTag := func(name string) *imagev1.ImageTag {
		return &imagev1.ImageTag{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	}
	request := func(name string, spec imagev1.ImageStreamImportSpec) *imagev1.ImageStreamImport {
		return &imagev1.ImageStreamImport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: spec}
	}
	images := []imagev1.ImageImportSpec{{}}
	for name, test := range map[string]struct {
		resource string
		object   runtime.Object
		charged  int64
	}{
		"tag of a new stream":              {"imagestreamtags", tag("new:1", &imagev1.TagReference{}), 1},
		"no tag, which makes a stream too": {"imagestreamtags", tag("new:1", nil), 1},
		"tag of a stream that is there":    {"imagestreamtags", tag("there:1", &imagev1.TagReference{}), 0},
		"name that makes nothing":          {"imagestreamtags", tag("new", &imagev1.TagReference{}), 0},
		"imagetag of a new stream":         {"imagetags", imageTag("new:1"), 1},
		"imagetag of one that is there":    {"imagetags", imageTag("there:1"), 0},
		"imagetag that makes nothing":      {"imagetags", imageTag("new"), 0},
		"import into a new stream":         {"imagestreamimports", request("new", imagev1.ImageStreamImportSpec{Import: true, Images: images}), 1},
		"repository into a new stream":     {"imagestreamimports", request("new", imagev1.ImageStreamImportSpec{Import: true, Repository: &imagev1.RepositoryImportSpec{}}), 1},
		"look without import":              {"imagestreamimports", request("new", imagev1.ImageStreamImportSpec{Images: images}), 0},
		"import of nothing":                {"imagestreamimports", request("new", imagev1.ImageStreamImportSpec{Import: true}), 0},
		"import into a stream that is":     {"imagestreamimports", request("there", imagev1.ImageStreamImportSpec{Import: true, Images: images}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range quota.Evaluators(nil, exists) {
				if e.GroupResource().Resource != test.resource {
					continue
				}
				usage, err := e.Usage(test.object)
				if err != nil {
					t.Fatal(err)
				}
				charged := usage[quota.Streams]
				if charged.Value() != test.charged {
					t.Errorf("charged %s, want %d", charged.String(), test.charged)
				}
				return
			}
			t.Fatalf("nothing evaluates %s", test.resource)
		})
	}
}
