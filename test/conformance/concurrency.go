package conformance

import (
	"fmt"
	"net/http"
	"sync"
)

var concurrencyChecks = []check{
	{"same-blob", concurrentBlob},
	{"same-tag", concurrentTag},
	{"same-manifest", concurrentManifest},
	{"same-session", concurrentSession},
	{"many-uploads", concurrentUploads},
	{"tags-of-one-repository", concurrentTags},
	{"referrers-of-one-subject", concurrentReferrers},
}

// together runs a function n times at once, each as a step with content of its own.
func (c *C) together(n int, f func(c *C, i int)) {
	c.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c.Step(fmt.Sprint(i), func(c *C) {
				c.content = c.session.generator()
				f(c, i)
			})
		})
	}
	wg.Wait()
}

// Use Cases, Layer Upload De-duplication: "If process A and B upload the same layer at
// the same time, both operations will proceed".
func concurrentBlob(c *C) {
	b, repo := c.content.blob(300_000), c.freshRepository()
	c.together(8, func(c *C, i int) {
		if i%2 == 0 {
			c.must(c.post(repo, b), http.StatusCreated)
			return
		}
		u := c.start(repo)
		u.wantAppended(u.stream(b.content))
		c.must(u.commit(b.digest, nil), http.StatusCreated)
	})
	c.must(c.do(http.MethodGet, blobPath(repo, b.digest)), http.StatusOK)
}

// Of manifests that are pushed to one tag at once all are there, and the tag leads to one.
func concurrentTag(c *C) {
	repo := c.freshRepository()
	all := make([]*object, 8)
	for i := range all {
		all[i] = c.content.image()
		c.pushBlobs(repo, all[i])
	}
	c.together(len(all), func(c *C, i int) { c.must(c.put(repo, all[i], "same"), http.StatusCreated) })
	tagged := c.get(repo, "same")
	c.must(tagged, http.StatusOK)
	found := false
	for _, o := range all {
		c.wantManifest(repo, o.digest.String(), o)
		found = found || string(tagged.body) == string(o.content)
	}
	if !found {
		c.Errorf("%s: none of the manifests that were pushed", tagged.asked)
	}
	c.wantEqual("tags", c.tags(repo), []string{"same"})
}

func concurrentManifest(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.pushBlobs(repo, o)
	c.together(8, func(c *C, i int) {
		reference := o.digest.String()
		if i%2 == 0 {
			reference = fmt.Sprintf("tag-%d", i/4)
		}
		c.must(c.put(repo, o, reference), http.StatusCreated)
	})
	c.wantEqual("tags", c.tags(repo), []string{"tag-0", "tag-1"})
	c.wantManifest(repo, o.digest.String(), o)
}

// Clients that send the same chunk of one upload: it is there once.
func concurrentSession(c *C) {
	b := c.content.blob(200_000)
	u := c.start(c.repository())
	var mu sync.Mutex
	accepted := 0
	c.together(4, func(c *C, _ int) {
		contentRange := fmt.Sprintf("0-%d", len(b.content)-1)
		busy := func(k *call) { k.mayFail = true } // 503 will do
		a := c.do(http.MethodPatch, u.location, withBody(b.content), withHeader("Content-Type", octetStream), withHeader("Content-Range", contentRange), busy)
		mu.Lock()
		defer mu.Unlock()
		if a.status == http.StatusAccepted {
			accepted++
		} else if a.status == http.StatusInternalServerError {
			c.Errorf("%s: status 500\n%s", a.asked, excerpt(a.body))
		}
	})
	if accepted != 1 {
		c.Errorf("%d of 4 requests with the first chunk were accepted, want 1", accepted)
	}
	if size := u.settled(); size != int64(len(b.content)) {
		c.Fatalf("the upload has %d bytes, want %d", size, len(b.content))
	}
	u.size = int64(len(b.content))
	c.wantBlob(u.commit(b.digest, nil), b)
}

func concurrentUploads(c *C) {
	repo := c.freshRepository()
	blobs := make([]blob, 50)
	for i := range blobs {
		blobs[i] = c.content.blob(20_000 + i)
	}
	c.together(len(blobs), func(c *C, i int) { c.pushBlobWay(repo, blobs[i], i) })
	for _, b := range blobs {
		c.want(c.do(http.MethodGet, blobPath(repo, b.digest)), http.StatusOK)
	}
}

// Many tags at once: each push that was acknowledged made its tag.
func concurrentTags(c *C) {
	repo, o := c.freshRepository(), c.content.image()
	c.pushBlobs(repo, o)
	var want []string
	for i := range 24 {
		want = append(want, fmt.Sprintf("tag-%02d", i))
	}
	c.together(len(want), func(c *C, i int) { c.must(c.put(repo, o, want[i]), http.StatusCreated) })
	c.wantEqual("tags", c.tags(repo), want)
}

// Referrers Tag Schema: the race of clients that the referrers API does away with.
func concurrentReferrers(c *C) {
	repo, subject := c.freshRepository(), c.content.image()
	c.push(repo, subject, "subject")
	all := make([]*object, 16)
	for i := range all {
		all[i] = c.content.artifact(exampleArtifact, of(subject))
		c.pushBlobs(repo, all[i])
	}
	c.together(len(all), func(c *C, i int) { c.pushReferrer(repo, all[i]) })
	c.wantReferrers(repo, subject.digest, all...)
}
