package conformance

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	digest "github.com/opencontainers/go-digest"
)

// distribution-spec main, Pushing Manifests (end-7b): a manifest pushed by digest gets
// the tags that parameters name, and the answer has an OCI-Tag header for each.
var tagParameterChecks = []check{
	{"one", func(c *C) { tagged(c, c.content.image(), "one") }},
	{"two", func(c *C) { tagged(c, c.content.image(), "two-b", "two-a") }},
	{"ten", func(c *C) {
		var tags []string
		for i := range 10 {
			tags = append(tags, fmt.Sprintf("ten-%d", i))
		}
		tagged(c, c.content.image(), tags...)
	}},
	{"index", func(c *C) { tagged(c, c.content.platforms(), "index-1", "index-2") }},
	{"sha512", func(c *C) { tagged(c, c.content.with(digest.SHA512).image(), "sha512-1", "sha512-2") }},
	{"none", tagParametersNone},
	{"moves-tag", tagParametersMove},
	{"twice-the-same", tagParametersRepeated},
	{"invalid", tagParametersInvalid},
	{"wrong-digest", tagParametersWrongDigest},
	{"many", tagParametersMany},
}

// putTagged pushes by digest with tags.
func (c *C) putTagged(repo string, o *object, tags ...string) *answer {
	c.Helper()
	target := manifestPath(repo, o.digest.String())
	for _, tag := range tags {
		target = addQuery(target, "tag", tag)
	}
	return c.do(http.MethodPut, target, withBody(o.content), withHeader("Content-Type", o.mediaType))
}

// wantTags looks at the headers of an answer that made tags, in any order.
func (c *C) wantTags(a *answer, tags ...string) {
	c.Helper()
	got := slices.Sorted(slices.Values(a.header.Values("OCI-Tag")))
	if want := slices.Sorted(slices.Values(tags)); !slices.Equal(got, want) {
		c.Errorf("%s: OCI-Tag headers %q, want %q", a.asked, got, want)
	}
}

func tagged(c *C, o *object, tags ...string) {
	repo := c.repository()
	c.pushBlobs(repo, o)
	a := c.putTagged(repo, o, tags...)
	c.wantPut(a, o)
	c.wantTags(a, tags...)
	c.wantHeader(a, "Docker-Content-Digest", o.digest.String())
	listed := c.tags(repo)
	for _, tag := range tags {
		c.wantManifest(repo, tag, o)
		c.wantHeader(c.head(repo, tag), "Docker-Content-Digest", o.digest.String())
		if !slices.Contains(listed, tag) {
			c.Errorf("the tag %s is not listed: %q", tag, listed)
		}
	}
	c.wantManifest(repo, o.digest.String(), o)
}

// Without parameters there is no tag, and no header.
func tagParametersNone(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	a := c.put(c.repository(), o, o.digest.String())
	c.must(a, http.StatusCreated)
	c.wantTags(a)
}

func tagParametersMove(c *C) {
	first, second := c.content.image(), c.content.image()
	c.push(c.repository(), first, "moves-1", "moves-2")
	c.pushBlobs(c.repository(), second)
	c.must(c.putTagged(c.repository(), second, "moves-1"), http.StatusCreated)
	c.wantManifest(c.repository(), "moves-1", second)
	c.wantManifest(c.repository(), "moves-2", first)
}

func tagParametersRepeated(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	a := c.putTagged(c.repository(), o, "repeated", "repeated")
	c.must(a, http.StatusCreated)
	if !slices.Contains(a.header.Values("OCI-Tag"), "repeated") {
		c.Errorf("%s: no OCI-Tag: repeated", a.asked)
	}
	c.wantManifest(c.repository(), "repeated", o)
}

// A tag that is none is refused, and with it the push: no tag is made by halves.
func tagParametersInvalid(c *C) {
	for i, invalid := range []string{".a", "-a", "a b", "a:b", "a/b", "ä"} {
		o := c.content.image()
		c.pushBlobs(c.repository(), o)
		valid := fmt.Sprintf("valid-%d", i)
		a := c.putTagged(c.repository(), o, valid, invalid)
		if !c.want(a, http.StatusBadRequest) {
			c.Logf("the tag was %q", invalid)
		}
		c.wantNoManifest(c.repository(), valid)
	}
}

func tagParametersWrongDigest(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	o.digest = c.content.unknownDigest()
	c.wantError(c.putTagged(c.repository(), o, "wrong-digest"), http.StatusBadRequest, "DIGEST_INVALID")
	c.wantNoManifest(c.repository(), "wrong-digest")
}

// distribution-spec main: at least ten tags are taken; more may be refused with 414, and
// are not taken by halves without saying so.
func tagParametersMany(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.pushBlobs(repo, o)
	target, query := manifestPath(repo, o.digest.String()), url.Values{}
	for i := range 100 {
		query.Add("tag", fmt.Sprintf("many-%03d", i))
	}
	a := c.do(http.MethodPut, target+"?"+query.Encode(), withBody(o.content), withHeader("Content-Type", o.mediaType))
	if !c.want(a, http.StatusCreated, http.StatusRequestURITooLong, http.StatusBadRequest) || a.status != http.StatusCreated {
		return
	}
	made := a.header.Values("OCI-Tag")
	slices.Sort(made)
	if listed := c.tags(repo); !slices.Equal(listed, made) {
		c.Errorf("%d OCI-Tag headers, %d tags are listed", len(made), len(listed))
	}
}
