package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var manifestRefusedChecks = []check{
	{"not-json", refusedNotJSON},
	{"wrong-digest", refusedManifestDigest},
	{"malformed-digest", refusedMalformedReference},
	{"invalid-tag", refusedTags},
	{"type-mismatch", refusedTypeMismatch},
	{"unknown-type", refusedUnknownType},
	{"ambiguous", refusedAmbiguous},
	{"invalid-descriptors", refusedDescriptors},
	{"invalid-subject", refusedSubject},
	{"cut-off", refusedCutOff},
}

// putRaw pushes bytes as a manifest under a tag.
func (c *C) putRaw(tag, mediaType string, content []byte) *answer {
	c.Helper()
	return c.do(http.MethodPut, manifestPath(c.repository(), tag), withBody(content), withHeader("Content-Type", mediaType))
}

// refuse pushes what is to be refused as no manifest, and looks that nothing came of it.
func (c *C) refuse(mediaType string, content []byte) {
	c.Helper()
	tag := fmt.Sprintf("refused-%d", c.session.serial.Add(1))
	a := c.putRaw(tag, mediaType, content)
	c.wantError(a, http.StatusBadRequest, "MANIFEST_INVALID", "DIGEST_INVALID")
	if a.status != http.StatusBadRequest {
		c.Logf("pushed as %s: %s", mediaType, excerpt(content))
	}
	c.wantNoManifest(c.repository(), tag)
	if len(content) > 0 {
		c.wantNoManifest(c.repository(), digest.FromBytes(content).String())
	}
}

// Definitions, Manifest: a JSON document. Error Codes (code-6).
func refusedNotJSON(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, content := range [][]byte{
		nil, []byte("text"), []byte("null"), []byte("[]"), []byte(`"text"`), []byte("17"), o.content[:len(o.content)-2],
		append(bytes.Clone(o.content), '}'), {0x1f, 0x8b, 8, 0}, append([]byte{0xef, 0xbb, 0xbf}, o.content...),
		[]byte(strings.Repeat("[", 100_000)), []byte(strings.Repeat(`{"a":`, 100_000)),
	} {
		c.refuse(ocispec.MediaTypeImageManifest, content)
	}
	c.refuse(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":{}}`))
}

// Pushing Manifests: the digest in the answer is that of the manifest "and MUST be equal
// to the client provided digest", so another digest is refused (code-4).
func refusedManifestDigest(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, wrong := range []digest.Digest{c.content.unknownDigest(), c.content.with(digest.SHA512).unknownDigest()} {
		c.wantError(c.put(c.repository(), o, wrong.String()), http.StatusBadRequest, "DIGEST_INVALID")
		c.wantNoManifest(c.repository(), wrong.String())
		c.wantNoManifest(c.repository(), o.digest.String())
	}
}

// Pulling manifests: a reference is a tag or a digest, "and MUST NOT be in any other
// format".
func refusedMalformedReference(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, d := range malformedDigests {
		if !strings.Contains(d, ":") {
			continue // a tag like others
		}
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodHead, http.MethodDelete} {
			a := c.do(method, manifestPath(c.repository(), url.PathEscape(d)), withBody(o.content), withHeader("Content-Type", o.mediaType))
			// A router may tidy a path with dots before it finds it malformed.
			if c.want(a, http.StatusBadRequest, http.StatusNotFound, http.StatusMovedPermanently); a.status == http.StatusBadRequest {
				c.wantError(a, http.StatusBadRequest, "DIGEST_INVALID", "TAG_INVALID", "MANIFEST_INVALID", "NAME_INVALID")
			}
		}
	}
}

// Pulling manifests: tags have a grammar and at most 128 characters.
func refusedTags(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, tag := range []string{
		".a", "-a", "a b", "ä", "a:b", "a@b", "a+b", "a,b", "a\x00", "a\n", "a%b", "*", "{tag}", "~", strings.Repeat("x", 129), strings.Repeat("x", 4000),
	} {
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
			a := c.do(method, manifestPath(c.repository(), url.PathEscape(tag)), withBody(o.content), withHeader("Content-Type", o.mediaType))
			if !c.want(a, http.StatusBadRequest, http.StatusNotFound) {
				c.Logf("the tag was %q", tag)
			}
		}
	}
}

// Pushing Manifests: "If a manifest includes a mediaType field, clients MUST set the
// Content-Type header to the value specified by the mediaType field".
func refusedTypeMismatch(c *C) {
	image, index, docker := c.content.image(), c.content.platforms(), c.content.dockerImage()
	for _, o := range []*object{image, index, docker} {
		c.pushBlobs(c.repository(), o)
	}
	c.refuse(ocispec.MediaTypeImageIndex, image.content)
	c.refuse(dockerManifest, image.content)
	c.refuse(ocispec.MediaTypeImageManifest, index.content)
	c.refuse(dockerList, index.content)
	c.refuse(ocispec.MediaTypeImageManifest, docker.content)
}

func refusedUnknownType(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, mediaType := range []string{"text/html", "application/json", octetStream, "application/vnd.example.manifest+json", "/", ";"} {
		a := c.putRaw("refused", mediaType, o.content)
		c.want(a, http.StatusBadRequest, http.StatusUnsupportedMediaType)
		c.wantNoManifest(c.repository(), "refused")
	}
}

// image-spec, manifest.md and image-index.md: what could be read as a manifest and as an
// index is neither (CVE-2021-41190).
func refusedAmbiguous(c *C) {
	image, index := c.content.untypedImage(), c.content.index(nil, func(x *ocispec.Index) { x.MediaType = "" })
	c.pushBlobs(c.repository(), image)
	both := map[string]json.RawMessage{}
	for _, content := range [][]byte{image.content, index.content} {
		if err := json.Unmarshal(content, &both); err != nil {
			c.Fatalf("reading a manifest that was just written: %v", err)
		}
	}
	child := image.descriptor()
	both["manifests"], _ = json.Marshal([]ocispec.Descriptor{child})
	content, err := json.Marshal(both)
	if err != nil {
		c.Fatalf("writing a manifest: %v", err)
	}
	c.refuse(ocispec.MediaTypeImageManifest, content)
	c.refuse(ocispec.MediaTypeImageIndex, content)
}

// image-spec, descriptor.md: type, digest and size have forms.
func refusedDescriptors(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	form := `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%s},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`
	config, layer := o.blobs[0], o.blobs[1]
	manifest := func(configDigest, size, layerDigest string) []byte {
		return fmt.Appendf(nil, form, o.mediaType, config.mediaType, configDigest, size, layer.mediaType, layerDigest, len(layer.content))
	}
	size := fmt.Sprint(len(config.content))
	for _, content := range [][]byte{
		manifest("sha256:abc", size, layer.digest.String()),
		manifest("", size, layer.digest.String()),
		manifest(config.digest.String(), size, "../../../../etc/passwd"),
		manifest(config.digest.String(), size, "sha256:"+strings.ToUpper(layer.digest.Encoded())),
		manifest(config.digest.String(), "-1", layer.digest.String()),
		manifest(config.digest.String(), `"12"`, layer.digest.String()),
		[]byte(`{"schemaVersion":2,"mediaType":"` + o.mediaType + `"}`),
		[]byte(`{"schemaVersion":2,"mediaType":"` + o.mediaType + `","layers":[]}`),
		[]byte(`{}`),
	} {
		c.refuse(o.mediaType, content)
	}
	for _, child := range []string{"sha256:abc", "", "latest"} {
		c.refuse(ocispec.MediaTypeImageIndex, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":2}]}`,
			ocispec.MediaTypeImageIndex, o.mediaType, child))
	}
}

// Push: an "otherwise valid manifest with a subject field" is accepted; a subject that is
// no descriptor makes it another thing.
func refusedSubject(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, subject := range []string{`"text"`, `[]`, `{"mediaType":"a/b","size":1}`, `{"mediaType":"a/b","size":1,"digest":"sha256:abc"}`} {
		content := append([]byte(`{"subject":`+subject+`,`), bytes.TrimSpace(o.content)[1:]...)
		c.refuse(o.mediaType, content)
	}
}

// A request that ends before its content does stores nothing.
func refusedCutOff(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	c.cutOffManifest(o, "cut-off", len(o.content)/2)
	c.cutOffManifest(o, "cut-off", len(o.content)-1)
	c.wantNoManifest(c.repository(), "cut-off")
	c.wantNoManifest(c.repository(), o.digest.String())
}

func (c *C) cutOffManifest(o *object, reference string, after int) {
	c.Helper()
	// A type of its own: cutOff's is that of blobs.
	typed := func(k *call) { k.header.Set("Content-Type", o.mediaType) }
	c.cutOff(http.MethodPut, manifestPath(c.repository(), reference), o.content, after, typed)
}
