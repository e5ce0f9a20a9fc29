package dockerimage

import (
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sent is an image as a client sends it whose texts prove it.
func sent(manifest, mediaType, config, of string) *imagev1.Image {
	name := digest.FromString(of).String()
	return &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: name},
		DockerImageReference:         "q.io/x@" + name,
		DockerImageManifest:          manifest,
		DockerImageManifestMediaType: mediaType,
		DockerImageConfig:            config,
	}
}

func sentSchema2() *imagev1.Image {
	return sent(schema2(MediaTypeSchema2), MediaTypeSchema2, config, schema2(MediaTypeSchema2))
}

// overridden is a signed schema 1 document that repeats the layers where the signature
// does not reach.
func overridden() string {
	whole := signed(schema1)
	return strings.TrimSuffix(whole, "}") + `,"fsLayers":[{"blobSum":"sha256:evil"},{"blobSum":"sha256:base"}]}`
}

func TestProven(t *testing.T) {
	bare, artifact := schema2(""), strings.Replace(schema2(MediaTypeOCIManifest), MediaTypeSchema2Config, "application/x", 1)
	both := strings.TrimSuffix(list, "}") + `,"config":{"digest":"` + configDigest + `"}}`
	for name, test := range map[string]struct {
		image *imagev1.Image
		want  bool
	}{
		"docker":                  {sentSchema2(), true},
		"oci":                     {sent(schema2(MediaTypeOCIManifest), MediaTypeOCIManifest, config, schema2(MediaTypeOCIManifest)), true},
		"type not sent":           {sent(schema2(MediaTypeOCIManifest), "", config, schema2(MediaTypeOCIManifest)), true},
		"type not inside":         {sent(bare, MediaTypeOCIManifest, config, bare), true},
		"another type not inside": {sent(bare, MediaTypeSchema2, config, bare), false},
		"list":                    {sent(list, MediaTypeManifestList, "", list), true},
		"list of untold type":     {sent(list, "", "", list), false},
		"list as image":           {sent(list, MediaTypeSchema2, "", list), false},
		"list and image":          {sent(both, MediaTypeManifestList, "", both), false},
		"schema 1":                {sent(signed(schema1), MediaTypeSchema1Signed, "", schema1), true},
		"schema 1, not signed":    {sent(schema1, MediaTypeSchema1, "", schema1), false},
		"schema 1, overridden":    {sent(overridden(), MediaTypeSchema1, "", schema1), false},
		"schema 1 with a config":  {sent(signed(schema1), MediaTypeSchema1, config, schema1), false},
		"no text":                 {sent("", MediaTypeSchema2, "", schema2(MediaTypeSchema2)), false},
		"no JSON":                 {sent("x", MediaTypeSchema2, "", "x"), false},
		"another digest":          {sent(schema2(MediaTypeSchema2), MediaTypeSchema2, config, "other"), false},
		"no configuration":        {sent(schema2(MediaTypeSchema2), MediaTypeSchema2, "", schema2(MediaTypeSchema2)), false},
		"another configuration":   {sent(schema2(MediaTypeSchema2), MediaTypeSchema2, `{"architecture":"evil"}`, schema2(MediaTypeSchema2)), false},
		"artifact":                {sent(artifact, MediaTypeOCIManifest, config, artifact), false},
	} {
		t.Run(name, func(t *testing.T) {
			before := test.image.DeepCopy()
			if got := Proven(test.image, now); got != test.want {
				t.Errorf("proven: %v, want %v", got, test.want)
			}
			wantEqual(t, before, test.image)
		})
	}
}

func TestProvenAllowsNothingBeside(t *testing.T) {
	annotate := func(key, value string) func(*imagev1.Image) {
		return func(i *imagev1.Image) { metav1.SetMetaDataAnnotation(&i.ObjectMeta, key, value) }
	}
	full := func(i *imagev1.Image) { // as Fill would have it
		i.DockerImageLayers = []imagev1.ImageLayer{
			{Name: "sha256:base", LayerSize: 10, MediaType: "m1"}, {Name: "sha256:top", LayerSize: 5, MediaType: "m2"}, {Name: "sha256:base", LayerSize: 10, MediaType: "m1"},
		}
		i.DockerImageMetadata.Raw = []byte(wantFromConfig())
		annotate(imagev1.DockerImageLayersOrderAnnotation, "ascending")(i)
	}
	for name, test := range map[string]struct {
		change func(*imagev1.Image)
		want   bool
	}{
		"registry's annotations": {func(i *imagev1.Image) {
			annotate(imagev1.ManagedByOpenShiftAnnotation, "true")(i)
			annotate(imagev1.ImageManifestBlobStoredAnnotation, "true")(i)
		}, true},
		"filled":              {full, true},
		"old metadata format": {func(i *imagev1.Image) { i.DockerImageMetadataVersion = MetadataVersionPre012 }, false},
		"another layer":       {func(i *imagev1.Image) { full(i); i.DockerImageLayers[0].Name = "sha256:evil" }, false},
		"another layer size":  {func(i *imagev1.Image) { full(i); i.DockerImageLayers[0].LayerSize = 1 }, false},
		"another order":       {func(i *imagev1.Image) { full(i); annotate(imagev1.DockerImageLayersOrderAnnotation, "x")(i) }, false},
		"another entrypoint": {func(i *imagev1.Image) {
			full(i)
			i.DockerImageMetadata.Raw = []byte(strings.Replace(wantFromConfig(), `"run"`, `"evil"`, 1))
		}, false},
		"entries":              {func(i *imagev1.Image) { i.DockerImageManifests = wantManifests }, false},
		"label":                {func(i *imagev1.Image) { i.Labels = map[string]string{"a": "b"} }, false},
		"deny annotation":      {annotate("images.openshift.io/deny-execution", "true"), false},
		"text in annotation":   {annotate(imagev1.ManagedByOpenShiftAnnotation, "text"), false},
		"finalizer":            {func(i *imagev1.Image) { i.Finalizers = []string{"a/b"} }, false},
		"owner":                {func(i *imagev1.Image) { i.OwnerReferences = make([]metav1.OwnerReference, 1) }, false},
		"signature":            {func(i *imagev1.Image) { i.Signatures = make([]imagev1.ImageSignature, 1) }, false},
		"signature of docker":  {func(i *imagev1.Image) { i.DockerImageSignatures = [][]byte{{1}} }, false},
		"reference to a tag":   {func(i *imagev1.Image) { i.DockerImageReference = "evil.io/x:1" }, false},
		"reference to another": {func(i *imagev1.Image) { i.DockerImageReference = "q.io/x@" + configDigest }, false},
	} {
		t.Run(name, func(t *testing.T) {
			img := sentSchema2()
			test.change(img)
			if got := Proven(img, now); got != test.want {
				t.Errorf("proven: %v, want %v", got, test.want)
			}
		})
	}
}

func FuzzProven(f *testing.F) {
	f.Add(schema2(MediaTypeSchema2), MediaTypeSchema2, config)
	f.Add(list, MediaTypeManifestList, "")
	f.Add(signed(schema1), MediaTypeSchema1, "")
	f.Add(overridden(), "", "")
	f.Fuzz(func(t *testing.T, manifest, mediaType, config string) {
		img := sent(manifest, mediaType, config, manifest)
		if !Proven(img, now) {
			return
		}
		img.Name, img.DockerImageReference = configDigest, "q.io/x@"+configDigest
		if manifest != "" && digest.FromString(manifest).String() != configDigest && Proven(img, now) {
			t.Errorf("%q proves the digest of something else", manifest)
		}
	})
}
