package validation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var hex64 = strings.Repeat("a", 64)

// causes prints errors as "Type field" lines, the part that clients read.
func causes(errs field.ErrorList) []string {
	var out []string
	for _, e := range errs {
		out = append(out, fmt.Sprintf("%s %s", strings.TrimPrefix(string(e.Type), "FieldValue"), e.Field))
	}
	return out
}

func expect(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, causes(errs)); diff != "" {
		t.Errorf("causes (-want +got):\n%s\n%v", diff, errs)
	}
}

func allowOnly(t *testing.T, hosts ...string) RegistryAllower {
	t.Helper()
	var list []AllowedRegistry
	for _, host := range hosts {
		list = append(list, AllowedRegistry{DomainName: host})
	}
	allowed, err := NewAllowedRegistries(list, "")
	if err != nil {
		t.Fatal(err)
	}
	return allowed
}

func validImage() *imagev1.Image {
	return &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:" + hex64}, DockerImageReference: "q.io/x/y@sha256:" + hex64}
}

func validSubManifest() imagev1.ImageManifest {
	return imagev1.ImageManifest{Digest: "sha256:" + hex64, MediaType: "application/vnd.oci.image.manifest.v1+json", Architecture: "amd64", OS: "linux"}
}

func TestImage(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*imagev1.Image)
		want   []string
	}{
		"valid":             {func(*imagev1.Image) {}, nil},
		"name not a digest": {func(i *imagev1.Image) { i.Name = "Anything_goes:here" }, nil},
		"no name":           {func(i *imagev1.Image) { i.Name = "" }, []string{"Required metadata.name"}},
		"dot":               {func(i *imagev1.Image) { i.Name = "." }, []string{"Invalid metadata.name"}},
		"dots":              {func(i *imagev1.Image) { i.Name = ".." }, []string{"Invalid metadata.name"}},
		"slash":             {func(i *imagev1.Image) { i.Name = "a/b" }, []string{"Invalid metadata.name"}},
		"percent":           {func(i *imagev1.Image) { i.Name = "a%b" }, []string{"Invalid metadata.name"}},
		"namespace":         {func(i *imagev1.Image) { i.Namespace = "p" }, []string{"Forbidden metadata.namespace"}},
		"no reference":      {func(i *imagev1.Image) { i.DockerImageReference = "" }, []string{"Required dockerImageReference"}},
		"bad reference":     {func(i *imagev1.Image) { i.DockerImageReference = "q.io/UPPER" }, []string{"Invalid dockerImageReference"}},
		"signature prefix": {func(i *imagev1.Image) {
			i.Signatures = []imagev1.ImageSignature{{ObjectMeta: metav1.ObjectMeta{Name: "a@b"}}}
		}, []string{"Required signatures[0].type", "Required signatures[0].content"}},
		"metadata":         {func(i *imagev1.Image) { i.DockerImageMetadata = runtime.RawExtension{Raw: []byte(`{"kind":"Pod"}`)} }, []string{"Invalid dockerImageMetadata"}},
		"metadata version": {func(i *imagev1.Image) { i.DockerImageMetadataVersion = "2" }, []string{"Invalid dockerImageMetadataVersion"}},
		"list":             {func(i *imagev1.Image) { i.DockerImageManifests = []imagev1.ImageManifest{validSubManifest()} }, nil},
		"list with layers": {func(i *imagev1.Image) {
			i.DockerImageManifests = []imagev1.ImageManifest{validSubManifest()}
			i.DockerImageLayers = []imagev1.ImageLayer{{Name: "l"}}
		}, []string{"Invalid dockerImageLayers"}},
		"empty list entry": {func(i *imagev1.Image) {
			i.DockerImageManifests = []imagev1.ImageManifest{validSubManifest(), {ManifestSize: -1}}
		}, []string{
			"Invalid dockerImageManifests[1].digest", "Invalid dockerImageManifests[1].mediaType",
			"Required dockerImageManifests[1].architecture", "Required dockerImageManifests[1].os", "Invalid dockerImageManifests[1].size",
		}},
		"short digest": {func(i *imagev1.Image) {
			m := validSubManifest()
			m.Digest = "sha256:" + strings.Repeat("a", 31)
			i.DockerImageManifests = []imagev1.ImageManifest{m}
		}, []string{"Invalid dockerImageManifests[0].digest"}},
		"digest of 32": {func(i *imagev1.Image) {
			m := validSubManifest()
			m.Digest = "odd+algo:" + strings.Repeat("a", 32)
			i.DockerImageManifests = []imagev1.ImageManifest{m}
		}, nil},
		"media type of one part": {func(i *imagev1.Image) {
			m := validSubManifest()
			m.MediaType = "application"
			i.DockerImageManifests = []imagev1.ImageManifest{m}
		}, []string{"Invalid dockerImageManifests[0].mediaType"}},
	} {
		t.Run(name, func(t *testing.T) {
			img := validImage()
			test.change(img)
			expect(t, Image(img), test.want...)
		})
	}
}

func TestImageUpdate(t *testing.T) {
	old := validImage()
	old.ResourceVersion = "1"
	updated := old.DeepCopy()
	expect(t, ImageUpdate(updated, old))
	updated.UID = "other"
	updated.DockerImageReference = ""
	expect(t, ImageUpdate(updated, old), "Invalid metadata.uid", "Required dockerImageReference")
}

func validSignature() *imagev1.ImageSignature {
	return &imagev1.ImageSignature{ObjectMeta: metav1.ObjectMeta{Name: "sha256:1@sig"}, Type: "AtomicImageV1", Content: []byte("x")}
}

func condition(kind string, status corev1.ConditionStatus, at int64) imagev1.SignatureCondition {
	return imagev1.SignatureCondition{Type: imagev1.SignatureConditionType(kind), Status: status, LastProbeTime: metav1.Unix(at, 0)}
}

func TestImageSignature(t *testing.T) {
	unsetAll := []string{"Invalid imageIdentity", "Invalid signedClaims", "Invalid issuedBy", "Invalid issuedTo"}
	claim := func(s *imagev1.ImageSignature) {
		s.ImageIdentity = "x"
		s.SignedClaims = map[string]string{"a": "b"}
		s.IssuedBy = &imagev1.SignatureIssuer{}
		s.IssuedTo = &imagev1.SignatureSubject{}
	}
	for name, test := range map[string]struct {
		change func(*imagev1.ImageSignature)
		want   []string
	}{
		"valid":         {func(*imagev1.ImageSignature) {}, nil},
		"other type":    {func(s *imagev1.ImageSignature) { s.Type = "other" }, nil},
		"no at":         {func(s *imagev1.ImageSignature) { s.Name = "sha256:1" }, []string{"Invalid metadata.name"}},
		"two ats":       {func(s *imagev1.ImageSignature) { s.Name = "a@b@c" }, []string{"Invalid metadata.name"}},
		"no signature":  {func(s *imagev1.ImageSignature) { s.Name = "a@" }, []string{"Invalid metadata.name"}},
		"no image":      {func(s *imagev1.ImageSignature) { s.Name = "@b" }, []string{"Invalid metadata.name"}},
		"no type":       {func(s *imagev1.ImageSignature) { s.Type = "" }, []string{"Required type"}},
		"no content":    {func(s *imagev1.ImageSignature) { s.Content = nil }, []string{"Required content"}},
		"labels":        {func(s *imagev1.ImageSignature) { s.Labels = map[string]string{"a": "b"} }, []string{"Forbidden metadata.labels"}},
		"annotations":   {func(s *imagev1.ImageSignature) { s.Annotations = map[string]string{"a": "b"} }, []string{"Forbidden metadata.annotations"}},
		"unknown state": {claim, unsetAll},
		"verified": {func(s *imagev1.ImageSignature) {
			claim(s)
			s.Conditions = []imagev1.SignatureCondition{condition("Trusted", "True", 1), condition("ForImage", "True", 1)}
		}, nil},
		"refuted": {func(s *imagev1.ImageSignature) {
			claim(s)
			s.Conditions = []imagev1.SignatureCondition{condition("Trusted", "False", 1), condition("ForImage", "False", 1)}
		}, nil},
		"newest unknown": {func(s *imagev1.ImageSignature) {
			claim(s)
			s.Conditions = []imagev1.SignatureCondition{condition("Trusted", "Unknown", 2), condition("Trusted", "True", 1), condition("ForImage", "True", 1)}
		}, unsetAll},
		"only trusted": {func(s *imagev1.ImageSignature) {
			s.Conditions = []imagev1.SignatureCondition{condition("Trusted", "True", 1)}
		}, []string{"Invalid conditions"}},
		"only for image": {func(s *imagev1.ImageSignature) {
			s.Conditions = []imagev1.SignatureCondition{condition("ForImage", "True", 1)}
		}, []string{"Invalid conditions"}},
		"foreign condition alone": {func(s *imagev1.ImageSignature) {
			s.Conditions = []imagev1.SignatureCondition{condition("Odd", "True", 1)}
		}, nil},
		"foreign condition is newest": {func(s *imagev1.ImageSignature) {
			claim(s)
			s.Conditions = []imagev1.SignatureCondition{condition("Trusted", "True", 1), condition("ForImage", "True", 1), condition("Odd", "True", 9)}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := validSignature()
			test.change(s)
			expect(t, ImageSignature(s), test.want...)
		})
	}
	s := validSignature()
	claim(s)
	for _, e := range ImageSignature(s) {
		if e.Detail != "must be unset for unknown signature state" {
			t.Errorf("detail %q", e.Detail)
		}
	}
}

func TestImageStreamMapping(t *testing.T) {
	valid := func() *imagev1.ImageStreamMapping {
		return &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "p"}, Tag: "any text / even this", Image: *validImage()}
	}
	expect(t, ImageStreamMapping(valid()))

	m := valid()
	m.Name = ""
	expect(t, ImageStreamMapping(m), "Required metadata.name", "Required name", "Required dockerImageRepository")

	m = valid()
	m.Tag, m.Namespace, m.Image.DockerImageReference, m.Image.Name = "", "Not A Namespace", "", ""
	expect(t, ImageStreamMapping(m), "Invalid metadata.namespace", "Required tag", "Required image.metadata.name", "Required image.dockerImageReference")
}

func TestImageStreamImport(t *testing.T) {
	docker := func(name string) corev1.ObjectReference {
		return corev1.ObjectReference{Kind: "DockerImage", Name: name}
	}
	for name, test := range map[string]struct {
		stream string
		spec   imagev1.ImageStreamImportSpec
		want   []string
	}{
		"nothing":                     {"s", imagev1.ImageStreamImportSpec{}, []string{"Invalid spec.images"}},
		"image":                       {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("q.io/x/y:1"), To: &corev1.LocalObjectReference{Name: "any text"}}}}, nil},
		"search":                      {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("*")}}}, nil},
		"bad reference policy passes": {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("q.io/x/y"), ReferencePolicy: imagev1.TagReferencePolicy{Type: "Odd"}}}}, nil},
		"stream name":                 {"A", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("q.io/x/y")}}, []string{"Invalid metadata.name"}},
		"kind":                        {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: corev1.ObjectReference{Kind: "ImageStreamTag", Name: "a"}}}}, []string{"Invalid spec.images[0].from.kind"}},
		"empty":                       {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("")}}}, []string{"Required spec.images[0].from.name"}},
		"unparsable":                  {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("q.io/UP")}}}, []string{"Invalid spec.images[0].from.name"}},
		"to empty":                    {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("a"), To: &corev1.LocalObjectReference{}}}}, []string{"Invalid spec.images[0].to.name"}},
		"mode":                        {"s", imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{From: docker("a"), ImportPolicy: imagev1.TagImportPolicy{ImportMode: "Odd"}}}}, []string{"Invalid spec.images[0].importPolicy.importMode"}},
		"repository":                  {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("q.io/x/y")}}, nil},
		"repository kind":             {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: corev1.ObjectReference{Name: "a"}}}, []string{"Invalid spec.repository.from.kind"}},
		"repository empty":            {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("")}}, []string{"Required spec.repository.from.name"}},
		"repository bad":              {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("UP")}}, []string{"Invalid spec.repository.from.name"}},
		"repository star":             {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("*")}}, []string{"Invalid spec.repository.from.name"}},
		"repository tag":              {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("a:b")}}, []string{"Invalid spec.repository.from.name"}},
		"repository digest":           {"s", imagev1.ImageStreamImportSpec{Repository: &imagev1.RepositoryImportSpec{From: docker("a@sha256:" + hex64)}}, []string{"Invalid spec.repository.from.name"}},
	} {
		t.Run(name, func(t *testing.T) {
			isi := &imagev1.ImageStreamImport{ObjectMeta: metav1.ObjectMeta{Name: test.stream, Namespace: "p"}, Spec: test.spec}
			expect(t, ImageStreamImport(isi), test.want...)
		})
	}
}

func TestImageStreamImportSources(t *testing.T) {
	isi := &imagev1.ImageStreamImport{Spec: imagev1.ImageStreamImportSpec{
		Images: []imagev1.ImageImportSpec{
			{From: corev1.ObjectReference{Name: "ok.io/x"}},
			{From: corev1.ObjectReference{Name: "no.io/x"}},
			{From: corev1.ObjectReference{Name: "ok.io/x"}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true}},
			{From: corev1.ObjectReference{Name: "ok.io:443/x"}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true}},
			{From: corev1.ObjectReference{Name: "*"}},
		},
		Repository: &imagev1.RepositoryImportSpec{From: corev1.ObjectReference{Name: "busybox"}},
	}}
	expect(t, ImageStreamImportSources(isi, allowOnly(t, "ok.io")),
		"Forbidden spec.images[1].from.name", "Forbidden spec.images[2].from.name", "Forbidden spec.repository.from.name")
	expect(t, ImageStreamImportSources(isi, anyRegistry))
}
