package conformance

import (
	"net/http"
)

var singlePostChecks = []check{
	{"created", singlePost},
	{"again", singlePostAgain},
	{"large", singlePostLarge},
	{"empty", singlePostEmpty},
	{"wrong-digest", singlePostWrongDigest},
	{"malformed-digest", singlePostMalformedDigest},
	{"shorter-than-its-length", singlePostTruncated},
}

// post pushes a blob in a single request.
func (c *C) post(repo string, b blob) *answer {
	c.Helper()
	target := addQuery(uploadsOf(repo), append([]string{"digest", b.digest.String()}, algorithmQuery(b.digest)...)...)
	return c.do(http.MethodPost, target, withBody(b.content), withHeader("Content-Type", octetStream))
}

// Single POST: 201 with the Location of the blob. A registry may answer 202 instead,
// with which a client goes on as with any upload; this suite asks for the whole.
func singlePost(c *C) {
	b := c.content.blob(3000)
	c.wantBlob(c.post(c.repository(), b), b)
}

func singlePostAgain(c *C) {
	b := c.content.blob(300)
	c.wantBlob(c.post(c.repository(), b), b)
	c.wantBlob(c.post(c.repository(), b), b)
}

func singlePostLarge(c *C) {
	b := c.content.blob(3<<20 + 1)
	c.wantBlob(c.post(c.repository(), b), b)
}

// Single POST: the empty blob has a length, which is 0, and a digest.
func singlePostEmpty(c *C) {
	b := c.content.name(nil, octetStream)
	c.wantBlob(c.post(c.repository(), b), b)
}

// Single POST: "the <digest> MUST match the blob's digest".
func singlePostWrongDigest(c *C) {
	b := c.content.blob(300)
	actual := b.digest
	b.digest = c.content.unknownDigest()
	c.wantError(c.post(c.repository(), b), http.StatusBadRequest, "DIGEST_INVALID")
	c.wantNoBlob(c.repository(), b.digest)
	c.wantNoBlob(c.repository(), actual)
}

func singlePostMalformedDigest(c *C) {
	for _, d := range malformedDigests {
		b := c.content.blob(30)
		target := addQuery(uploadsOf(c.repository()), "digest", d)
		a := c.do(http.MethodPost, target, withBody(b.content), withHeader("Content-Type", octetStream))
		c.wantError(a, http.StatusBadRequest, "DIGEST_INVALID")
	}
}

// Single POST: "The Content-Length header MUST match the blob's actual content length":
// a request that ends early stores nothing.
func singlePostTruncated(c *C) {
	b := c.content.blob(100_000)
	target := addQuery(uploadsOf(c.repository()), "digest", b.digest.String())
	c.cutOff(http.MethodPost, target, b.content, 60_000)
	c.wantNoBlob(c.repository(), b.digest)
}
