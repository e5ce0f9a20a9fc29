package conformance

import (
	"net/http"
	"strconv"
)

// RFC 9110, 9.3.2: HEAD is answered with the header of GET and no body.
var headChecks = []check{
	{"blob", func(c *C) {
		b := c.content.blob(1234)
		c.pushBlob(c.repository(), b)
		headLikeGet(c, blobPath(c.repository(), b.digest))
		headLikeGet(c, blobPath(c.repository(), c.content.unknownDigest()))
	}},
	{"empty-blob", func(c *C) {
		b := c.content.emptyBlob()
		c.pushBlob(c.repository(), b)
		headLikeGet(c, blobPath(c.repository(), b.digest))
	}},
	{"manifest", func(c *C) {
		for tag, o := range map[string]*object{"image": c.content.image(), "index": c.content.platforms(), "docker": c.content.dockerImage()} {
			c.push(c.repository(), o, tag)
			headLikeGet(c, manifestPath(c.repository(), tag))
			headLikeGet(c, manifestPath(c.repository(), o.digest.String()))
		}
		headLikeGet(c, manifestPath(c.repository(), "unknown"))
		headLikeGet(c, manifestPath(c.repository(), c.content.unknownDigest().String()))
	}},
	{"unknown-repository", func(c *C) {
		headLikeGet(c, blobPath(c.freshRepository(), c.content.unknownDigest()))
		headLikeGet(c, manifestPath(c.freshRepository(), "unknown"))
	}},
	{"lists", headLists},
}

func headLikeGet(c *C, path string) {
	c.Helper()
	get := c.do(http.MethodGet, path, accepting(allManifests...))
	head := c.do(http.MethodHead, path, accepting(allManifests...))
	c.sameHead(get, head)
}

func (c *C) sameHead(get, head *answer) {
	c.Helper()
	if !c.want(head, get.status) {
		return
	}
	if len(head.body) > 0 {
		c.Errorf("%s: a body of %d bytes", head.asked, len(head.body))
	}
	for _, key := range []string{"Content-Type", "Docker-Content-Digest", "ETag", "Accept-Ranges", "Cache-Control", "Docker-Distribution-Api-Version"} {
		if g, h := get.header.Get(key), head.header.Get(key); g != h {
			c.Errorf("%s: header %s is %q, GET's is %q", head.asked, key, h, g)
		}
	}
	if get.status == http.StatusOK {
		c.wantHeader(head, "Content-Length", strconv.Itoa(len(get.body)))
	}
}

// The specification has no HEAD of lists. A registry that answers it answers it like GET.
func headLists(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.push(repo, o, "latest")
	for _, path := range []string{"/v2/", tagsPath(repo), referrersPath(repo, o.digest)} {
		head := c.do(http.MethodHead, path)
		if c.want(head, http.StatusOK, http.StatusMethodNotAllowed, http.StatusNotFound) && head.status == http.StatusOK {
			get := c.do(http.MethodGet, path)
			c.must(get, http.StatusOK)
			for _, key := range []string{"Content-Type", "Link"} {
				c.wantHeader(head, key, get.header.Get(key))
			}
		}
	}
}
