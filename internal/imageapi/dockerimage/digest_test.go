package dockerimage

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

// signed wraps a schema 1 document as docker did: the signatures go in before the closing brace.
func signed(payload string) string {
	cut := strings.LastIndex(payload, "}")
	note := fmt.Sprintf(`{"formatLength":%d,"formatTail":%q,"time":"2015-01-01T00:00:00Z"}`, cut, base64.RawURLEncoding.EncodeToString([]byte(payload[cut:])))
	return payload[:cut] + fmt.Sprintf(`,"signatures":[{"protected":%q}]}`, base64.RawURLEncoding.EncodeToString([]byte(note)))
}

func TestCanonicalDigest(t *testing.T) {
	docker, oci := schema2(MediaTypeSchema2), schema2(MediaTypeOCIManifest)
	bare := schema2("")
	for name, test := range map[string]struct{ manifest, mediaType, of string }{
		"schema2":                 {docker, MediaTypeSchema2, docker},
		"oci":                     {oci, MediaTypeOCIManifest, oci},
		"type not inside":         {bare, MediaTypeOCIManifest, bare},
		"other type inside":       {oci, MediaTypeSchema2, ""},
		"schema1 signed":          {signed(schema1), MediaTypeSchema1Signed, schema1},
		"schema1":                 {signed(schema1), MediaTypeSchema1, schema1},
		"no type means schema1":   {signed(schema1), "", schema1},
		"schema1 unsigned":        {schema1, MediaTypeSchema1, ""},
		"schema2 as schema1":      {docker, "", ""},
		"schema1 as schema2":      {signed(schema1), MediaTypeSchema2, ""},
		"list":                    {list, MediaTypeManifestList, ""},
		"list as schema2":         {list, MediaTypeSchema2, ""},
		"foreign type":            {docker, "x/y", ""},
		"no JSON":                 {"x", MediaTypeSchema2, ""},
		"note longer than text":   {`{"schemaVersion":1,"signatures":[{"protected":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"formatLength":99999,"formatTail":""}`)) + `"}]}`, "", ""},
		"note of negative length": {`{"schemaVersion":1,"signatures":[{"protected":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"formatLength":-1,"formatTail":""}`)) + `"}]}`, "", ""},
		"note is no base64":       {`{"schemaVersion":1,"signatures":[{"protected":"*"}]}`, "", ""},
		"note is no JSON":         {`{"schemaVersion":1,"signatures":[{"protected":"eA"}]}`, "", ""},
		"notes differ":            {`{"schemaVersion":1,"signatures":[{"protected":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"formatLength":1}`)) + `"},{"protected":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"formatLength":2}`)) + `"}]}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := canonicalDigest([]byte(test.manifest), test.mediaType)
			if test.of == "" {
				if err == nil {
					t.Errorf("got %s, want an error", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := digest.FromString(test.of); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
