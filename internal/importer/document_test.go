package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/manifest"
)

var someDigest = digest.FromString("some").String()

func TestDocumentTypes(t *testing.T) {
	image := `{"schemaVersion":2%s,"config":{"digest":"` + someDigest + `","size":2}}`
	list := `{"schemaVersion":2%s,"manifests":[{"digest":"` + someDigest + `","size":2}]}`
	for _, c := range []struct {
		header, body, own string
		want              string
		kind              documentKind
	}{
		{dockerimage.MediaTypeSchema2, image, "", dockerimage.MediaTypeSchema2, kindImage},
		{dockerimage.MediaTypeOCIManifest + "; charset=utf-8", image, "", dockerimage.MediaTypeOCIManifest, kindImage},
		{"", image, dockerimage.MediaTypeSchema2, dockerimage.MediaTypeSchema2, kindImage},
		{"application/json", image, dockerimage.MediaTypeOCIManifest, dockerimage.MediaTypeOCIManifest, kindImage},
		{"text/plain", image, "", dockerimage.MediaTypeOCIManifest, kindImage},
		{"", list, "", dockerimage.MediaTypeOCIIndex, kindList},
		{"", list, dockerimage.MediaTypeManifestList, dockerimage.MediaTypeManifestList, kindList},
		{strings.ToUpper(dockerimage.MediaTypeManifestList), list, "", dockerimage.MediaTypeManifestList, kindList},
	} {
		own := ""
		if c.own != "" {
			own = fmt.Sprintf(`,"mediaType":%q`, c.own)
		}
		doc, err := parseDocument(c.header, fmt.Appendf(nil, c.body, own))
		if err != nil || doc.mediaType != c.want || doc.kind != c.kind {
			t.Errorf("header %q, own %q: %q, kind %d, %v; want %q", c.header, c.own, doc.mediaType, doc.kind, err, c.want)
		}
	}
}

// TestDocumentsWithTwoMeanings: what another reader would read differently is refused.
func TestDocumentsWithTwoMeanings(t *testing.T) {
	desc := `{"digest":"` + someDigest + `","size":2}`
	image := `{"schemaVersion":2,"config":` + desc + `,"layers":[` + desc + `]}`
	list := `{"schemaVersion":2,"manifests":[` + desc + `]}`
	schema1 := `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + someDigest + `"}],"history":[{"v1Compatibility":"{}"}]}`
	for _, c := range []struct{ mediaType, body, before, member string }{
		{dockerimage.MediaTypeSchema2, image, "{", `"blobs":[]`},
		{dockerimage.MediaTypeSchema2, image, "{", `"fsLayers":[]`},
		{dockerimage.MediaTypeSchema2, image, "{", `"Layers":[]`},
		{dockerimage.MediaTypeSchema2, image, "{", `"layerſ":[]`},
		{dockerimage.MediaTypeSchema2, image, "{", `"layers":[]`},
		{dockerimage.MediaTypeSchema2, image, "{", `"Config":{}`},
		{dockerimage.MediaTypeSchema2, image, "{", `"Manifests":[]`},
		{dockerimage.MediaTypeSchema2, image, `"layers":[{`, `"Digest":"x"`},
		{dockerimage.MediaTypeSchema2, image, `"config":{`, `"Size":1`},
		{dockerimage.MediaTypeOCIIndex, list, "{", `"blobs":[]`},
		{dockerimage.MediaTypeOCIIndex, list, "{", `"Layers":[]`},
		{dockerimage.MediaTypeOCIIndex, list, "{", `"Manifests":[]`},
		{dockerimage.MediaTypeOCIIndex, list, `"manifests":[{`, `"Digest":"x"`},
		{dockerimage.MediaTypeOCIIndex, list, `"manifests":[{`, `"platform":{"OS":"linux"}`},
		{dockerimage.MediaTypeSchema1, schema1, "{", `"FSLayers":[]`},
		{dockerimage.MediaTypeSchema1, schema1, "{", `"layers":[]`},
		{dockerimage.MediaTypeSchema1, schema1, `"fsLayers":[{`, `"blobsum":"x"`},
		{dockerimage.MediaTypeSchema1, schema1, "{", `"history":[]`},
	} {
		if _, err := parseDocument(c.mediaType, []byte(c.body)); err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		body := strings.Replace(c.body, c.before, c.before+c.member+",", 1)
		doc, err := parseDocument(c.mediaType, []byte(body))
		if invalid := (*contentError)(nil); !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), "the manifest is malformed: ") {
			t.Errorf("%s: read as %+v, %v", body, doc, err)
		}
	}
}

func TestEntriesWithoutPlatform(t *testing.T) {
	child := builtImage{mediaType: dockerimage.MediaTypeOCIManifest, config: []byte(`{"architecture":"arm64"}`)}
	entry := listEntry{descriptor: descriptor{MediaType: "no media type", Digest: digest.Digest(someDigest), Size: 3}}
	want := imagev1.ImageManifest{Digest: someDigest, MediaType: dockerimage.MediaTypeOCIManifest, ManifestSize: 3, Architecture: "arm64", OS: "unknown"}
	if got := imageManifest(entry, child); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// seeds are manifests of every format, some of them broken.
func seeds() []string {
	history := `"history":[{"v1Compatibility":"{\"id\":\"i\",\"Size\":3}"}]`
	return []string{
		`{"schemaVersion":2,"mediaType":"` + dockerimage.MediaTypeSchema2 + `","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"` + someDigest + `","size":7},"layers":[{"digest":"` + someDigest + `","size":9223372036854775807},{"digest":"` + someDigest + `","size":1}]}`,
		`{"schemaVersion":2,"mediaType":"` + dockerimage.MediaTypeOCIIndex + `","manifests":[{"mediaType":"` + dockerimage.MediaTypeOCIManifest + `","digest":"` + someDigest + `","size":7,"platform":{"architecture":"amd64","os":"linux","variant":"v2"}},{"digest":"` + someDigest + `","platform":{"architecture":"unknown","os":"unknown"}}]}`,
		`{"schemaVersion":1,"fsLayers":[{"blobSum":"` + someDigest + `"}],` + history + `}`,
		`{"schemaVersion":2,"manifests":null,"config":{},"fsLayers":[]}`,
		`{"schemaVersion":2,"manifests":[[]]}`,
		`null`, `[]`, `{"schemaVersion":2,"config":"x"}`,
	}
}

// FuzzDocument: whatever a registry serves is refused, or gives values that the API can hold.
func FuzzDocument(f *testing.F) {
	for _, s := range seeds() {
		for _, header := range []string{"", dockerimage.MediaTypeSchema1, dockerimage.MediaTypeOCIIndex, dockerimage.MediaTypeSchema2} {
			f.Add(header, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		doc, err := parseDocument(header, body)
		if err != nil {
			if err.Error() == "" {
				t.Error("refused without a reason")
			}
			return
		}
		if !dockerimage.IsList(doc.mediaType) && !isSingle(doc.mediaType) {
			t.Errorf("accepted as %q", doc.mediaType)
		}
		for _, l := range doc.layers {
			if digest.Digest(l.Name).Validate() != nil || l.LayerSize < 0 {
				t.Errorf("layer %+v", l)
			}
		}
		if size := dockerimage.Size("", 0, doc.layers); size < 0 {
			t.Errorf("size %d", size)
		}
	})
}

// FuzzConfig: whatever a config is, its metadata survives being written and read.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"created":"2020-01-02T03:04:05Z","architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Labels":{"a":"b"}}}`,
		`{"created":"yesterday","config":{"Cmd":"text"}}`, `{"config":{"ExposedPorts":{"80/tcp":{}}},"container_config":{"Volumes":{"/x":{}}}}`, `null`, `7`,
	} {
		f.Add("application/vnd.oci.image.config.v1+json", []byte(s))
		f.Add("application/vnd.example", []byte(s))
	}
	f.Fuzz(func(t *testing.T, mediaType string, config []byte) {
		metadata := dockerimage.Describe(manifest.Descriptor{MediaType: mediaType, Digest: digest.Digest(someDigest), Size: int64(len(config))}, config, nil)
		if metadata.ID != someDigest || metadata.Size != int64(len(config)) {
			t.Errorf("Id %q, Size %d", metadata.ID, metadata.Size)
		}
		var image imagev1.Image
		if err := dockerimage.SetMetadata(&image, metadata); err != nil {
			t.Fatalf("metadata of a config that was accepted cannot be written: %v", err)
		}
		if _, err := dockerimage.Metadata(&image); err != nil {
			t.Errorf("written metadata cannot be read: %v", err)
		}
		if entry := imageManifest(listEntry{}, builtImage{config: config}); entry.Architecture == "" || entry.OS == "" {
			t.Errorf("entry without platform: %+v", entry)
		}
	})
}

// FuzzListTree builds a tree of lists from a description and imports it in both modes, over nothing
// but bytes: a string of repository content is the whole upstream.
func FuzzListTree(f *testing.F) {
	f.Add("((i)i)", true)
	f.Add("((((((((i))))))))", false)
	f.Add("()(i(", true)
	f.Add("iiiiiiiiiiiiiiiii", false)
	f.Fuzz(func(t *testing.T, description string, preserving bool) {
		if len(description) > 200 {
			return
		}
		store := treeStore{}
		top := store.list(&description)
		options := DefaultOptions()
		options.Registries, options.Limits.ManifestsPerTag, options.Concurrency = treeRegistries{store}, 40, 2
		importer := New(options)
		req := ImageRequest{Ref: "r.io/x@" + top.String()}
		if preserving {
			req.Mode = imagev1.ImportModePreserveOriginal
		}
		result := importer.Import(t.Context(), Request{Images: []ImageRequest{req}}).Images[0]
		if result.Status.Reason == "InternalError" && strings.Contains(result.Status.Message, errDefect.Error()) {
			t.Fatal("a defect")
		}
		if result.Image == nil {
			if result.Status.Message == "" {
				t.Error("failed without a reason")
			}
			return
		}
		if len(result.Manifests) >= options.Limits.ManifestsPerTag {
			t.Errorf("%d members, limit %d", len(result.Manifests), options.Limits.ManifestsPerTag)
		}
		created := map[string]bool{}
		for _, image := range append(result.Manifests, *result.Image) {
			for _, m := range image.DockerImageManifests {
				if !created[m.Digest] {
					t.Errorf("%s comes before its entry %+v", image.Name, m)
				}
			}
			if errs := validation.Image(&image); len(errs) > 0 {
				t.Errorf("%s is not valid: %v", image.Name, errs)
			}
			created[image.Name] = true
		}
	})
}

// list stores the list that a description begins with and moves behind it: "i" is an image, "(" a
// list up to ")".
func (s treeStore) list(description *string) digest.Digest {
	type manifest struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int           `json:"size"`
	}
	entries := []manifest{}
	for *description != "" {
		c := (*description)[0]
		*description = (*description)[1:]
		switch c {
		case 'i':
			entries = append(entries, manifest{dockerimage.MediaTypeOCIManifest, s.add(fmt.Sprintf(
				`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"annotations":{"n":"%d"}}`,
				dockerimage.MediaTypeOCIManifest, emptyConfig.Digest, len(*description))), 1})
		case '(':
			entries = append(entries, manifest{dockerimage.MediaTypeOCIIndex, s.list(description), 1})
		case ')':
			raw, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": entries})
			return s.add(string(raw))
		}
	}
	raw, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": entries})
	return s.add(string(raw))
}
