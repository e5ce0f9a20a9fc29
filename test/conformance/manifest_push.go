package conformance

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var manifestPushChecks = []check{
	{"by-tag", putByTag},
	{"by-digest", putByDigest},
	{"digest-header", putDigestHeader},
	{"by-sha512-digest", putBySHA512},
	{"again", putAgain},
	{"moves-tag", putMovesTag},
	{"several-tags", putSeveralTags},
	{"content-type-with-parameters", putTypeParameters},
	{"without-content-type", putWithoutType},
	{"tag-grammar", putTagGrammar},
	{"same-content-in-two-repositories", putTwoRepositories},
	{"after-delete-of-everything", putAfterDelete},
}

// Pushing Manifests (end-7): 201 with the Location of the manifest.
func putByTag(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	c.wantPut(c.put(c.repository(), o, "by-tag"), o)
	c.wantManifest(c.repository(), "by-tag", o)
	c.wantManifest(c.repository(), o.digest.String(), o)
}

// wantPut looks at the answer to a push, and reads the manifest where it says.
func (c *C) wantPut(a *answer, o *object) {
	c.Helper()
	c.must(a, http.StatusCreated)
	location := c.location(a)
	read := c.do(http.MethodGet, location, accepting(allManifests...))
	if c.want(read, http.StatusOK) && !bytes.Equal(read.body, o.content) {
		c.Errorf("GET %s, the Location of %s: not the manifest that was pushed", location, a.asked)
	}
}

// Pushing Manifests: a manifest pushed by digest is there by digest, tagged or not.
func putByDigest(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.pushBlobs(repo, o)
	c.wantPut(c.put(repo, o, o.digest.String()), o)
	c.wantManifest(repo, o.digest.String(), o)
}

// Pushing Manifests: the digest in the answer is the manifest's.
func putDigestHeader(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, reference := range []string{"digest-header", o.digest.String()} {
		a := c.put(c.repository(), o, reference)
		c.must(a, http.StatusCreated)
		c.wantHeader(a, "Docker-Content-Digest", o.digest.String())
	}
}

// Pushing Manifests: the digest in the answer MUST be the one that the client provided,
// whatever its algorithm.
func putBySHA512(c *C) {
	for _, o := range []*object{c.content.image(), c.content.with(digest.SHA512).image()} {
		c.pushBlobs(c.repository(), o)
		o.digest = digest.SHA512.FromBytes(o.content)
		a := c.put(c.repository(), o, o.digest.String())
		c.wantPut(a, o)
		c.wantHeader(a, "Docker-Content-Digest", o.digest.String())
		for _, read := range []*answer{c.get(c.repository(), o.digest.String()), c.head(c.repository(), o.digest.String())} {
			c.want(read, http.StatusOK)
			c.wantHeader(read, "Docker-Content-Digest", o.digest.String())
		}
	}
}

func putAgain(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for range 3 {
		c.wantPut(c.put(c.repository(), o, "again"), o)
		c.wantPut(c.put(c.repository(), o, o.digest.String()), o)
	}
}

// Definitions, Tag: a pointer, which moves. What it pointed at stays.
func putMovesTag(c *C) {
	first, second := c.content.image(), c.content.image()
	c.push(c.repository(), first, "moves")
	c.push(c.repository(), second, "moves")
	c.wantManifest(c.repository(), "moves", second)
	c.wantManifest(c.repository(), first.digest.String(), first)
	c.must(c.put(c.repository(), first, "moves"), http.StatusCreated)
	c.wantManifest(c.repository(), "moves", first)
	c.wantManifest(c.repository(), second.digest.String(), second)
}

// Definitions, Tag: "A manifest digest may have zero, one, or many tags".
func putSeveralTags(c *C) {
	o := c.content.image()
	tags := []string{"several-1", "several-2", "several-3"}
	c.push(c.repository(), o, tags...)
	for _, tag := range tags {
		c.wantManifest(c.repository(), tag, o)
	}
}

// Pushing Manifests: "The registry SHOULD ignore parameters on the Content-Type header";
// Pulling manifests: and has none in its answers.
func putTypeParameters(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, parameters := range []string{"; charset=utf-8", ";profile=x", "; a=\"b;c\""} {
		a := c.do(http.MethodPut, manifestPath(c.repository(), "parameters"), withBody(o.content), withHeader("Content-Type", o.mediaType+parameters))
		c.must(a, http.StatusCreated)
		c.wantHeader(c.get(c.repository(), "parameters"), "Content-Type", o.mediaType)
	}
}

// Pushing Manifests: clients SHOULD tell the type. One that does not is refused, or its
// manifest's own type is believed.
func putWithoutType(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	a := c.do(http.MethodPut, manifestPath(c.repository(), "without-type"), withBody(o.content))
	if !c.want(a, http.StatusCreated, http.StatusBadRequest) {
		return
	}
	if a.status == http.StatusCreated {
		c.wantHeader(c.get(c.repository(), "without-type"), "Content-Type", o.mediaType)
	} else {
		c.wantNoManifest(c.repository(), "without-type")
	}
}

// Pulling manifests: what a tag may look like.
func putTagGrammar(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	for _, tag := range []string{
		"a", "_", "0", "Z", "_.-", "a..b", "a--", "v1.2.3-rc.1_x", "UPPER", "manifests", "latest-", "1.",
		"sha256-" + o.digest.Encoded(), strings.Repeat("x", 128), "_" + strings.Repeat("-", 127),
	} {
		if c.want(c.put(c.repository(), o, tag), http.StatusCreated) {
			c.wantManifest(c.repository(), tag, o)
		}
	}
}

func putTwoRepositories(c *C) {
	o, one, other := c.content.image(), c.freshRepository(), c.freshRepository()
	c.push(one, o, "same")
	c.wantNoManifest(other, o.digest.String())
	c.push(other, o, "same")
	c.wantManifest(one, "same", o)
	c.wantManifest(other, "same", o)
}

// Content Management: what was deleted may come again.
func putAfterDelete(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	for range 2 {
		c.push(repo, o, "comes-again")
		c.wantManifest(repo, "comes-again", o)
		c.must(c.do(http.MethodDelete, manifestPath(repo, o.digest.String())), http.StatusAccepted)
		c.wantNoManifest(repo, "comes-again")
		for _, b := range o.blobs {
			c.must(c.do(http.MethodDelete, blobPath(repo, b.digest)), http.StatusAccepted)
		}
	}
}

// Pushing Manifests: "The registry MUST store the manifest in the exact byte
// representation provided by the client".
var manifestBytesChecks = []check{
	{"image", func(c *C) { bytesKept(c, c.content.customFields()) }},
	{"index", func(c *C) { bytesKept(c, c.content.customIndex()) }},
	{"data-field", func(c *C) { bytesKept(c, c.content.dataField()) }},
	{"compact", func(c *C) {
		o := c.content.image()
		var compact bytes.Buffer
		if err := json.Compact(&compact, o.content); err != nil {
			c.Fatalf("compacting a manifest: %v", err)
		}
		o.content = compact.Bytes()
		o.digest = digest.FromBytes(o.content)
		bytesKept(c, o)
	}},
	{"spaces-around", func(c *C) {
		o := c.content.image()
		o.content = append(append([]byte("\n\t \r\n"), o.content...), "\r\n\n \t"...)
		o.digest = digest.FromBytes(o.content)
		bytesKept(c, o)
	}},
	{"unknown-media-types", func(c *C) {
		// image-spec, manifest.md: unknown types are no errors, of configuration and layers.
		o := c.content.manifest(c.content.config("application/vnd.example.unknown+json"), []blob{c.content.layer("x-unknown/type")})
		bytesKept(c, o)
	}},
	{"unknown-child-media-type", bytesUnknownChild},
}

func bytesKept(c *C, o *object) {
	c.pushBlobs(c.repository(), o)
	tag := "kept-" + o.digest.Encoded()[:12]
	for _, reference := range []string{tag, o.digest.String()} {
		c.wantPut(c.put(c.repository(), o, reference), o)
		c.wantManifest(c.repository(), reference, o)
	}
}

// image-spec, image-index.md: "An encountered mediaType that is unknown to the
// implementation MUST NOT generate an error".
func bytesUnknownChild(c *C) {
	other := c.content.blob(100)
	c.pushBlob(c.repository(), other)
	o := c.content.index(nil, func(x *ocispec.Index) {
		d := other.descriptor()
		d.MediaType = "application/vnd.example.unknown.v1"
		x.Manifests = append(x.Manifests, d)
	})
	bytesKept(c, o)
}
