package conformance

import (
	"net/http"
)

var tagDeleteChecks = []check{
	{"accepted", tagDelete},
	{"unknown", tagDeleteUnknown},
	{"twice", tagDeleteTwice},
	{"manifest-stays", tagDeleteKeeps},
	{"tag-again", tagDeleteAgain},
}

// Deleting tags (end-9): 202, then 404.
func tagDelete(c *C) {
	c.push(c.repository(), c.content.image(), "gone")
	c.must(c.do(http.MethodDelete, manifestPath(c.repository(), "gone")), http.StatusAccepted)
	c.wantNoManifest(c.repository(), "gone")
}

func tagDeleteUnknown(c *C) {
	c.push(c.repository(), c.content.image(), "known")
	c.wantError(c.do(http.MethodDelete, manifestPath(c.repository(), "unknown")), http.StatusNotFound, "MANIFEST_UNKNOWN")
	c.wantError(c.do(http.MethodDelete, manifestPath(c.freshRepository(), "unknown")), http.StatusNotFound, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
}

func tagDeleteTwice(c *C) {
	c.push(c.repository(), c.content.image(), "twice")
	c.must(c.do(http.MethodDelete, manifestPath(c.repository(), "twice")), http.StatusAccepted)
	c.wantError(c.do(http.MethodDelete, manifestPath(c.repository(), "twice")), http.StatusNotFound, "MANIFEST_UNKNOWN")
}

// Deleting tags: a tag is a pointer. The manifest and its other tags stay.
func tagDeleteKeeps(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.push(repo, o, "one", "two")
	c.must(c.do(http.MethodDelete, manifestPath(repo, "one")), http.StatusAccepted)
	c.wantManifest(repo, "two", o)
	c.wantManifest(repo, o.digest.String(), o)
	c.must(c.do(http.MethodDelete, manifestPath(repo, "two")), http.StatusAccepted)
	c.wantManifest(repo, o.digest.String(), o)
	for _, b := range o.blobs {
		c.want(c.do(http.MethodGet, blobPath(repo, b.digest)), http.StatusOK)
	}
}

func tagDeleteAgain(c *C) {
	o, other, repo := c.content.image(), c.content.image(), c.freshRepository()
	c.push(repo, o, "again")
	c.must(c.do(http.MethodDelete, manifestPath(repo, "again")), http.StatusAccepted)
	c.push(repo, other, "again")
	c.wantManifest(repo, "again", other)
	c.must(c.put(repo, o, "again"), http.StatusCreated)
	c.wantManifest(repo, "again", o)
}

var manifestDeleteChecks = []check{
	{"accepted", manifestDelete},
	{"with-its-tags", manifestDeleteTags},
	{"with-a-tag-that-moved", manifestDeleteMoved},
	{"past-of-a-tag", manifestDeletePast},
	{"unknown", manifestDeleteUnknown},
	{"unknown-repository", manifestDeleteNoRepository},
	{"twice", manifestDeleteTwice},
	{"push-again", manifestDeletePushAgain},
	{"index-keeps-children", manifestDeleteIndex},
	{"child-of-index", manifestDeleteChild},
	{"other-repository-keeps-it", manifestDeleteElsewhere},
	{"blobs-shared-with-others-stay", manifestDeleteShared},
	{"sha512", manifestDeleteSHA512},
}

func (c *C) deleteManifest(repo string, o *object) {
	c.Helper()
	c.must(c.do(http.MethodDelete, manifestPath(repo, o.digest.String())), http.StatusAccepted)
}

// Deleting Manifests (end-9): 202, then 404.
func manifestDelete(c *C) {
	o := c.content.image()
	c.push(c.repository(), o)
	c.deleteManifest(c.repository(), o)
	c.wantNoManifest(c.repository(), o.digest.String())
}

// Deleting Manifests: "a GET to … <digest> and any tag pointing to that digest will
// return a 404".
func manifestDeleteTags(c *C) {
	o, other, repo := c.content.image(), c.content.image(), c.freshRepository()
	c.push(repo, o, "one", "two")
	c.push(repo, other, "other")
	c.deleteManifest(repo, o)
	for _, reference := range []string{"one", "two", o.digest.String()} {
		c.wantNoManifest(repo, reference)
	}
	c.wantEqual("tags", c.tags(repo), []string{"other"})
	c.wantManifest(repo, "other", other)
}

// Deleting Manifests: a tag that points at the digest is gone, also when it pointed at
// another one before. It does not go back.
func manifestDeleteMoved(c *C) {
	before, now, repo := c.content.image(), c.content.image(), c.freshRepository()
	c.push(repo, before, "moved")
	c.push(repo, now, "moved")
	c.deleteManifest(repo, now)
	c.wantNoManifest(repo, "moved")
	c.wantEqual("tags", c.tags(repo), nil)
	c.wantManifest(repo, before.digest.String(), before)
}

// A manifest that a tag pointed at before is deleted without that tag.
func manifestDeletePast(c *C) {
	before, now, repo := c.content.image(), c.content.image(), c.freshRepository()
	c.push(repo, before, "moved")
	c.push(repo, now, "moved")
	c.deleteManifest(repo, before)
	c.wantNoManifest(repo, before.digest.String())
	c.wantManifest(repo, "moved", now)
}

// Endpoints (end-9).
func manifestDeleteUnknown(c *C) {
	c.push(c.repository(), c.content.image(), "present")
	a := c.do(http.MethodDelete, manifestPath(c.repository(), c.content.unknownDigest().String()))
	c.wantError(a, http.StatusNotFound, "MANIFEST_UNKNOWN")
}

// Deleting Manifests: "If the repository does not exist, the response MUST return 404".
func manifestDeleteNoRepository(c *C) {
	a := c.do(http.MethodDelete, manifestPath(c.freshRepository(), c.content.unknownDigest().String()))
	c.wantError(a, http.StatusNotFound, "NAME_UNKNOWN", "MANIFEST_UNKNOWN")
}

func manifestDeleteTwice(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "twice")
	c.deleteManifest(c.repository(), o)
	c.wantError(c.do(http.MethodDelete, manifestPath(c.repository(), o.digest.String())), http.StatusNotFound, "MANIFEST_UNKNOWN")
}

func manifestDeletePushAgain(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.push(repo, o, "again")
	c.deleteManifest(repo, o)
	c.must(c.put(repo, o, "again"), http.StatusCreated)
	c.wantManifest(repo, "again", o)
	c.wantManifest(repo, o.digest.String(), o)
}

// The manifests of an index are manifests of their own.
func manifestDeleteIndex(c *C) {
	o, repo := c.content.platforms(), c.freshRepository()
	c.push(repo, o, "index")
	c.deleteManifest(repo, o)
	c.wantNoManifest(repo, "index")
	for _, child := range o.children {
		c.wantManifest(repo, child.digest.String(), child)
		c.deleteManifest(repo, child)
		c.wantNoManifest(repo, child.digest.String())
	}
}

// Deleting Manifests: also when an index lists it.
func manifestDeleteChild(c *C) {
	o, repo := c.content.platforms(), c.freshRepository()
	c.push(repo, o, "index")
	c.deleteManifest(repo, o.children[0])
	c.wantNoManifest(repo, o.children[0].digest.String())
	c.wantManifest(repo, "index", o)
	c.wantManifest(repo, o.children[1].digest.String(), o.children[1])
}

func manifestDeleteElsewhere(c *C) {
	o, one, other := c.content.image(), c.freshRepository(), c.freshRepository()
	c.push(one, o, "same")
	c.push(other, o, "same")
	c.deleteManifest(one, o)
	c.wantNoManifest(one, o.digest.String())
	c.wantManifest(other, "same", o)
	c.wantManifest(other, o.digest.String(), o)
}

func manifestDeleteShared(c *C) {
	repo, config := c.freshRepository(), c.content.config("application/vnd.oci.image.config.v1+json")
	layers := []blob{c.content.layer("application/vnd.oci.image.layer.v1.tar+gzip")}
	gone, stays := c.content.manifest(config, layers), c.content.manifest(config, layers)
	c.push(repo, gone, "gone")
	c.push(repo, stays, "stays")
	c.deleteManifest(repo, gone)
	for _, b := range stays.blobs {
		c.want(c.do(http.MethodGet, blobPath(repo, b.digest)), http.StatusOK)
	}
	c.wantManifest(repo, "stays", stays)
}

func manifestDeleteSHA512(c *C) {
	o := c.content.with("sha512").image()
	c.push(c.repository(), o)
	c.deleteManifest(c.repository(), o)
	c.wantNoManifest(c.repository(), o.digest.String())
}
