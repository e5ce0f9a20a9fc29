package conformance

import (
	"bytes"
	"net/http"
	"strconv"
)

var blobPullChecks = []check{
	{"get", blobGet},
	{"get-large", blobGetLarge},
	{"get-digest-header", blobGetDigestHeader},
	{"head", blobHead},
	{"head-digest-header", blobHeadDigestHeader},
	{"unknown", blobUnknown},
	{"unknown-repository", blobUnknownRepository},
	{"other-repository", blobOtherRepository},
	{"as-it-is", blobAsItIs},
	{"if-none-match", blobIfNoneMatch},
	{"before-any-manifest", blobBeforeManifest},
}

// Pulling blobs (end-2).
func blobGet(c *C) {
	b := c.content.blob(4000)
	c.pushBlob(c.repository(), b)
	a := c.do(http.MethodGet, blobPath(c.repository(), b.digest))
	c.must(a, http.StatusOK)
	if !bytes.Equal(a.body, b.content) {
		c.Errorf("%s: %d bytes that are not those of the blob", a.asked, len(a.body))
	}
	c.wantHeader(a, "Content-Length", strconv.Itoa(len(b.content)))
	if a.header.Get("Content-Type") == "" {
		c.Errorf("%s: no Content-Type", a.asked)
	}
}

// Pulling blobs: larger than any buffer.
func blobGetLarge(c *C) {
	b := c.content.blob(9<<20 + 17)
	c.pushBlob(c.repository(), b)
	a := c.do(http.MethodGet, blobPath(c.repository(), b.digest))
	c.must(a, http.StatusOK)
	if !bytes.Equal(a.body, b.content) {
		c.Errorf("%s: %d bytes that are not those of the blob", a.asked, len(a.body))
	}
}

// Pulling blobs: Docker-Content-Digest is there, and a digest of the body.
func blobGetDigestHeader(c *C) {
	b := c.content.blob(100)
	c.pushBlob(c.repository(), b)
	c.wantHeader(c.do(http.MethodGet, blobPath(c.repository(), b.digest)), "Docker-Content-Digest", b.digest.String())
}

// Checking if content exists in the registry.
func blobHead(c *C) {
	b := c.content.blob(4001)
	c.pushBlob(c.repository(), b)
	a := c.do(http.MethodHead, blobPath(c.repository(), b.digest))
	c.must(a, http.StatusOK)
	c.wantHeader(a, "Content-Length", strconv.Itoa(len(b.content)))
}

// Checking if content exists in the registry.
func blobHeadDigestHeader(c *C) {
	b := c.content.blob(101)
	c.pushBlob(c.repository(), b)
	c.wantHeader(c.do(http.MethodHead, blobPath(c.repository(), b.digest)), "Docker-Content-Digest", b.digest.String())
}

// Pulling blobs, Checking if content exists: what is not there is 404, BLOB_UNKNOWN.
func blobUnknown(c *C) {
	repo := c.repository()
	c.push(repo, c.content.image(), "present")
	d := c.content.unknownDigest()
	c.wantError(c.do(http.MethodGet, blobPath(repo, d)), http.StatusNotFound, "BLOB_UNKNOWN")
	c.want(c.do(http.MethodHead, blobPath(repo, d)), http.StatusNotFound)
}

// Pushing Manifests: "pull a nonexistent repository".
func blobUnknownRepository(c *C) {
	c.wantNoBlob(c.freshRepository(), c.content.unknownDigest())
}

// Pulling blobs: found is what this repository has. A digest known from elsewhere
// opens nothing.
func blobOtherRepository(c *C) {
	b := c.content.blob(300)
	one, other := c.freshRepository(), c.freshRepository()
	c.pushBlob(one, b)
	c.push(other, c.content.image(), "present")
	c.wantNoBlob(other, b.digest)
	c.wantNoBlob(c.freshRepository(), b.digest)
}

// Pulling blobs: the body has the digest asked for, whatever codings the client takes.
func blobAsItIs(c *C) {
	b := c.content.name(bytes.Repeat([]byte("compressible "), 2000), "text/plain")
	b.content = append(b.content, c.content.bytes(16)...)
	b = c.content.name(b.content, b.mediaType)
	c.pushBlob(c.repository(), b)
	a := c.do(http.MethodGet, blobPath(c.repository(), b.digest), withHeader("Accept-Encoding", "gzip, zstd"))
	c.must(a, http.StatusOK)
	if coding := a.header.Get("Content-Encoding"); coding != "" || !bytes.Equal(a.body, b.content) {
		c.Errorf("%s: %d bytes with Content-Encoding %q, want the %d bytes of the blob as they are", a.asked, len(a.body), coding, len(b.content))
	}
}

// RFC 9110, 13.1.2: content with an ETag is not sent to who has it.
func blobIfNoneMatch(c *C) {
	b := c.content.blob(500)
	c.pushBlob(c.repository(), b)
	path := blobPath(c.repository(), b.digest)
	tag := c.do(http.MethodHead, path).header.Get("ETag")
	if tag == "" {
		c.Fatalf("HEAD %s: no ETag", path)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		c.want(c.do(method, path, withHeader("If-None-Match", tag)), http.StatusNotModified)
		c.want(c.do(method, path, withHeader("If-None-Match", `"other", `+tag)), http.StatusNotModified)
		c.want(c.do(method, path, withHeader("If-None-Match", `"other"`)), http.StatusOK)
	}
}

// Pushing Manifests: an upload's Location is a pullable blob URL, so a blob is readable
// before anything refers to it, also in a repository that has nothing else.
func blobBeforeManifest(c *C) {
	b, repo := c.content.blob(200), c.freshRepository()
	c.pushBlob(repo, b)
	c.want(c.do(http.MethodHead, blobPath(repo, b.digest)), http.StatusOK)
	c.want(c.do(http.MethodGet, blobPath(repo, b.digest)), http.StatusOK)
}
