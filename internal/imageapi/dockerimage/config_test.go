package dockerimage

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	"github.com/openshift/api/image/docker10"

	"weir.dev/weir/internal/manifest"
)

// otherTypes are values by the kind of field that takes them.
var otherTypes = map[reflect.Kind]string{
	reflect.String: `"text"`, reflect.Int64: `1`, reflect.Bool: `true`, reflect.Slice: `["a"]`, reflect.Map: `{"a":{}}`,
}

// takes reports whether a field of one kind takes a value for another.
func takes(field, value reflect.Kind) bool {
	return field == value || field == reflect.Struct && value == reflect.Map
}

// Builders write values of other types than the format has. Every field of a configuration is given
// a value for a field of each other kind: it counts as absent, and its neighbours stay.
func TestConfigFieldsOfAnotherType(t *testing.T) {
	tried := 0
	try := func(of reflect.Type, document func(member string) string) {
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			kind := field.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			for valueKind, value := range otherTypes {
				if takes(kind.Kind(), valueKind) || name == "architecture" || name == "WorkingDir" || field.Type == reflect.TypeFor[lenientTime]() {
					continue
				}
				tried++
				text := document(fmt.Sprintf("%q:%s", name, value))
				m, err := metadataFromConfig("sha256:c", []byte(text), nil)
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				want := docker10.DockerImage{ID: "sha256:c", Architecture: "arm64", Size: int64(len(text))}
				if of == reflect.TypeFor[docker10.DockerConfig]() {
					want.Config = &docker10.DockerConfig{WorkingDir: "/srv"}
				}
				if diff := cmp.Diff(want, m); diff != "" {
					t.Errorf("%s (-want +got):\n%s", text, diff)
				}
			}
		}
	}
	try(reflect.TypeFor[imageConfig](), func(member string) string { return `{"architecture":"arm64",` + member + `}` })
	try(reflect.TypeFor[docker10.DockerConfig](), func(member string) string {
		return `{"architecture":"arm64","config":{"WorkingDir":"/srv",` + member + `}}`
	})
	if tried < 120 {
		t.Errorf("tried %d values", tried)
	}
}

func TestConfigKeepsWhatCanBeUsed(t *testing.T) {
	m, err := metadataFromConfig("", []byte(`{"config":{"Labels":{"version":1,"a":"b"},"Env":["A=b",7],"ExposedPorts":{"80/tcp":{},"81/tcp":[]}},"created":7}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &docker10.DockerConfig{Labels: map[string]string{"a": "b"}, Env: []string{"A=b"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}}
	if diff := cmp.Diff(want, m.Config); diff != "" {
		t.Error(diff)
	}
	s1, err := parseManifest([]byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:a"}],"history":[{"v1Compatibility":"{\"id\":\"v1\",\"Size\":\"x\",\"parent\":7,\"config\":{\"Cmd\":\"run\",\"User\":\"u\"}}"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if m, err = MetadataFromSchema1(s1); err != nil || m.ID != "v1" || m.Parent != "" || m.Config.User != "u" || m.Config.Cmd != nil {
		t.Errorf("schema 1: %+v, %v", m, err)
	}
}

// Whatever the configuration is, the metadata has its digest and the image's size.
func TestDescribe(t *testing.T) {
	for name, test := range map[string]struct {
		mediaType, text string
		unread          bool
		architecture    string
	}{
		"image":             {mediaType: MediaTypeOCIImageConfig, text: `{"architecture":"arm64"}`, architecture: "arm64"},
		"parameters":        {mediaType: MediaTypeSchema2Config + "; charset=utf-8", text: `{"architecture":"arm64"}`, architecture: "arm64"},
		"no type":           {text: `{"architecture":"arm64"}`, architecture: "arm64"},
		"early Docker":      {mediaType: "application/octet-stream", text: `{"architecture":"arm64"}`, architecture: "arm64"},
		"artifact":          {mediaType: "application/vnd.cncf.helm.config.v1+json", text: `{"architecture":"chart"}`},
		"not read":          {mediaType: MediaTypeOCIImageConfig, text: `{"architecture":"arm64"}`, unread: true},
		"no JSON":           {mediaType: MediaTypeOCIImageConfig, text: "\xff"},
		"a list":            {mediaType: MediaTypeOCIImageConfig, text: "[]"},
		"nested beyond all": {mediaType: MediaTypeOCIImageConfig, text: strings.Repeat(`{"config":`, 65) + "1" + strings.Repeat("}", 65)},
	} {
		t.Run(name, func(t *testing.T) {
			d := manifest.Descriptor{MediaType: test.mediaType, Digest: digest.FromString(test.text), Size: int64(len(test.text))}
			text := []byte(test.text)
			if test.unread {
				text = nil
			}
			want := docker10.DockerImage{ID: d.Digest.String(), Architecture: test.architecture, Size: d.Size}
			if diff := cmp.Diff(want, Describe(d, text, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzConfigFields holds that any one member of a configuration leaves its neighbours as they are.
func FuzzConfigFields(f *testing.F) {
	for _, member := range []string{`"Entrypoint":"/bin/app"`, `"Labels":{"a":1}`, `"Volumes":[]`, `"User":1000`, `"Memory":1e400`} {
		f.Add(member)
	}
	f.Fuzz(func(t *testing.T, member string) {
		text := `{"architecture":"arm64","config":{` + member + `,"WorkingDir":"/srv"},"author":"me"}`
		if !json.Valid([]byte(text)) || manifest.TooDeep([]byte(text)) || strings.Contains(strings.ToLower(member), "ar") || strings.ContainsAny(member, "}\\") {
			return
		}
		m, err := metadataFromConfig("", []byte(text), nil)
		if err != nil || m.Architecture != "arm64" || m.Author != "me" || m.Config == nil || m.Config.WorkingDir != "/srv" {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	})
}
