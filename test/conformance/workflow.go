package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	digest "github.com/opencontainers/go-digest"
)

// way is one way of the API to push a manifest.
type way struct {
	name string
	// push pushes the manifest of an object whose blobs and children are there, and
	// returns the tags that lead to it.
	push func(c *C, repo string, o *object, tag string) []string
}

var ways = []way{
	{"by-tag", func(c *C, repo string, o *object, tag string) []string {
		c.wantPut(c.put(repo, o, tag), o)
		return []string{tag}
	}},
	{"by-digest", func(c *C, repo string, o *object, _ string) []string {
		c.wantPut(c.put(repo, o, o.digest.String()), o)
		return nil
	}},
	{"with-tag-parameters", func(c *C, repo string, o *object, tag string) []string {
		tags := []string{tag + "-a", tag + "-b"}
		a := c.putTagged(repo, o, tags...)
		c.wantPut(a, o)
		c.wantTags(a, tags...)
		return tags
	}},
}

// kindChecks are all kinds of content by all ways, alone and with a subject: what the
// public conformance suite does with each, in its order.
func kindChecks() []check {
	var all []check
	for _, k := range kinds {
		for i, w := range ways {
			if k.algorithm != "" && w.name == "by-tag" {
				continue
			}
			all = append(all, check{k.name + "/" + w.name, func(c *C) { workflow(c, k, w, i) }})
		}
	}
	return all
}

// workflow pushes content, reads it in all ways, lists it, and deletes tag, manifests and
// blobs, in that order. All of it happens in the target's own repository, one after the
// other.
func workflow(c *C, k kind, w way, n int) {
	repo, o := c.session.target.Repository, k.new(c.content)
	tag := fmt.Sprintf("%s-%s-%s", k.name, w.name, c.session.mark)
	var tags []string
	if !c.Step("push-blobs", func(c *C) { c.pushTree(repo, o, n) }) {
		return
	}
	if !c.Step("push", func(c *C) { tags = w.push(c, repo, o, tag) }) {
		return
	}
	c.Step("read", func(c *C) { c.readBack(repo, o, tags) })
	c.Step("list", func(c *C) { c.listed(repo, tags) })
	referrer := referrerOf(c, k, o)
	c.Step("referrer", func(c *C) {
		c.pushBlobs(repo, referrer)
		a := w.push(c, repo, referrer, tag+"-referrer")
		c.wantReferrers(repo, o.digest, referrer)
		c.readBack(repo, referrer, a)
		c.remove(repo, referrer, a, blobsOf(o))
		c.wantReferrers(repo, o.digest)
	})
	c.Step("delete", func(c *C) { c.remove(repo, o, tags, nil) })
}

// blobsOf are all blobs of an object, to any depth.
func blobsOf(o *object) map[digest.Digest]bool {
	all := map[digest.Digest]bool{}
	for _, m := range tree(o) {
		for _, b := range m.blobs {
			all[b.digest] = true
		}
	}
	return all
}

func referrerOf(c *C, k kind, o *object) *object {
	g := c.content
	if k.algorithm != "" {
		g = g.with(k.algorithm)
	}
	return g.artifact(exampleArtifact, of(o))
}

// pushTree pushes blobs in the ways of the API in turn, beginning with the nth, and
// children by digest.
func (c *C) pushTree(repo string, o *object, n int) {
	c.Helper()
	for i, b := range o.blobs {
		c.pushBlobWay(repo, b, n+i)
	}
	for i, child := range o.children {
		c.pushTree(repo, child, n+i+1)
		c.wantPut(c.put(repo, child, child.digest.String()), child)
	}
}

func (c *C) pushBlobWay(repo string, b blob, n int) {
	c.Helper()
	start := func() *upload { return c.start(repo, algorithmQuery(b.digest)...) }
	switch n % 5 {
	case 0:
		c.wantBlob(start().commit(b.digest, b.content), b)
	case 1:
		a := c.post(repo, b)
		if a.status == http.StatusAccepted { // a registry without single POST; its checks tell
			a = c.uploadOf(repo, a).commit(b.digest, b.content)
		}
		c.wantBlob(a, b)
	case 2:
		u := start()
		c.must(u.stream(b.content), http.StatusAccepted)
		c.wantBlob(u.commit(b.digest, nil), b)
	case 3:
		u := start()
		if len(b.content) > 0 {
			for _, piece := range pieces(b.content, 2, u.chunk) {
				u.wantAppended(u.patch(piece))
			}
		}
		c.wantBlob(u.commit(b.digest, nil), b)
	case 4:
		source := c.session.target.SecondRepository
		c.pushBlob(source, b)
		c.wantBlob(c.mount(repo, b.digest.String(), source), b)
	}
}

// readBack reads an object with all it consists of.
func (c *C) readBack(repo string, o *object, tags []string) {
	c.Helper()
	for _, reference := range append(slices.Clone(tags), o.digest.String()) {
		head := c.head(repo, reference)
		c.want(head, http.StatusOK)
		c.wantHeader(head, "Content-Length", strconv.Itoa(len(o.content)))
		c.wantHeader(head, "Content-Type", o.mediaType)
		c.wantHeader(head, "Docker-Content-Digest", o.digest.String())
		c.wantManifest(repo, reference, o)
	}
	for _, b := range o.blobs {
		head := c.do(http.MethodHead, blobPath(repo, b.digest))
		c.want(head, http.StatusOK)
		c.wantHeader(head, "Content-Length", strconv.Itoa(len(b.content)))
		get := c.do(http.MethodGet, blobPath(repo, b.digest))
		if c.want(get, http.StatusOK) && !bytes.Equal(get.body, b.content) {
			c.Errorf("%s: not the blob that was pushed", get.asked)
		}
		c.wantHeader(get, "Docker-Content-Digest", b.digest.String())
	}
	for _, child := range o.children {
		c.readBack(repo, child, nil)
	}
}

// listed looks for tags in the list, whole and from a place on.
func (c *C) listed(repo string, tags []string) {
	c.Helper()
	if len(tags) == 0 {
		return
	}
	all := c.tags(repo)
	for _, tag := range tags {
		at := slices.Index(all, tag)
		if at < 0 {
			c.Errorf("the tag %s is not listed: %q", tag, all)
			continue
		}
		last := ""
		if at > 0 {
			last = all[at-1]
		}
		if _, page := c.page(repo, "1", last); !slices.Equal(page, []string{tag}) {
			c.Errorf("n=1&last=%s is %q, want %s", last, page, tag)
		}
	}
}

// remove deletes tags, manifests from the top down, and blobs but for those that others
// need; each is then not there any more.
func (c *C) remove(repo string, o *object, tags []string, needed map[digest.Digest]bool) {
	c.Helper()
	for _, tag := range tags {
		c.want(c.do(http.MethodDelete, manifestPath(repo, tag)), http.StatusAccepted)
		c.wantNoManifest(repo, tag)
	}
	manifests := tree(o)
	for _, m := range manifests {
		c.want(c.do(http.MethodDelete, manifestPath(repo, m.digest.String())), http.StatusAccepted)
		c.wantNoManifest(repo, m.digest.String())
	}
	done := map[digest.Digest]bool{}
	maps.Copy(done, needed)
	for _, m := range manifests {
		for _, b := range m.blobs {
			if done[b.digest] {
				continue
			}
			done[b.digest] = true
			c.want(c.do(http.MethodDelete, blobPath(repo, b.digest)), http.StatusAccepted)
			c.wantNoBlob(repo, b.digest)
		}
	}
}

// tree are an object and everything below it, each once.
func tree(o *object) []*object {
	all := []*object{o}
	for _, child := range o.children {
		for _, below := range tree(child) {
			if !slices.ContainsFunc(all, func(x *object) bool { return x.digest == below.digest }) {
				all = append(all, below)
			}
		}
	}
	return all
}
