package conformance

import (
	"net/http"

	digest "github.com/opencontainers/go-digest"
)

var emptyBlobChecks = []check{
	{"post-put", func(c *C) { pushEmpty(c, func(u *upload, b blob) *answer { return u.commit(b.digest, nil) }) }},
	{"streamed", func(c *C) {
		pushEmpty(c, func(u *upload, b blob) *answer {
			c.must(u.stream(nil), http.StatusAccepted)
			return u.commit(b.digest, nil)
		})
	}},
	{"single-post", func(c *C) { pushEmpty(c, func(u *upload, b blob) *answer { return c.post(u.repo, b) }) }},
	{"head-and-ranges", emptyHead},
	{"delete", emptyDelete},
	{"wrong-digest", emptyWrongDigest},
}

func (g *generator) emptyBlob() blob { return g.name([]byte{}, octetStream) }

// Pushing blobs, Pulling blobs: a blob may have no bytes, in each algorithm.
func pushEmpty(c *C, push func(*upload, blob) *answer) {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		b, repo := c.content.with(a).emptyBlob(), c.freshRepository()
		c.wantBlob(push(c.start(repo, algorithmQuery(b.digest)...), b), b)
	}
}

func emptyHead(c *C) {
	b, repo := c.content.emptyBlob(), c.freshRepository()
	c.pushBlob(repo, b)
	a := c.do(http.MethodHead, blobPath(repo, b.digest))
	c.must(a, http.StatusOK)
	c.wantHeader(a, "Content-Length", "0")
	a = c.do(http.MethodGet, blobPath(repo, b.digest))
	c.must(a, http.StatusOK)
	c.wantHeader(a, "Content-Length", "0")
	// No range of nothing can be satisfied; servers may also ignore them.
	for _, r := range []string{"bytes=0-", "bytes=0-0", "bytes=-1"} {
		c.want(c.do(http.MethodGet, blobPath(repo, b.digest), withHeader("Range", r)), http.StatusOK, http.StatusRequestedRangeNotSatisfiable)
	}
}

// Deleting Blobs: the empty blob is one like others.
func emptyDelete(c *C) {
	b, repo := c.content.emptyBlob(), c.freshRepository()
	c.pushBlob(repo, b)
	c.must(c.do(http.MethodDelete, blobPath(repo, b.digest)), http.StatusAccepted)
	c.wantNoBlob(repo, b.digest)
}

// Nothing is not stored under a digest of something.
func emptyWrongDigest(c *C) {
	b := c.content.blob(10)
	u := c.start(c.repository())
	c.wantError(u.commit(b.digest, nil), http.StatusBadRequest, "DIGEST_INVALID", "BLOB_UPLOAD_INVALID", "SIZE_INVALID")
	c.wantNoBlob(c.repository(), b.digest)
}

// image-spec, descriptor.md, Registered algorithms, and distribution-spec main: SHA-512
// works wherever SHA-256 does.
var sha512Checks = []check{
	{"post-put", func(c *C) {
		pushSHA512(c, func(u *upload, b blob) *answer { return u.commit(b.digest, b.content) })
	}},
	{"streamed", func(c *C) {
		pushSHA512(c, func(u *upload, b blob) *answer {
			u.wantAppended(u.stream(b.content))
			return u.commit(b.digest, nil)
		})
	}},
	{"chunked", func(c *C) {
		pushSHA512(c, func(u *upload, b blob) *answer {
			for _, piece := range pieces(b.content, 3, u.chunk) {
				u.wantAppended(u.patch(piece))
			}
			return u.commit(b.digest, nil)
		})
	}},
	{"single-post", func(c *C) {
		pushSHA512(c, func(u *upload, b blob) *answer { return c.post(u.repo, b) })
	}},
	{"single-post-not-announced", sha512PostNotAnnounced},
	{"not-announced", sha512NotAnnounced},
	{"announced-and-not-used", sha512NotUsed},
	{"wrong-digest", sha512WrongDigest},
	{"delete", sha512Delete},
}

func pushSHA512(c *C, push func(*upload, blob) *answer) {
	b := c.content.with(digest.SHA512).blob(30_000)
	c.wantBlob(push(c.start(c.repository(), "digest-algorithm", "sha512"), b), b)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		a := c.do(method, blobPath(c.repository(), b.digest))
		c.want(a, http.StatusOK)
		c.wantHeader(a, "Docker-Content-Digest", b.digest.String())
	}
}

func sha512PostNotAnnounced(c *C) {
	b := c.content.with(digest.SHA512).blob(1000)
	a := c.do(http.MethodPost, addQuery(uploadsOf(c.repository()), "digest", b.digest.String()), withBody(b.content))
	c.wantBlob(a, b)
}

// Version 1.1 of the specification knows no way to announce an algorithm.
func sha512NotAnnounced(c *C) {
	b := c.content.with(digest.SHA512).blob(1000)
	u := c.start(c.repository())
	u.wantAppended(u.stream(b.content[:600]))
	c.wantBlob(u.commit(b.digest, b.content[600:]), b)
}

func sha512NotUsed(c *C) {
	b := c.content.blob(1000)
	u := c.start(c.repository(), "digest-algorithm", "sha512")
	u.wantAppended(u.stream(b.content))
	c.wantBlob(u.commit(b.digest, nil), b)
}

func sha512WrongDigest(c *C) {
	b, wrong := c.content.blob(100), c.content.with(digest.SHA512).unknownDigest()
	u := c.start(c.repository(), "digest-algorithm", "sha512")
	c.wantError(u.commit(wrong, b.content), http.StatusBadRequest, "DIGEST_INVALID")
	c.wantNoBlob(c.repository(), wrong)
}

func sha512Delete(c *C) {
	b := c.content.with(digest.SHA512).blob(100)
	c.pushBlob(c.repository(), b)
	c.must(c.do(http.MethodDelete, blobPath(c.repository(), b.digest)), http.StatusAccepted)
	c.wantNoBlob(c.repository(), b.digest)
}

var blobDeleteChecks = []check{
	{"accepted", blobDelete},
	{"unknown", blobDeleteUnknown},
	{"twice", blobDeleteTwice},
	{"push-again", blobDeletePushAgain},
	{"other-repository-keeps-it", blobDeleteElsewhere},
	{"after-its-manifest", blobDeleteAfterManifest},
	{"malformed-digest", blobDeleteMalformed},
}

// Deleting Blobs (end-10): 202, then 404.
func blobDelete(c *C) {
	b := c.content.blob(100)
	c.pushBlob(c.repository(), b)
	c.must(c.do(http.MethodDelete, blobPath(c.repository(), b.digest)), http.StatusAccepted)
	c.wantNoBlob(c.repository(), b.digest)
}

// Deleting Blobs: "If the blob is not found, a 404 Not Found code MUST be returned".
func blobDeleteUnknown(c *C) {
	c.push(c.repository(), c.content.image(), "present")
	c.wantError(c.do(http.MethodDelete, blobPath(c.repository(), c.content.unknownDigest())), http.StatusNotFound, "BLOB_UNKNOWN")
	c.wantError(c.do(http.MethodDelete, blobPath(c.freshRepository(), c.content.unknownDigest())), http.StatusNotFound, "BLOB_UNKNOWN", "NAME_UNKNOWN")
}

func blobDeleteTwice(c *C) {
	b := c.content.blob(100)
	c.pushBlob(c.repository(), b)
	c.must(c.do(http.MethodDelete, blobPath(c.repository(), b.digest)), http.StatusAccepted)
	c.wantError(c.do(http.MethodDelete, blobPath(c.repository(), b.digest)), http.StatusNotFound, "BLOB_UNKNOWN")
}

func blobDeletePushAgain(c *C) {
	b := c.content.blob(100)
	for range 2 {
		u := c.start(c.repository())
		c.wantBlob(u.commit(b.digest, b.content), b)
		c.must(c.do(http.MethodDelete, blobPath(c.repository(), b.digest)), http.StatusAccepted)
		c.wantNoBlob(c.repository(), b.digest)
	}
}

func blobDeleteElsewhere(c *C) {
	b, other := c.content.blob(100), c.freshRepository()
	c.pushBlob(c.repository(), b)
	c.pushBlob(other, b)
	c.must(c.do(http.MethodDelete, blobPath(c.repository(), b.digest)), http.StatusAccepted)
	c.wantNoBlob(c.repository(), b.digest)
	c.want(c.do(http.MethodGet, blobPath(other, b.digest)), http.StatusOK)
}

// Content Management: once manifest and blobs are deleted, none of them is there.
func blobDeleteAfterManifest(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.push(repo, o, "tagged")
	c.must(c.do(http.MethodDelete, manifestPath(repo, "tagged")), http.StatusAccepted)
	c.must(c.do(http.MethodDelete, manifestPath(repo, o.digest.String())), http.StatusAccepted)
	for _, b := range o.blobs {
		c.want(c.do(http.MethodDelete, blobPath(repo, b.digest)), http.StatusAccepted)
		c.wantNoBlob(repo, b.digest)
	}
}

func blobDeleteMalformed(c *C) {
	for _, d := range []string{"sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "latest"} {
		c.wantRefusal(c.do(http.MethodDelete, "/v2/"+c.repository()+"/blobs/"+d), "DIGEST_INVALID")
	}
}
