package conformance

import (
	"net/http"

	digest "github.com/opencontainers/go-digest"
)

var mountChecks = []check{
	{"from", mountFrom},
	{"from-same-repository", mountFromSame},
	{"already-there", mountTwice},
	{"anonymous", mountAnonymous},
	{"anonymous-upload-only", mountAnonymousUpload},
	{"unknown-blob", mountUnknown},
	{"unknown-repository", mountUnknownRepository},
	{"invalid-repository", mountInvalidRepository},
	{"invalid-digest", mountInvalidDigest},
	{"sha512", mountSHA512},
	{"used-by-manifest", mountUsed},
	{"outlives-source", mountOutlivesSource},
}

// mount asks for a blob of another repository, or of any when from is "".
func (c *C) mount(repo string, d, from string, options ...option) *answer {
	c.Helper()
	query := []string{"mount", d}
	if from != "" {
		query = append(query, "from", from)
		options = append(options, withScope("repository:"+from+":pull"))
	}
	return c.do(http.MethodPost, addQuery(uploadsOf(repo), query...), append(options, withBody(nil))...)
}

// Mounting a blob from another repository (end-11): 201 with the Location of the blob.
func mountFrom(c *C) {
	b, target := c.content.blob(2000), c.freshRepository()
	source := c.session.target.SecondRepository
	c.pushBlob(source, b)
	c.wantBlob(c.mount(target, b.digest.String(), source), b)
	c.want(c.do(http.MethodHead, blobPath(target, b.digest)), http.StatusOK)
}

func mountFromSame(c *C) {
	b := c.content.blob(100)
	c.pushBlob(c.repository(), b)
	c.wantBlob(c.mount(c.repository(), b.digest.String(), c.repository()), b)
}

func mountTwice(c *C) {
	b, target := c.content.blob(100), c.freshRepository()
	c.pushBlob(c.repository(), b)
	c.wantBlob(c.mount(target, b.digest.String(), c.repository()), b)
	c.wantBlob(c.mount(target, b.digest.String(), c.repository()), b)
}

// Mounting a blob from another repository: "The registry MAY treat the from parameter
// as optional, and it MAY cross-mount the blob if it can be found". Where an image of a
// repository that the caller may pull refers to it, it is found.
func mountAnonymous(c *C) {
	o, target := c.content.image(), c.freshRepository()
	source := c.session.target.SecondRepository
	c.push(source, o, "mount-anonymous")
	for _, b := range o.blobs {
		// A token that is bound to repositories is bound to where the blob is found, too.
		c.wantBlob(c.mount(target, b.digest.String(), "", withScope("repository:"+source+":pull")), b)
	}
}

// A blob that no image refers to yet may be found or not; either is a whole answer.
func mountAnonymousUpload(c *C) {
	b, target := c.content.blob(100), c.freshRepository()
	c.pushBlob(c.repository(), b)
	a := c.mount(target, b.digest.String(), "")
	if a.status == http.StatusCreated {
		c.wantBlob(a, b)
		return
	}
	c.goOnAfterMount(target, a, b)
}

// goOnAfterMount uses the session that a refused mount has begun.
func (c *C) goOnAfterMount(repo string, a *answer, b blob) {
	c.Helper()
	c.must(a, http.StatusAccepted)
	u := c.uploadOf(repo, a)
	c.wantNoBlob(repo, b.digest)
	c.wantBlob(u.commit(b.digest, b.content), b)
}

// Mounting a blob from another repository: what cannot be mounted is 202, and the
// client uploads.
func mountUnknown(c *C) {
	b := c.content.blob(100)
	c.goOnAfterMount(c.freshRepository(), c.mount(c.repository(), b.digest.String(), c.session.target.SecondRepository), b)
	c.goOnAfterMount(c.freshRepository(), c.mount(c.repository(), c.content.unknownDigest().String(), ""), c.content.blob(10))
}

func mountUnknownRepository(c *C) {
	b := c.content.blob(100)
	c.pushBlob(c.freshRepository(), b)
	target := c.freshRepository()
	c.goOnAfterMount(target, c.mount(target, b.digest.String(), c.freshRepository()), b)
}

// A source that is no name holds nothing.
func mountInvalidRepository(c *C) {
	b := c.content.blob(100)
	target := c.freshRepository()
	for _, from := range []string{"../x", "UPPER/case", "a//b", "a/../b"} {
		a := c.do(http.MethodPost, addQuery(uploadsOf(target), "mount", b.digest.String(), "from", from), withBody(nil))
		if c.want(a, http.StatusAccepted, http.StatusBadRequest, http.StatusNotFound) && a.status == http.StatusAccepted {
			c.location(a)
		}
	}
}

func mountInvalidDigest(c *C) {
	for _, d := range malformedDigests {
		a := c.mount(c.repository(), d, c.session.target.SecondRepository)
		if c.want(a, http.StatusAccepted, http.StatusBadRequest) && a.status == http.StatusAccepted {
			c.location(a)
		}
	}
}

func mountSHA512(c *C) {
	b, target := c.content.with(digest.SHA512).blob(100), c.freshRepository()
	c.pushBlob(c.repository(), b)
	c.wantBlob(c.mount(target, b.digest.String(), c.repository()), b)
	c.want(c.do(http.MethodHead, blobPath(target, b.digest)), http.StatusOK)
}

// Pushing Manifests: a blob that was mounted is one of the repository's.
func mountUsed(c *C) {
	o, target := c.content.image(), c.freshRepository()
	for _, b := range o.blobs {
		c.pushBlob(c.repository(), b)
		c.must(c.mount(target, b.digest.String(), c.repository()), http.StatusCreated)
	}
	c.must(c.put(target, o, "mounted"), http.StatusCreated)
	c.wantManifest(target, "mounted", o)
}

// Deleting Blobs: what is deleted is one repository's.
func mountOutlivesSource(c *C) {
	b, source, target := c.content.blob(100), c.freshRepository(), c.freshRepository()
	c.pushBlob(source, b)
	c.must(c.mount(target, b.digest.String(), source), http.StatusCreated)
	c.must(c.do(http.MethodDelete, blobPath(source, b.digest)), http.StatusAccepted)
	c.wantNoBlob(source, b.digest)
	c.want(c.do(http.MethodGet, blobPath(target, b.digest)), http.StatusOK)
}
