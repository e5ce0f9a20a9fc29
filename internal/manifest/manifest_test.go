package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
)

const (
	hexA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	desc = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + hexA + `","size":2}`

	image = `{"schemaVersion":2,"mediaType":"` + MediaTypeOCIManifest + `","config":` + desc + `,"layers":[` + desc + `]}`
	index = `{"schemaVersion":2,"mediaType":"` + MediaTypeOCIIndex + `","manifests":[` + desc + `]}`

	schema1 = `{"schemaVersion":1,"name":"a/b","tag":"t","architecture":"amd64","fsLayers":[{"blobSum":"sha256:top"},{"blobSum":"sha256:base"}],
		"history":[{"v1Compatibility":"{\"id\":\"i\",\"Size\":7}"},{"v1Compatibility":"{}"}],
		"signatures":[{"header":{"jwk":{"crv":"P-256"},"alg":"ES256"},"signature":"x","protected":"y"}]}`
)

// docker is a manifest as Docker writes it, with the keys that only registries and runtimes read.
const docker = `{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 7023,
      "digest": "sha256:config"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
         "size": 32654,
         "digest": "sha256:base",
         "urls": ["https://example.org/base"]
      }
   ]
}`

// buildkit is an index as BuildKit writes it, with an attestation.
const buildkit = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
	{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:arm","size":482,
	 "platform":{"architecture":"arm","os":"linux","variant":"v7","os.version":"1","os.features":["f"]}},
	{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:note","size":566,
	 "annotations":{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"sha256:arm"},
	 "platform":{"architecture":"unknown","os":"unknown"}}]}`

const artifact = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x",
	"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:empty","size":2,"data":"e30="},
	"layers":null,"subject":{"mediaType":"a/b","digest":"sha256:subject","size":3},"annotations":{"Layers":"text","layers":"text"}}`

func TestRead(t *testing.T) {
	of := func(d string, mediaType string, size int64) Descriptor {
		return Descriptor{MediaType: mediaType, Digest: digest.Digest(d), Size: size}
	}
	arm, note := of("sha256:arm", MediaTypeOCIManifest, 482), of("sha256:note", MediaTypeOCIManifest, 566)
	arm.Platform = Platform{"arm", "linux", "v7"}
	note.Platform = Platform{Architecture: "unknown", OS: "unknown"}
	note.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "sha256:arm"}
	empty, subject := of("sha256:empty", "application/vnd.oci.empty.v1+json", 2), of("sha256:subject", "a/b", 3)
	empty.Data = []byte("{}")
	config := of("sha256:config", MediaTypeSchema2Config, 7023)
	for name, test := range map[string]struct {
		content string
		want    Manifest
		parts   string
	}{
		"schema 1": {schema1, Manifest{
			SchemaVersion: 1, Format: FormatSchema1, Signed: true,
			FSLayers: []FSLayer{{"sha256:top"}, {"sha256:base"}}, History: []History{{`{"id":"i","Size":7}`}, {"{}"}}, Signatures: []Signature{{"y"}},
		}, "sha256:top sha256:base"},
		"schema 2": {docker, Manifest{
			SchemaVersion: 2, Format: FormatImage, MediaType: MediaTypeSchema2, Config: &config,
			Layers: []Descriptor{of("sha256:base", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 32654)},
		}, "sha256:config sha256:base"},
		"index": {buildkit, Manifest{
			SchemaVersion: 2, Format: FormatList, MediaType: MediaTypeOCIIndex, Manifests: []Descriptor{arm, note},
		}, "sha256:arm sha256:note"},
		"artifact with a subject": {artifact, Manifest{
			SchemaVersion: 2, Format: FormatImage, MediaType: MediaTypeOCIManifest, ArtifactType: "application/x", Config: &empty,
			Subject: &subject, Annotations: map[string]string{"Layers": "text", "layers": "text"},
		}, "sha256:empty"},
		"artifact manifest": {`{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"digest":"sha256:b"}]}`, Manifest{
			Format: FormatArtifact, MediaType: "application/vnd.oci.artifact.manifest.v1+json", Blobs: []Descriptor{of("sha256:b", "", 0)},
		}, "sha256:b"},
		"null list":            {`{"schemaVersion":2,"manifests":null}`, Manifest{SchemaVersion: 2, Format: FormatList}, ""},
		"null config":          {`{"schemaVersion":2,"config":null}`, Manifest{SchemaVersion: 2, Format: FormatImage}, ""},
		"no parts":             {`{"mediaType":"a/b"}`, Manifest{MediaType: "a/b"}, ""},
		"nothing":              {` { } `, Manifest{}, ""},
		"escaped key":          {`{"l\u0061yers":[{"digest":"x"}]}`, Manifest{Format: FormatImage, Layers: []Descriptor{of("x", "", 0)}}, "x"},
		"unknown keys":         {`{"x":{"Layers":[1,{}],"":-1.5e3,"é":"\"}"},"y":[[],[true,null]],"digest":"x"}`, Manifest{}, ""},
		"brackets in a string": {`{"x":"` + strings.Repeat("[", 100) + `\"` + strings.Repeat("[", 100) + `"}`, Manifest{}, ""},
		"64 levels deep":       {`{"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, Manifest{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read([]byte(test.content))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Error(diff)
			}
			var parts []string
			for _, part := range got.Parts() {
				parts = append(parts, part.Digest.String())
			}
			if got := strings.Join(parts, " "); got != test.parts {
				t.Errorf("parts are %q, want %q", got, test.parts)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	more := func(document, members string) string { return strings.Replace(document, "{", "{"+members+",", 1) }
	in := func(document, member string) string {
		return strings.Replace(document, `"size":2`, `"size":2,`+member, 1)
	}
	child := func(platform string) string { return in(index, `"platform":`+platform) }
	for name, test := range map[string]struct{ content, cause string }{
		// Keys that some readers take for others.
		"Layers":                        {more(image, `"Layers":[]`), `"Layers" differs from the key "layers" only by case`},
		"Layers behind layers":          {strings.TrimSuffix(image, "}") + `,"Layers":[]}`, `"Layers" differs`},
		"LAYERS alone":                  {`{"schemaVersion":2,"LAYERS":[]}`, `"LAYERS" differs`},
		"layerſ":                        {more(image, `"layerſ":[]`), `"layerſ" differs from the key "layers"`},
		"layerſ, escaped":               {more(image, `"layer\u017f":[]`), `"layerſ" differs from the key "layers"`},
		"Config":                        {more(image, `"Config":null`), `"Config" differs`},
		"Manifests in an image":         {more(image, `"Manifests":[]`), `"Manifests" differs`},
		"Manifests in an index":         {more(index, `"Manifests":[]`), `"Manifests" differs`},
		"Layers in an index":            {more(index, `"Layers":[]`), `"Layers" differs`},
		"manifeſts":                     {more(index, `"manifeſts":[]`), `"manifeſts" differs`},
		"fslayers":                      {more(schema1, `"fslayers":[]`), `"fslayers" differs`},
		"BlobSum":                       {`{"schemaVersion":1,"fsLayers":[{"BlobSum":"x"}]}`, `"fsLayers[0].BlobSum" differs`},
		"v1compatibility":               {`{"schemaVersion":1,"history":[{"v1compatibility":"x"}]}`, `"history[0].v1compatibility" differs`},
		"Blobs":                         {more(image, `"Blobs":[]`), `"Blobs" differs`},
		"SchemaVersion":                 {more(image, `"SchemaVersion":1`), `"SchemaVersion" differs`},
		"mediatype":                     {more(image, `"mediatype":""`), `"mediatype" differs`},
		"Subject":                       {more(image, `"Subject":null`), `"Subject" differs`},
		"Digest in config":              {in(image, `"Digest":"x"`), `"config.Digest" differs`},
		"digest twice in config":        {in(image, `"digest":"x"`), `"config.digest" is there more than once`},
		"Digest in a layer":             {strings.Replace(image, `"layers":[{`, `"layers":[{"Digest":"x",`, 1), `"layers[0].Digest" differs`},
		"ſize in a layer":               {strings.Replace(image, `"layers":[{`, `"layers":[{},{"ſize":1,`, 1), `"layers[1].ſize" differs`},
		"Data in a config":              {in(image, `"Data":""`), `"config.Data" differs`},
		"Digest in a child":             {in(index, `"Digest":"x"`), `"manifests[0].Digest" differs`},
		"Digest in a subject":           {more(image, `"subject":{"Digest":"x"}`), `"subject.Digest" differs`},
		"OS in a platform":              {child(`{"OS":"linux"}`), `"manifests[0].platform.OS" differs`},
		"Architecture in a platform":    {child(`{"architecture":"a","Architecture":"b"}`), `"manifests[0].platform.Architecture" differs`},
		"layers twice":                  {more(image, `"layers":[]`), `"layers" is there more than once`},
		"layers twice, once escaped":    {more(image, `"l\u0061yers":[]`), `"layers" is there more than once`},
		"manifests twice":               {more(index, `"manifests":[]`), `"manifests" is there more than once`},
		"config twice":                  {more(image, `"config":null`), `"config" is there more than once`},
		"schemaVersion twice":           {more(image, `"schemaVersion":1`), `"schemaVersion" is there more than once`},
		"annotation twice":              {more(image, `"annotations":{"a":"1","a":"2"}`), `"annotations.a" is there more than once`},
		"all that is wrong with keys":   {`{"Layers":[{"digest":"","digest":""}],"Config":{}}`, `"Layers" differs from the key "layers" only by case; "Config"`},
		"a key that is cut in the text": {`{"annotations":{"` + strings.Repeat("x", 1000) + `":"","` + strings.Repeat("x", 1000) + `":""}}`, strings.Repeat("x", 188) + `" is`},

		// Parts of more than one format.
		"index with config":        {more(index, `"config":{}`), "ambiguous: it has the parts of more than one format: config, manifests"},
		"index with null config":   {more(index, `"config":null`), "ambiguous"},
		"index with layers":        {more(index, `"layers":[]`), "ambiguous"},
		"index with fsLayers":      {more(index, `"fsLayers":[]`), "ambiguous"},
		"index with blobs":         {more(index, `"blobs":[]`), "ambiguous"},
		"image with manifests":     {more(image, `"manifests":null`), "ambiguous"},
		"image with fsLayers":      {more(image, `"fsLayers":[]`), "ambiguous"},
		"image with blobs":         {more(image, `"blobs":[]`), "ambiguous"},
		"schema 1 with layers":     {more(schema1, `"layers":[]`), "ambiguous"},
		"schema 1 with config":     {more(schema1, `"config":{}`), "ambiguous"},
		"schema 1 with manifests":  {more(schema1, `"manifests":[]`), "ambiguous"},
		"schema 1 with blobs":      {more(schema1, `"blobs":[]`), "ambiguous"},
		"version 1 with layers":    {`{"schemaVersion":1,"layers":[]}`, "schemaVersion is 1, but it has the parts of another format: layers"},
		"version 2 with fsLayers":  {`{"schemaVersion":2,"fsLayers":[]}`, "schemaVersion is 2, but"},
		"type index, parts image":  {strings.Replace(image, MediaTypeOCIManifest, MediaTypeOCIIndex, 1), "mediaType is"},
		"type image, parts index":  {strings.Replace(index, MediaTypeOCIIndex, MediaTypeSchema2, 1), "mediaType is"},
		"type schema 1, an image":  {strings.Replace(image, MediaTypeOCIManifest, MediaTypeSchema1Signed, 1), "mediaType is"},
		"type image, parts blobs":  {`{"mediaType":"` + MediaTypeOCIManifest + `","blobs":[]}`, "mediaType is"},
		"version and type of none": {strings.Replace(schema1, `:1,`, `:2,"mediaType":"`+MediaTypeSchema2+`",`, 1), "schemaVersion is 2, but it has the parts of another format: fsLayers; mediaType"},

		// No document of this kind.
		"nothing":             {"", "not JSON"},
		"text":                {"layers", "not JSON"},
		"an unfinished one":   {image[:len(image)-1], "not JSON"},
		"trailing data":       {image + "x", "not JSON"},
		"two documents":       {image + image, "not JSON"},
		"a list":              {"[" + image + "]", "not a JSON object"},
		"null":                {" null", "not a JSON object"},
		"a number":            {"7", "not a JSON object"},
		"config of one kind":  {`{"config":[]}`, "config: it cannot be a JSON array"},
		"layers of one kind":  {`{"layers":{}}`, "layers: it cannot be a JSON object"},
		"half a size":         {`{"config":{"size":2.5}}`, "config.size: it cannot be a JSON number 2.5"},
		"size beyond 64 bits": {`{"config":{"size":9223372036854775808}}`, "config.size"},
		"digest as a number":  {`{"layers":[{"digest":1}]}`, "layers.digest: it cannot be a JSON number"},
		"a layer as a text":   {`{"artifactType":1,"layers":["x"]}`, "layers: it cannot be a JSON string"},
		"subject as a text":   {`{"artifactType":1,"subject":"x"}`, "subject: it cannot be a JSON string"},
		"type as a number":    {`{"artifactType":1,"mediaType":1}`, "mediaType: it cannot be a JSON number"},
		"version as a text":   {`{"artifactType":1,"schemaVersion":"2"}`, "schemaVersion: it cannot be a JSON string"},
		"history of objects":  {`{"artifactType":1,"history":[{"v1Compatibility":{}}]}`, "history.v1Compatibility: it cannot be a JSON object"},
		"65 levels deep":      {`{"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "nested more than 64 levels deep"},
		"65 objects deep":     {strings.Repeat(`{"x":`, 65) + "1" + strings.Repeat("}", 65), "nested more than 64 levels deep"},
		"too deep to be JSON": {`{"x":` + strings.Repeat("[", 1<<20), "nested more than 64 levels deep"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Read([]byte(test.content))
			invalid := (*InvalidError)(nil)
			if !errors.As(err, &invalid) || m != nil {
				t.Fatalf("got %+v, %v, want an InvalidError", m, err)
			}
			if len(invalid.Causes) == 0 || !strings.Contains(err.Error(), test.cause) {
				t.Errorf("got %q, want %q", err, test.cause)
			}
		})
	}
}

// Fields that lead to no content count as absent when they have another type, and what is around
// them is kept. Every field that is not tagged as required is tried, with every other type.
func TestReadLeavesOutOptionalFields(t *testing.T) {
	const layer = `{"mediaType":"a/b","digest":"sha256:layer","size":3`
	documents := map[reflect.Type]string{
		reflect.TypeFor[Manifest]():   `{"schemaVersion":2,"layers":[` + layer + `}],%s}`,
		reflect.TypeFor[Descriptor](): `{"schemaVersion":2,"layers":[` + layer + `,%s}]}`,
		reflect.TypeFor[Platform]():   `{"schemaVersion":2,"layers":[` + layer + `,"platform":{%s}}]}`,
	}
	values := map[reflect.Kind]string{
		reflect.String: `"text"`, reflect.Int: `1`, reflect.Bool: `true`, reflect.Slice: `[1]`, reflect.Struct: `{"os":1}`, reflect.Map: `{"a":1,"b":{"a":[]}}`,
	}
	want, err := Read([]byte(fmt.Sprintf(documents[reflect.TypeFor[Descriptor]()], `"platform":{}`)))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for of, document := range documents {
		for field := range of.Fields() {
			name := field.Tag.Get("json")
			if name == "-" || field.Tag.Get("foreign") == "required" {
				continue
			}
			for kind, value := range values {
				bytes := field.Type == reflect.TypeFor[[]byte]() // a text or a list of numbers
				if kind == reflect.String && (bytes || field.Type.Kind() == kind) || kind == reflect.Slice && bytes {
					continue
				}
				tried++
				content := fmt.Sprintf(document, fmt.Sprintf("%q:%s", name, value))
				got, err := Read([]byte(content))
				if err != nil {
					t.Errorf("%s: %v", content, err)
					continue
				}
				if len(got.Annotations) == 0 {
					got.Annotations = nil
				}
				for i := range got.Layers {
					if len(got.Layers[i].Annotations) == 0 {
						got.Layers[i].Annotations = nil
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-without +with):\n%s", content, diff)
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("tried %d values", tried)
	}
	kept, err := Read([]byte(`{"annotations":{"a":"b","c":1},"layers":[{"data":"?","digest":"sha256:layer","platform":{"os":"linux","variant":7}}]}`))
	if err != nil || kept.Annotations["a"] != "b" || len(kept.Annotations) != 1 || kept.Layers[0].Platform != (Platform{OS: "linux"}) || kept.Layers[0].Data != nil {
		t.Errorf("got %+v, %v", kept, err)
	}
}

// Keys that are not read are no business of this reader's, at any depth.
func TestReadLeavesUnknownKeys(t *testing.T) {
	document := strings.Replace(image, "{", `{"x":1,"x":[0,{"y":{"digest":1,"digest":2,"Digest":3}}],"":0,"":0,`, 1)
	if _, err := Read([]byte(document)); err != nil {
		t.Error(err)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var b strings.Builder
	for range 1000 {
		fmt.Fprintf(&b, `"%s":"",`, strings.Repeat("x", 1000))
	}
	_, err := Read([]byte(`{"annotations":{` + b.String() + `"x":""}}`))
	if err == nil || len(err.Error()) > maxCauses*300 {
		t.Errorf("the error is %.100v…", err)
	}
}

// TestCrowdedDocuments holds that a document of few bytes does not become many parts in memory.
func TestCrowdedDocuments(t *testing.T) {
	list := func(element string, n int) string {
		return `{"schemaVersion":2,"layers":[` + strings.Repeat(element+",", n) + desc + `]}`
	}
	for name, test := range map[string]struct {
		content string
		refused bool
	}{
		"many real parts":           {list(desc, 20_000), false},
		"parts with all they have":  {list(`{"digest":"sha256:`+hexA+`","platform":{},"annotations":{}}`, 20_000), false},
		"few empty objects":         {list("{}", 900), false},
		"empty objects":             {list("{}", 100_000), true},
		"objects that are not read": {`{"other":[` + strings.Repeat(`{},`, 100_000) + `{}]}`, true},
		"braces in a text":          {`{"annotations":{"x":"` + strings.Repeat("{", 100_000) + `\""}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read([]byte(test.content))
			if crowded := err != nil && strings.Contains(err.Error(), "objects"); crowded != test.refused {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
