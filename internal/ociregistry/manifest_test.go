package ociregistry

import (
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

const (
	hexA   = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	descA  = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + hexA + `","size":2}`
	image1 = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + descA + `,"layers":[` + descA + `]}`
	index1 = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + descA + `]}`
)

func TestParseManifest(t *testing.T) {
	const docker, list = dockerimage.MediaTypeSchema2, dockerimage.MediaTypeManifestList
	const image, index = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
	for name, c := range map[string]struct {
		content, contentType string
		mediaType            string // "" is refused
		because              string
	}{
		"image":                           {image1, image, image, ""},
		"image with parameters":           {image1, image + "; charset=utf-8", image, ""},
		"image without Content-Type":      {image1, "", image, ""},
		"image without mediaType":         {strings.Replace(image1, `"mediaType":"`+image+`",`, "", 1), image, image, ""},
		"image in neither":                {strings.Replace(image1, `"mediaType":"`+image+`",`, "", 1), "", "", "both Content-Type and mediaType are missing"},
		"index":                           {index1, index, index, ""},
		"index without mediaType":         {strings.Replace(index1, `"mediaType":"`+index+`",`, "", 1), index, index, ""},
		"empty index":                     {`{"schemaVersion":2,"manifests":[]}`, index, index, ""},
		"null index":                      {`{"schemaVersion":2,"manifests":null}`, index, index, ""},
		"docker image":                    {strings.ReplaceAll(image1, image, docker), docker, docker, ""},
		"docker list":                     {strings.ReplaceAll(index1, index, list), list, list, ""},
		"no layers":                       {`{"schemaVersion":2,"config":` + descA + `}`, image, image, ""},
		"null layers":                     {`{"schemaVersion":2,"config":` + descA + `,"layers":null}`, image, image, ""},
		"unknown fields":                  {strings.Replace(image1, `{`, `{"org.example":{"a":[1,2]},`, 1), image, image, ""},
		"descriptors with unknown fields": {strings.Replace(image1, `"size":2`, `"size":2,"platform":{"os.features":7},"x":1`, 1), image, image, ""},
		"subject":                         {strings.Replace(image1, `{`, `{"subject":`+descA+`,`, 1), image, image, ""},

		"other Content-Type":          {image1, docker, "", "its Content-Type is"},
		"generic Content-Type":        {image1, "application/json", "", "its Content-Type is"},
		"unknown type":                {`{"schemaVersion":2}`, "text/plain", "", "is not that of a manifest or index"},
		"artifact manifest":           {`{}`, "application/vnd.oci.artifact.manifest.v1+json", "", "is not that of a manifest or index"},
		"schema 1":                    {`{"schemaVersion":1}`, dockerimage.MediaTypeSchema1Signed, "", "schema 1"},
		"unsigned schema 1":           {`{"schemaVersion":1}`, dockerimage.MediaTypeSchema1, "", "schema 1"},
		"no JSON":                     {`layers: []`, image, "", "not JSON"},
		"nothing":                     {``, image, "", "not JSON"},
		"more than JSON":              {image1 + "x", image, "", "not JSON"},
		"an array":                    {`[]`, image, "", "not a JSON object"},
		"null":                        {`null`, image, "", "not a JSON object"},
		"schemaVersion 1":             {strings.Replace(image1, `"schemaVersion":2`, `"schemaVersion":1`, 1), image, "", "schemaVersion is 1"},
		"no schemaVersion":            {strings.Replace(image1, `"schemaVersion":2,`, ``, 1), image, "", "schemaVersion is 0"},
		"schemaVersion in upper":      {strings.Replace(image1, `schemaVersion`, `SchemaVersion`, 1), image, "", `"SchemaVersion" differs`},
		"docker without mediaType":    {strings.Replace(image1, `"mediaType":"`+image+`",`, "", 1), docker, "", "mediaType is missing"},
		"no config":                   {`{"schemaVersion":2,"layers":[]}`, image, "", "config is missing"},
		"null config":                 {`{"schemaVersion":2,"config":null}`, image, "", "config is missing"},
		"config of a wrong kind":      {`{"schemaVersion":2,"config":[]}`, image, "", "config:"},
		"layers of a wrong kind":      {`{"schemaVersion":2,"config":` + descA + `,"layers":{}}`, image, "", "layers:"},
		"layer of a wrong kind":       {`{"schemaVersion":2,"config":` + descA + `,"layers":["x"]}`, image, "", "layers:"},
		"manifests of a wrong kind":   {`{"schemaVersion":2,"manifests":"x"}`, index, "", "manifests:"},
		"no manifests":                {`{"schemaVersion":2}`, index, "", "manifests is missing"},
		"index that is an image":      {strings.Replace(index1, `{`, `{"layers":[],`, 1), index, "", "ambiguous"},
		"image that is an index":      {strings.Replace(image1, `{`, `{"manifests":[],`, 1), image, "", "ambiguous"},
		"index pushed as an image":    {strings.Replace(index1, `"mediaType":"`+index+`",`, "", 1), image, "", "has the structure of"},
		"image pushed as an index":    {strings.Replace(image1, `"mediaType":"`+image+`",`, "", 1), index, "", "has the structure of"},
		"blobs pushed as an image":    {`{"schemaVersion":2,"blobs":[]}`, image, "", "has the structure of"},
		"config without digest":       {`{"schemaVersion":2,"config":{}}`, image, "", "config.digest"},
		"layer of a bad digest":       {strings.Replace(image1, `[{`, `[{"digest":"sha256:x"},{`, 1), image, "", "layers[0].digest"},
		"layer of an unknown digest":  {strings.Replace(image1, `[{`, `[{"digest":"md5:`+hexA[:32]+`"},{`, 1), image, "", "layers[0].digest"},
		"layer of a negative size":    {strings.Replace(image1, `"size":2}]`, `"size":-2}]`, 1), image, "", "layers[0].size is -2"},
		"layer of half a size":        {strings.Replace(image1, `"size":2}]`, `"size":2.5}]`, 1), image, "", "layers.size:"},
		"child of a bad digest":       {strings.Replace(index1, hexA, hexA[1:], 1), index, "", "manifests[0].digest"},
		"subject of a bad digest":     {strings.Replace(image1, `{`, `{"subject":{"digest":"x"},`, 1), image, "", "subject.digest"},
		"annotations of a wrong kind": {strings.Replace(image1, `{`, `{"annotations":{"a":1},`, 1), image, image, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parseManifest([]byte(c.content), c.contentType)
			if c.mediaType == "" {
				if !hasCode(err, CodeManifestInvalid) || !strings.Contains(err.Error(), c.because) {
					t.Fatalf("it is refused with %v, not because of %q", err, c.because)
				}
				return
			}
			if err != nil || m.mediaType != c.mediaType {
				t.Fatalf("it is %+v, %v", m, err)
			}
			// What is accepted is served as what it was accepted as.
			if got := typeOfStored([]byte(c.content), ""); got != c.mediaType {
				t.Errorf("it is served as %q", got)
			}
		})
	}
}

func TestTypeOfStored(t *testing.T) {
	for content, want := range map[string]string{
		`{"schemaVersion":1,"signatures":[{}]}`: dockerimage.MediaTypeSchema1Signed,
		`{"schemaVersion":1}`:                   dockerimage.MediaTypeSchema1,
		`{"schemaVersion":2,"manifests":[]}`:    ocispec.MediaTypeImageIndex,
		`{"schemaVersion":2}`:                   ocispec.MediaTypeImageManifest,
		`{"mediaType":"a/b"}`:                   "a/b",
		`not JSON`:                              "application/octet-stream",
	} {
		if got := typeOfStored([]byte(content), ""); got != want {
			t.Errorf("%s is %q, not %q", content, got, want)
		}
	}
	if got := typeOfStored([]byte(`{"schemaVersion":2}`), dockerimage.MediaTypeSchema2); got != dockerimage.MediaTypeSchema2 {
		t.Errorf("what is known of it is not believed: %q", got)
	}
}

func TestNeeded(t *testing.T) {
	layer := func(mediaType, of string) descriptor {
		return descriptor{MediaType: mediaType, Digest: digest.FromString(of), Size: 1}
	}
	config := layer(ocispec.MediaTypeImageConfig, "config")
	m := &manifest{
		mediaType: ocispec.MediaTypeImageManifest, config: &config,
		layers: []descriptor{
			layer(ocispec.MediaTypeImageLayerGzip, "one"),
			layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign"),
			layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "windows"),
			layer(ocispec.MediaTypeImageLayerGzip, "one"),
			layer("application/vnd.example+type", "two"),
		},
	}
	list := &manifest{mediaType: ocispec.MediaTypeImageIndex, children: []descriptor{layer(ocispec.MediaTypeImageManifest, "child")}}
	for _, c := range []struct {
		m      *manifest
		sparse Sparse
		want   []string
	}{
		{m, SparseIndexes, []string{"config", "layers[0]", "layers[4]"}},
		{m, SparseNone, []string{"config", "layers[0]", "layers[4]"}},
		{m, SparseAll, []string{"config"}},
		{list, SparseIndexes, nil},
		{list, SparseAll, nil},
		{list, SparseNone, []string{"manifests[0]"}},
	} {
		var got []string
		for _, p := range c.m.parts(c.sparse) {
			if !p.optional {
				got = append(got, p.what)
			}
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s with %s needs %v, not %v", c.m.mediaType, c.sparse, got, c.want)
		}
	}
}

// FuzzParseManifest holds that what is accepted has valid references only, is one thing
// and not another, and is served as what it was accepted as.
func FuzzParseManifest(f *testing.F) {
	types := []string{
		"", ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		dockerimage.MediaTypeSchema2, dockerimage.MediaTypeManifestList, "application/json",
	}
	for i := range types {
		for _, seed := range []string{image1, index1, `{}`, `null`, `{"schemaVersion":2,"manifests":null}`, `{"schemaVersion":1,"signatures":[]}`} {
			f.Add([]byte(seed), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, kind uint8) {
		m, err := parseManifest(content, types[int(kind)%len(types)])
		if err != nil {
			if !hasCode(err, CodeManifestInvalid) {
				t.Fatalf("it fails with %v", err)
			}
			return
		}
		all := append(append([]descriptor{}, m.layers...), m.children...)
		if m.config != nil {
			all = append(all, *m.config)
		}
		if m.subject != nil {
			all = append(all, *m.subject)
		}
		for _, d := range all {
			if d.Digest.Validate() != nil || d.Size < 0 {
				t.Fatalf("it refers to %+v", d)
			}
		}
		if m.isList() != (m.config == nil) || m.isList() && m.layers != nil {
			t.Fatalf("it is %+v", m)
		}
		if got := typeOfStored(content, ""); got != m.mediaType {
			t.Fatalf("it is pushed as %q and served as %q", m.mediaType, got)
		}
	})
}

// FuzzSignature holds that what is accepted has all that a signature needs.
func FuzzSignature(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"name":"sha256:a@b","content":"YQ=="}`))
	f.Add([]byte(`{"schemaVersion":1}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parseSignature(content)
		if err != nil {
			if !hasCode(err, CodeSignatureInvalid) {
				t.Fatal(err)
			}
			return
		}
		if s.SchemaVersion != 2 || s.Type == "" || len(s.Content) == 0 || !strings.Contains(s.Name, "@") {
			t.Fatalf("it is %+v", s)
		}
	})
}
