package streams

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

var repository = reference.Repository{Namespace: "ns", Path: "app", Stream: "app"}

const (
	helmConfig     = "application/vnd.cncf.helm.config.v1+json"
	emptyConfig    = "application/vnd.oci.empty.v1+json"
	imageConfig    = `{"architecture":"arm64","os":"linux","created":"2020-01-02T03:04:05Z","config":{"Env":["A=b"]}}`
	ociLayer       = "application/vnd.oci.image.layer.v1.tar+gzip"
	cosignArtifact = "application/vnd.dev.cosign.artifact.sig.v1+json"
)

// pushOf is a push by digest of a manifest that is given as a value.
func pushOf(mediaType string, manifest any, config string) ociregistry.Push {
	raw, err := json.Marshal(manifest)
	if err != nil {
		panic(err)
	}
	p := ociregistry.Push{Repository: repository, Digest: digest.FromBytes(raw), MediaType: mediaType, Manifest: raw}
	if config != "" {
		p.Config = []byte(config)
	}
	return p
}

type object = map[string]any

func descriptorOf(mediaType, content string) object {
	return object{"mediaType": mediaType, "digest": digest.FromString(content), "size": len(content)}
}

// manifestOf is an OCI manifest with one layer.
func manifestOf(configType, config string, more ...any) object {
	m := object{
		"schemaVersion": 2, "mediaType": dockerimage.MediaTypeOCIManifest,
		"config": descriptorOf(configType, config), "layers": []object{descriptorOf(ociLayer, "layer")},
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func indexOf(entries ...object) object {
	return object{"schemaVersion": 2, "mediaType": dockerimage.MediaTypeOCIIndex, "manifests": entries}
}

func entry(mediaType string, more ...any) object {
	e := descriptorOf(mediaType, "child")
	for i := 0; i < len(more); i += 2 {
		e[more[i].(string)] = more[i+1]
	}
	return e
}

type shownMetadata struct {
	ID           string `json:"Id"`
	Architecture string
	Size         int64
	Config       *struct{ Env []string }
}

func metadataOf(t *testing.T, img *imagev1.Image) shownMetadata {
	t.Helper()
	var m shownMetadata
	fatal(t, json.Unmarshal(img.DockerImageMetadata.Raw, &m))
	return m
}

func prepared(t *testing.T, p ociregistry.Push) *imagev1.Image {
	t.Helper()
	img, err := imageOf(p, ownHost, epoch)
	fatal(t, err)
	if errs := validation.Image(img); len(errs) > 0 {
		t.Errorf("the API would refuse it: %v", errs)
	}
	if img.DockerImageManifest != "" || img.DockerImageConfig != "" {
		t.Error("texts are sent")
	}
	if img.DockerImageReference != ownHost+"/ns/app@"+p.Digest.String() {
		t.Errorf("reference %s", img.DockerImageReference)
	}
	return img
}

// TestImageIsWhatTheServerWouldStore compares with the rules that the API server fills
// Images by when it is sent the texts, as the contract's registry does.
func TestImageIsWhatTheServerWouldStore(t *testing.T) {
	docker := manifestOf(dockerimage.MediaTypeSchema2Config, imageConfig, "mediaType", dockerimage.MediaTypeSchema2)
	untyped := manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig)
	delete(untyped, "mediaType")
	platform := object{"architecture": "arm", "os": "linux", "variant": "v7"}
	for name, p := range map[string]ociregistry.Push{
		"oci":             pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig),
		"oci, untyped":    pushOf(dockerimage.MediaTypeOCIManifest, untyped, imageConfig),
		"schema 2":        pushOf(dockerimage.MediaTypeSchema2, docker, imageConfig),
		"without layers":  pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig, "layers", []object{}), imageConfig),
		"repeated layers": pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig, "layers", []object{descriptorOf(ociLayer, "a"), descriptorOf(ociLayer, "b"), descriptorOf(ociLayer, "a")}), imageConfig),
		"index":           pushOf(dockerimage.MediaTypeOCIIndex, indexOf(entry(dockerimage.MediaTypeOCIManifest, "platform", platform)), ""),
		"list":            pushOf(dockerimage.MediaTypeManifestList, object{"schemaVersion": 2, "mediaType": dockerimage.MediaTypeManifestList, "manifests": []object{entry(dockerimage.MediaTypeSchema2, "platform", platform)}}, ""),
		"empty index":     pushOf(dockerimage.MediaTypeOCIIndex, indexOf(), ""),
		"schema 1": pushOf(dockerimage.MediaTypeSchema1Signed, object{
			"schemaVersion": 1, "fsLayers": []object{{"blobSum": digest.FromString("top")}, {"blobSum": digest.FromString("base")}},
			"history": []object{{"v1Compatibility": `{"id":"v1","architecture":"amd64"}`}, {"v1Compatibility": `{"id":"v0"}`}},
		}, ""),
	} {
		t.Run(name, func(t *testing.T) {
			got := prepared(t, p)
			want := got.DeepCopy()
			want.DockerImageLayers, want.DockerImageManifests, want.DockerImageMetadata.Raw = nil, nil, nil
			want.DockerImageManifestMediaType = p.MediaType
			want.DockerImageManifest, want.DockerImageConfig = string(p.Manifest), string(p.Config)
			fatal(t, dockerimage.Fill(want, epoch))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-server +registry):\n%s", diff)
			}
		})
	}
}

func TestImageAnnotations(t *testing.T) {
	subject := descriptorOf(dockerimage.MediaTypeOCIManifest, "subject")
	sha512 := object{"mediaType": dockerimage.MediaTypeOCIManifest, "digest": digest.SHA512.FromString("subject"), "size": 7}
	managed := map[string]string{
		"openshift.io/image.managed": "true", "image.openshift.io/manifestBlobStored": "true", "image.openshift.io/dockerLayersOrder": "ascending",
	}
	managedList := map[string]string{
		"openshift.io/image.managed": "true", "image.openshift.io/manifestBlobStored": "true", "image.openshift.io/dockerLayersOrder": "",
	}
	with := func(base map[string]string, more ...string) map[string]string {
		all := map[string]string{}
		for k, v := range base {
			all[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	for name, test := range map[string]struct {
		mediaType string
		manifest  object
		want      map[string]string
	}{
		"image": {dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), managed},
		"index": {dockerimage.MediaTypeOCIIndex, indexOf(), managedList},
		"artifact by type": {
			dockerimage.MediaTypeOCIManifest, manifestOf(emptyConfig, "{}", "artifactType", "application/vnd.example+type", "subject", subject),
			with(managed, annotationArtifactType, "application/vnd.example+type", annotationSubject, digest.FromString("subject").String()),
		},
		"artifact by configuration": {dockerimage.MediaTypeOCIManifest, manifestOf(helmConfig, "{}"), with(managed, annotationArtifactType, helmConfig)},
		"artifact index": {
			dockerimage.MediaTypeOCIIndex, object{"schemaVersion": 2, "manifests": []object{}, "artifactType": "application/x", "subject": sha512},
			with(managedList, annotationArtifactType, "application/x", annotationSubject, digest.SHA512.FromString("subject").String()),
		},
		"image about another": {
			dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig, "subject", subject),
			with(managed, annotationSubject, digest.FromString("subject").String()),
		},
		"types and digests that are none": {
			dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig, "artifactType", strings.Repeat("x", 1<<20), "subject", object{"digest": "sha256:12"}),
			managed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, prepared(t, pushOf(test.mediaType, test.manifest, "")).Annotations); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestImagesLeadToTheirConfiguration: whatever the configuration is, readers of the
// stream come to it by the Image's metadata.
func TestImagesLeadToTheirConfiguration(t *testing.T) {
	large := strings.Repeat("x", 100)
	for name, test := range map[string]struct {
		configType, config string
		sent               bool
		want               shownMetadata
	}{
		"image":                 {dockerimage.MediaTypeOCIImageConfig, imageConfig, true, shownMetadata{Architecture: "arm64", Config: &struct{ Env []string }{[]string{"A=b"}}}},
		"with parameters":       {dockerimage.MediaTypeOCIImageConfig + "; charset=utf-8", imageConfig, true, shownMetadata{Architecture: "arm64", Config: &struct{ Env []string }{[]string{"A=b"}}}},
		"too large to be sent":  {dockerimage.MediaTypeOCIImageConfig, large, false, shownMetadata{}},
		"image, but no JSON":    {dockerimage.MediaTypeOCIImageConfig, "not JSON", true, shownMetadata{}},
		"image, but a list":     {dockerimage.MediaTypeOCIImageConfig, "[1]", true, shownMetadata{}},
		"empty":                 {emptyConfig, "{}", true, shownMetadata{}},
		"helm":                  {helmConfig, `{"name":"c","version":"1","config":7,"architecture":"chart"}`, true, shownMetadata{}},
		"cosign":                {cosignArtifact, "binary \x00\xff", true, shownMetadata{}},
		"no type":               {"", `{"architecture":"arm64"}`, true, shownMetadata{Architecture: "arm64"}},
		"deeper than JSON goes": {dockerimage.MediaTypeOCIImageConfig, strings.Repeat(`{"config":`, 20000) + "1", true, shownMetadata{}},
	} {
		t.Run(name, func(t *testing.T) {
			sent := test.config
			if !test.sent {
				sent = ""
			}
			img := prepared(t, pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(test.configType, test.config), sent))
			test.want.ID, test.want.Size = digest.FromString(test.config).String(), int64(len(test.config)+len("layer"))
			if diff := cmp.Diff(test.want, metadataOf(t, img)); diff != "" {
				t.Error(diff)
			}
			f := imageFacts(img)
			if len(f.Blobs) != 2 || f.Blobs[0].Digest != digest.FromString(test.config) || f.Blobs[1].Digest != digest.FromString("layer") {
				t.Errorf("leads to %+v", *f)
			}
		})
	}
}

// A blob that is configuration and layer at once, as that of many artifacts is, is counted once.
func TestConfigurationThatIsALayerIsCountedOnce(t *testing.T) {
	for _, configType := range []string{emptyConfig, dockerimage.MediaTypeOCIImageConfig} {
		img := prepared(t, pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(configType, "{}", "layers", []object{descriptorOf(emptyConfig, "{}")}), "{}"))
		if size := metadataOf(t, img).Size; size != 2 {
			t.Errorf("%s: size %d", configType, size)
		}
	}
}

func TestListsLeadToAllTheirManifests(t *testing.T) {
	platform := object{"architecture": "amd64", "os": "linux"}
	img := prepared(t, pushOf(dockerimage.MediaTypeOCIIndex, indexOf(
		entry(dockerimage.MediaTypeOCIManifest, "platform", platform),
		entry(dockerimage.MediaTypeOCIIndex),
		entry(dockerimage.MediaTypeOCIManifest, "artifactType", "application/x"),
		entry("application/octet-stream", "platform", object{"architecture": "arm64"}),
		entry(dockerimage.MediaTypeOCIManifest, "digest", digest.SHA512.FromString("x")),
	), ""))
	var got []string
	for _, m := range img.DockerImageManifests {
		algorithm, _, _ := strings.Cut(m.Digest, ":")
		got = append(got, fmt.Sprintf("%s %s %s/%s", algorithm, m.MediaType, m.OS, m.Architecture))
	}
	want := []string{
		"sha256 " + dockerimage.MediaTypeOCIManifest + " linux/amd64",
		"sha256 " + dockerimage.MediaTypeOCIIndex + " unknown/unknown",
		"sha256 " + dockerimage.MediaTypeOCIManifest + " unknown/unknown",
		"sha256 application/octet-stream unknown/arm64",
		"sha512 " + dockerimage.MediaTypeOCIManifest + " unknown/unknown",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if metadataOf(t, img).ID != img.Name {
		t.Errorf("metadata %s", img.DockerImageMetadata.Raw)
	}
}

func TestSHA512Manifest(t *testing.T) {
	p := pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig)
	p.Digest = digest.SHA512.FromBytes(p.Manifest)
	if img := prepared(t, p); img.Name != p.Digest.String() {
		t.Errorf("name %s", img.Name)
	}
}

func TestManifestsThatMakeNoImage(t *testing.T) {
	huge := make([]object, 20000)
	for i := range huge {
		huge[i] = entry(dockerimage.MediaTypeOCIManifest)
	}
	for name, test := range map[string]struct {
		mediaType string
		manifest  any
		text      string
	}{
		"no JSON object":     {dockerimage.MediaTypeOCIManifest, "text", "malformed"},
		"no version":         {dockerimage.MediaTypeOCIManifest, object{"layers": []object{}}, "schemaVersion 0"},
		"negative size":      {dockerimage.MediaTypeOCIManifest, manifestOf(helmConfig, "{}", "layers", []object{{"digest": "sha256:1", "size": -1}}), "size -1"},
		"child of no digest": {dockerimage.MediaTypeOCIIndex, indexOf(entry(dockerimage.MediaTypeOCIManifest, "digest", "latest")), "manifests[0]"},
		"child of no type":   {dockerimage.MediaTypeOCIIndex, indexOf(entry("")), "manifests[0]"},
		"too many children":  {dockerimage.MediaTypeOCIIndex, indexOf(huge...), "would take"},
		"Layers behind layers": {
			dockerimage.MediaTypeOCIManifest, manifestOf(helmConfig, "{}", "Layers", []object{descriptorOf("a/b", "other")}), `"Layers" differs`,
		},
		"image with blobs": {
			dockerimage.MediaTypeOCIManifest, manifestOf(helmConfig, "{}", "blobs", []object{descriptorOf("a/b", "other")}), "more than one format",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := imageOf(pushOf(test.mediaType, test.manifest, ""), ownHost, epoch)
			var refused *ociregistry.Error
			if !errors.As(err, &refused) || refused.Code != ociregistry.CodeManifestInvalid || !strings.Contains(refused.Message, test.text) {
				t.Errorf("got %v, want %q", err, test.text)
			}
		})
	}
}

func TestNamesThatAreTooLongToBeRecorded(t *testing.T) {
	p := pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig)
	p.Repository.Stream = strings.Repeat("a", 255-len("ns/"))
	var refused *ociregistry.Error
	if _, err := imageOf(p, ownHost, epoch); !errors.As(err, &refused) || refused.Code != ociregistry.CodeNameInvalid {
		t.Errorf("got %v", err)
	}
}

// FuzzImageOf: whatever a manifest says, its Image is one that the API takes, or there is
// none; and it leads to nothing that the manifest does not name.
func FuzzImageOf(f *testing.F) {
	add := func(mediaType string, manifest any, config string) {
		p := pushOf(mediaType, manifest, config)
		f.Add(mediaType, p.Manifest, p.Config)
	}
	add(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig)
	add(dockerimage.MediaTypeOCIManifest, manifestOf(helmConfig, "{}", "artifactType", "a/b", "subject", descriptorOf("a/b", "s")), "{}")
	add(dockerimage.MediaTypeOCIIndex, indexOf(entry(dockerimage.MediaTypeOCIManifest, "platform", object{"os": "linux"})), "")
	add(dockerimage.MediaTypeOCIManifest, object{"schemaVersion": 2, "blobs": []object{descriptorOf("a/b", "x")}}, "")
	add(dockerimage.MediaTypeSchema1, object{"schemaVersion": 1, "fsLayers": []object{{"blobSum": "sha256:1"}}, "history": []object{{"v1Compatibility": "{}"}}}, "")
	f.Fuzz(func(t *testing.T, mediaType string, manifest, config []byte) {
		p := ociregistry.Push{Repository: repository, Digest: digest.FromBytes(manifest), MediaType: mediaType, Manifest: manifest, Config: config}
		img, err := imageOf(p, ownHost, epoch)
		if err != nil {
			return
		}
		if errs := validation.Image(img); len(errs) > 0 {
			t.Errorf("the API would refuse it: %v", errs)
		}
		if !utf8.Valid(manifest) || bytes.ContainsRune(manifest, '\\') {
			return // names may read otherwise than they are written
		}
		facts := imageFacts(img)
		for _, d := range append(facts.Blobs, facts.Children...) {
			if !bytes.Contains(manifest, []byte(d.Digest)) {
				t.Errorf("leads to %q, which the manifest does not name", d.Digest)
			}
		}
	})
}
