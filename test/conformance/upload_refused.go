package conformance

import (
	"net/http"

	digest "github.com/opencontainers/go-digest"
)

// malformedDigests are no digests that a registry knows (image-spec, descriptor.md,
// Digests).
var malformedDigests = []string{
	"sha256:abc",
	"sha256:",
	"sha256:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
	"sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
	"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
	"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550",
	"SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"md5:d41d8cd98f00b204e9800998ecf8427e",
	"unknown:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ",
	"sha256:../../../../../../../../etc/passwd",
}

var uploadRefusedChecks = []check{
	{"wrong-digest", refusedWrongDigest},
	{"wrong-digest-after-chunks", refusedWrongAfterChunks},
	{"malformed-digest", refusedMalformedDigest},
	{"no-digest", refusedNoDigest},
	{"two-digests", refusedTwoDigests},
	{"incomplete", refusedIncomplete},
	{"unknown-algorithm", refusedAlgorithm},
	{"algorithm-confusion", refusedConfusion},
}

// POST then PUT (end-6), Error Codes (code-4): content under another digest is refused
// and not stored under either.
func refusedWrongDigest(c *C) {
	b, wrong := c.content.blob(300), c.content.unknownDigest()
	u := c.start(c.repository())
	c.wantError(u.commit(wrong, b.content), http.StatusBadRequest, "DIGEST_INVALID")
	c.wantNoBlob(c.repository(), wrong)
	c.wantNoBlob(c.repository(), b.digest)
}

// Pushing a blob in chunks: the digest is that "of the whole blob (not the final chunk)".
func refusedWrongAfterChunks(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(2 * max(400, u.chunk))
	half := len(b.content) / 2
	u.wantAppended(u.patch(b.content[:half]))
	last := digest.FromBytes(b.content[half:])
	c.wantError(u.commit(last, b.content[half:]), http.StatusBadRequest, "DIGEST_INVALID")
	c.wantNoBlob(c.repository(), last)
	c.wantNoBlob(c.repository(), b.digest)
}

func refusedMalformedDigest(c *C) {
	for _, d := range malformedDigests {
		u := c.start(c.repository())
		c.wantError(u.commit(digest.Digest(d), c.content.bytes(20)), http.StatusBadRequest, "DIGEST_INVALID")
	}
}

// Pushing a blob in chunks: "The closing PUT request MUST include the <digest>".
func refusedNoDigest(c *C) {
	u := c.start(c.repository())
	c.wantError(c.do(http.MethodPut, u.location, withBody(c.content.bytes(20))), http.StatusBadRequest, "DIGEST_INVALID")
	u = c.start(c.repository())
	c.wantError(c.do(http.MethodPut, addQuery(u.location, "digest", ""), withBody(c.content.bytes(20))), http.StatusBadRequest, "DIGEST_INVALID")
}

// A digest that comes twice does not get content under the one that is not its own.
func refusedTwoDigests(c *C) {
	b, wrong := c.content.blob(40), c.content.unknownDigest()
	for _, pair := range [][2]digest.Digest{{wrong, b.digest}, {b.digest, wrong}} {
		u := c.start(c.repository())
		c.want(c.do(http.MethodPut, addQuery(u.location, "digest", pair[0].String(), "digest", pair[1].String()), withBody(b.content)),
			http.StatusCreated, http.StatusBadRequest)
		c.wantNoBlob(c.repository(), wrong)
	}
}

// Closing an upload that lacks a part is refused.
func refusedIncomplete(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(2 * max(400, u.chunk))
	u.wantAppended(u.patch(b.content[:len(b.content)/2]))
	c.wantError(u.commit(b.digest, nil), http.StatusBadRequest, "DIGEST_INVALID", "BLOB_UPLOAD_INVALID", "SIZE_INVALID")
	c.wantNoBlob(c.repository(), b.digest)
}

// distribution-spec main, Pushing a blob: an algorithm that a registry does not know is
// refused when it is announced, or else when the upload is closed.
func refusedAlgorithm(c *C) {
	b := c.content.blob(20)
	a := c.do(http.MethodPost, addQuery(uploadsOf(c.repository()), "digest-algorithm", "md5"), withBody(nil))
	if !c.want(a, http.StatusAccepted, http.StatusBadRequest) || a.status == http.StatusBadRequest {
		return
	}
	u := c.uploadOf(c.repository(), a)
	c.wantError(u.commit("md5:d41d8cd98f00b204e9800998ecf8427e", b.content), http.StatusBadRequest, "DIGEST_INVALID")
}

// The hexadecimal part of one algorithm under the name of another.
func refusedConfusion(c *C) {
	b := c.content.blob(20)
	long := digest.SHA512.FromBytes(b.content)
	for _, d := range []string{"sha512:" + b.digest.Encoded(), "sha256:" + long.Encoded(), "sha384:" + b.digest.Encoded(), "sha256:" + long.Encoded()[:64]} {
		u := c.start(c.repository())
		c.wantError(u.commit(digest.Digest(d), b.content), http.StatusBadRequest, "DIGEST_INVALID")
	}
}
