package manifest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// loose is a manifest to readers that take any spelling of a key and the last of two.
type loose struct {
	SchemaVersion int
	MediaType     string
	Config        looseDescriptor
	Layers        []looseDescriptor
	FSLayers      []struct{ BlobSum string }
	Blobs         []looseDescriptor
	Manifests     []looseDescriptor
	Subject       looseDescriptor
}

type looseDescriptor struct {
	MediaType, Digest string
	Size              int64
	Platform          struct{ Architecture, OS, Variant string }
}

func (d Descriptor) loose() looseDescriptor {
	l := looseDescriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}
	l.Platform.Architecture, l.Platform.OS, l.Platform.Variant = d.Platform.Architecture, d.Platform.OS, d.Platform.Variant
	return l
}

// FuzzRead holds that a document that is accepted has the same parts to a loose reader, and that
// of each format it has parts of that format only.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{image, index, schema1, docker, buildkit, artifact, sign(schema1, "", 2), `{"layerſ":[]}`, `{"blobs":null}`, `null`, "{\"\xff\":1}", `{"annotations":1,"layers":[{"digest":"d","platform":{"os":1}}]}`} {
		f.Add([]byte(seed))
		f.Add([]byte(strings.ReplaceAll(seed, "digest", "Digest")))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := Read(content)
		if err != nil {
			if m != nil || err.Error() == "" {
				t.Fatalf("got %+v, %q", m, err)
			}
			return
		}
		_, _ = m.SignedPayload(content)
		var l loose
		// Of a field of another type a loose reader keeps what is around it, too.
		if err := json.Unmarshal(content, &l); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) {
			t.Fatalf("a loose reader cannot read it: %v", err)
		}
		if l.SchemaVersion != m.SchemaVersion || l.MediaType != m.MediaType {
			t.Fatalf("a loose reader takes it for %d, %q; it is %d, %q", l.SchemaVersion, l.MediaType, m.SchemaVersion, m.MediaType)
		}
		var want []looseDescriptor
		if m.Config != nil {
			want = append(want, l.Config)
		} else if l.Config != (looseDescriptor{}) {
			t.Fatalf("a loose reader finds the config %+v", l.Config)
		}
		want = append(want, l.Layers...)
		for _, layer := range l.FSLayers {
			want = append(want, looseDescriptor{MediaType: MediaTypeSchema1Layer, Digest: layer.BlobSum})
		}
		want = append(append(want, l.Blobs...), l.Manifests...)
		var got []looseDescriptor
		for _, part := range m.Parts() {
			got = append(got, part.loose())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("a loose reader finds %v, not %v", want, got)
		}
		if m.Subject != nil && m.Subject.loose() != l.Subject || m.Subject == nil && l.Subject != (looseDescriptor{}) {
			t.Fatalf("a loose reader finds the subject %+v", l.Subject)
		}
	})
}

// BenchmarkRead compares Read with encoding/json alone, on an image of many layers.
func BenchmarkRead(b *testing.B) {
	content := []byte(strings.Replace(image, `"layers":[`, `"layers":[`+strings.Repeat(desc+",", 50), 1))
	for name, read := range map[string]func() error{
		"strict": func() error { _, err := Read(content); return err },
		"json":   func() error { return json.Unmarshal(content, &Manifest{}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
