package conformance

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var manifestPullChecks = []check{
	{"get", manifestGet},
	{"digest-header", manifestDigestHeader},
	{"content-type", manifestContentType},
	{"head", manifestHead},
	{"unknown-tag", manifestUnknownTag},
	{"unknown-digest", manifestUnknownDigest},
	{"unknown-repository", manifestUnknownRepository},
	{"other-repository", manifestOtherRepository},
	{"blob-is-no-manifest", manifestOfBlob},
	{"if-none-match", manifestIfNoneMatch},
	{"child-of-index", manifestChild},
}

// Pulling manifests (end-3).
func manifestGet(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "get")
	for _, reference := range []string{"get", o.digest.String()} {
		c.wantManifest(c.repository(), reference, o)
		c.wantHeader(c.get(c.repository(), reference), "Content-Length", strconv.Itoa(len(o.content)))
	}
}

func manifestDigestHeader(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "digest-header")
	for _, reference := range []string{"digest-header", o.digest.String()} {
		c.wantHeader(c.get(c.repository(), reference), "Docker-Content-Digest", o.digest.String())
		c.wantHeader(c.head(c.repository(), reference), "Docker-Content-Digest", o.digest.String())
	}
}

// Pulling manifests: the type is the one that was pushed, without parameters; also when
// the manifest does not name it.
func manifestContentType(c *C) {
	for tag, o := range map[string]*object{
		"type-image": c.content.image(), "type-untyped": c.content.untypedImage(), "type-index": c.content.platforms(),
		"type-docker": c.content.dockerImage(), "type-list": c.content.dockerIndex(), "type-artifact": c.content.artifact(exampleArtifact),
		"type-untyped-index": c.content.index(nil, func(x *ocispec.Index) { x.MediaType = "" }),
	} {
		c.push(c.repository(), o, tag)
		for _, reference := range []string{tag, o.digest.String()} {
			c.wantHeader(c.get(c.repository(), reference), "Content-Type", o.mediaType)
			c.wantHeader(c.head(c.repository(), reference), "Content-Type", o.mediaType)
		}
	}
}

// Checking if content exists in the registry.
func manifestHead(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "head")
	for _, reference := range []string{"head", o.digest.String()} {
		a := c.head(c.repository(), reference)
		c.must(a, http.StatusOK)
		c.wantHeader(a, "Content-Length", strconv.Itoa(len(o.content)))
	}
}

func manifestUnknownTag(c *C) {
	c.push(c.repository(), c.content.image(), "known")
	c.wantError(c.get(c.repository(), "unknown"), http.StatusNotFound, "MANIFEST_UNKNOWN")
	c.want(c.head(c.repository(), "unknown"), http.StatusNotFound)
	c.want(c.get(c.repository(), "Known"), http.StatusNotFound) // tags have a case
}

func manifestUnknownDigest(c *C) {
	c.push(c.repository(), c.content.image(), "known")
	d := c.content.unknownDigest().String()
	c.wantError(c.get(c.repository(), d), http.StatusNotFound, "MANIFEST_UNKNOWN")
	c.want(c.head(c.repository(), d), http.StatusNotFound)
}

// Pushing Manifests: "An attempt to pull a nonexistent repository MUST return response
// code 404 Not Found".
func manifestUnknownRepository(c *C) {
	for _, reference := range []string{"latest", c.content.unknownDigest().String()} {
		repo := c.freshRepository()
		c.wantError(c.get(repo, reference), http.StatusNotFound, "NAME_UNKNOWN", "MANIFEST_UNKNOWN")
		c.want(c.head(repo, reference), http.StatusNotFound)
	}
}

// Pulling manifests: "not found in the repository" is 404, whoever else has it.
func manifestOtherRepository(c *C) {
	o, one, other := c.content.image(), c.freshRepository(), c.freshRepository()
	c.push(one, o, "only-here")
	c.push(other, c.content.image(), "present")
	c.wantNoManifest(other, o.digest.String())
	c.wantNoManifest(other, "only-here")
}

// A blob that nobody pushed as a manifest is none.
func manifestOfBlob(c *C) {
	o, text := c.content.image(), c.content.blob(50)
	c.pushBlob(c.repository(), text)
	c.pushBlobs(c.repository(), o)
	c.pushBlob(c.repository(), blob{digest: o.digest, mediaType: octetStream, content: o.content})
	for _, d := range []string{text.digest.String(), o.blobs[0].digest.String(), o.digest.String()} {
		c.wantNoManifest(c.repository(), d)
	}
}

// RFC 9110, 13.1.2.
func manifestIfNoneMatch(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "if-none-match")
	for _, reference := range []string{"if-none-match", o.digest.String()} {
		tag := c.head(c.repository(), reference).header.Get("ETag")
		if tag == "" {
			c.Fatalf("HEAD of the manifest %s: no ETag", reference)
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			path := manifestPath(c.repository(), reference)
			c.want(c.do(method, path, accepting(allManifests...), withHeader("If-None-Match", tag)), http.StatusNotModified)
			c.want(c.do(method, path, accepting(allManifests...), withHeader("If-None-Match", `"other"`)), http.StatusOK)
		}
	}
}

// Definitions, Image Index: manifests that it lists are manifests of the repository.
func manifestChild(c *C) {
	o := c.content.index([]*object{c.content.platforms(), c.content.image()})
	c.push(c.repository(), o, "child")
	for _, child := range append(o.children, o.children[0].children...) {
		c.wantManifest(c.repository(), child.digest.String(), child)
	}
}

var negotiationChecks = []check{
	{"exact", negotiateExact},
	{"list", negotiateList},
	{"none", negotiateNone},
	{"wildcard", negotiateWildcard},
	{"weights", negotiateWeights},
	{"other-type", negotiateOther},
	{"malformed", negotiateMalformed},
}

// negotiated pushes one manifest of each type and reads it by tag and digest with
// Accept headers made for it.
func negotiated(c *C, look func(o *object, a *answer), accept func(o *object) []string) {
	for tag, o := range map[string]*object{
		"image": c.content.image(), "index": c.content.platforms(), "docker": c.content.dockerImage(), "list": c.content.dockerIndex(),
	} {
		c.push(c.repository(), o, tag)
		for _, reference := range []string{tag, o.digest.String()} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				look(o, c.do(method, manifestPath(c.repository(), reference), accepting(accept(o)...)))
			}
		}
	}
}

// served looks for the manifest itself.
func served(c *C) func(*object, *answer) {
	return func(o *object, a *answer) {
		c.Helper()
		if !c.want(a, http.StatusOK) {
			return
		}
		c.wantHeader(a, "Content-Type", o.mediaType)
		if a.method == http.MethodGet && !bytes.Equal(a.body, o.content) {
			c.Errorf("%s: not the manifest that was pushed", a.asked)
		}
	}
}

// Pulling manifests: the client tells the types that it supports.
func negotiateExact(c *C) {
	negotiated(c, served(c), func(o *object) []string { return []string{o.mediaType} })
}

// RFC 9110, 5.3: one header with commas is the same as several headers.
func negotiateList(c *C) {
	negotiated(c, served(c), func(o *object) []string { return []string{"text/html, application/xml ," + o.mediaType} })
	negotiated(c, served(c), func(o *object) []string { return []string{"text/html", o.mediaType, "application/json"} })
}

// RFC 9110, 12.5.1: "A request without any Accept header field implies that the user
// agent will accept any media type".
func negotiateNone(c *C) {
	negotiated(c, servedOrFirst(c), func(*object) []string { return nil })
}

func negotiateWildcard(c *C) {
	for _, accept := range []string{"*/*", "application/*", "text/html, */*;q=0.1"} {
		negotiated(c, servedOrFirst(c), func(*object) []string { return []string{accept} })
	}
}

// servedOrFirst is served; the tag of a Docker list may also lead clients that do not
// ask for lists to the manifest of one platform (distribution-spec, content-negotiation.md).
func servedOrFirst(c *C) func(*object, *answer) {
	return func(o *object, a *answer) {
		c.Helper()
		byTag := !strings.Contains(a.url.Path, o.digest.String())
		if o.mediaType == dockerList && byTag && a.header.Get("Content-Type") == dockerManifest {
			o = o.children[0]
		}
		served(c)(o, a)
	}
}

// RFC 9110, 12.4.2, 12.5.1: weights and other parameters.
func negotiateWeights(c *C) {
	negotiated(c, served(c), func(o *object) []string { return []string{o.mediaType + ";q=0.5, text/html;q=0.9"} })
	negotiated(c, served(c), func(o *object) []string { return []string{o.mediaType + " ; q=1.0"} })
}

// A client that takes other types gets what there is or nothing, and what it gets is
// called what it is.
func negotiateOther(c *C) {
	look := func(o *object, a *answer) {
		if c.want(a, http.StatusOK, http.StatusNotFound, http.StatusNotAcceptable) && a.status == http.StatusOK && a.header.Get("Content-Type") == o.mediaType {
			served(c)(o, a)
		}
	}
	negotiated(c, look, func(*object) []string { return []string{"application/vnd.example.nothing+json"} })
	negotiated(c, look, func(o *object) []string {
		if o.mediaType == ocispec.MediaTypeImageManifest {
			return []string{ocispec.MediaTypeImageIndex}
		}
		return []string{ocispec.MediaTypeImageManifest}
	})
}

// What is no media type does not get in the way of what is.
func negotiateMalformed(c *C) {
	negotiated(c, served(c), func(o *object) []string { return []string{";;, ,/," + o.mediaType} })
}
