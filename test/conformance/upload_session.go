package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var sessionChecks = []check{
	{"status-new", sessionStatusNew},
	{"status-after-chunk", sessionStatus},
	{"status-location", sessionStatusLocation},
	{"cancel", sessionCancel},
	{"cancel-after-chunk", sessionCancelAfterChunk},
	{"unknown", sessionUnknown},
	{"other-repository", sessionOtherRepository},
	{"resume-after-cut-patch", sessionResume},
	{"cut-put", sessionCutPut},
	{"nothing-readable-before-close", sessionNotReadable},
}

// Pushing a blob in chunks (end-13): 204 with Location and Range. A range cannot say
// that there is nothing; registries say 0-0.
func sessionStatusNew(c *C) {
	a := c.start(c.repository()).status()
	c.must(a, http.StatusNoContent)
	c.location(a)
	c.wantHeader(a, "Range", "0-0")
}

func sessionStatus(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(max(777, u.chunk))
	u.wantAppended(u.patch(b.content))
	a := u.status()
	c.must(a, http.StatusNoContent)
	c.wantHeader(a, "Range", fmt.Sprintf("0-%d", len(b.content)-1))
}

// Pushing a blob in chunks: "The following chunk upload SHOULD use the <location>
// provided in the response".
func sessionStatusLocation(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(2 * max(500, u.chunk))
	half := len(b.content) / 2
	u.wantAppended(u.patch(b.content[:half]))
	c.must(u.status(), http.StatusNoContent)
	u.wantAppended(u.patch(b.content[half:]))
	c.must(u.status(), http.StatusNoContent)
	c.wantBlob(u.commit(b.digest, nil), b)
}

// Docker Registry HTTP API V2, Canceling an Upload.
func sessionCancel(c *C) {
	u := c.start(c.repository())
	c.must(u.cancel(), http.StatusNoContent)
	u.wantGone()
}

func sessionCancelAfterChunk(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(max(4000, u.chunk))
	u.wantAppended(u.patch(b.content))
	c.must(u.cancel(), http.StatusNoContent)
	u.wantGone()
	c.wantNoBlob(c.repository(), b.digest)
}

// Endpoints (end-5, end-6, end-13): 404.
func sessionUnknown(c *C) {
	repo := c.repository()
	c.start(repo)
	for _, id := range []string{"00000000-0000-4000-8000-000000000000", "no-uuid", "1"} {
		u := &upload{c: c, repo: repo, location: c.session.target.URL + uploadsOf(repo) + id}
		u.wantGone()
	}
}

// POST then PUT: a session is one of a repository.
func sessionOtherRepository(c *C) {
	repo, other := c.freshRepository(), c.freshRepository()
	u := c.start(repo)
	if !strings.Contains(u.location, "/v2/"+repo+"/") {
		c.Logf("the Location %s does not name the repository, so there is no other to try", u.location)
		return
	}
	elsewhere := *u
	elsewhere.repo, elsewhere.location = other, strings.Replace(u.location, "/v2/"+repo+"/", "/v2/"+other+"/", 1)
	elsewhere.wantGone()
	b := c.content.blob(10)
	c.wantBlob(u.commit(b.digest, b.content), b)
}

// errCut is what ends a body that is cut off.
var errCut = errors.New("cut off by the test")

// cutOff sends a request that promises content and breaks the connection after some.
func (c *C) cutOff(method, target string, content []byte, after int, options ...option) {
	c.Helper()
	body := io.MultiReader(bytes.NewReader(content[:after]), broken{})
	cut := func(k *call) { k.body, k.length, k.mayFail = body, int64(len(content)), true }
	a, err := c.try(method, target, append(options, withHeader("Content-Type", octetStream), cut)...)
	if err == nil && a.status < http.StatusBadRequest {
		c.Errorf("%s: status %d for a request that was cut off", a.asked, a.status)
	}
}

// broken cannot be read.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, errCut }

// Use Cases, Resumable Push: after a broken connection the registry tells how far it
// got, and the rest completes the blob.
func sessionResume(c *C) {
	b := c.content.blob(400_000)
	u := c.start(c.repository())
	u.wantAppended(u.patch(b.content[:100_000]))
	c.cutOff(http.MethodPatch, u.location, b.content[100_000:], 200_000, withHeader("Content-Range", "100000-399999"))
	u.size = u.settled()
	if u.size < 100_000 || u.size > 300_000 {
		c.Fatalf("the upload has %d bytes; 100000 were acknowledged and 300000 sent", u.size)
	}
	u.wantAppended(u.patch(b.content[u.size:]))
	c.wantBlob(u.commit(b.digest, nil), b)
}

// settled waits until nobody works at an upload any more and tells its size.
func (u *upload) settled() int64 {
	u.c.Helper()
	last, same := int64(-1), 0
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		a := u.c.do(http.MethodGet, u.location, withScope("repository:"+u.repo+":pull,push"))
		if a.status != http.StatusNoContent {
			continue // the request that was cut off may not have ended yet
		}
		end, err := strconv.ParseInt(strings.TrimPrefix(a.header.Get("Range"), "0-"), 10, 64)
		if err != nil {
			u.c.Fatalf("%s: Range is %q", a.asked, a.header.Get("Range"))
		}
		if same++; end != last {
			last, same = end, 0
		}
		if same == 5 {
			u.location = u.c.location(a)
			return end + 1
		}
	}
	u.c.Fatalf("the status of the upload %s does not settle", u.location)
	return 0
}

// A closing PUT that is cut off stores nothing. Whether the session lives on is the
// registry's choice; if it does, the blob can be completed.
func sessionCutPut(c *C) {
	b := c.content.blob(200_000)
	u := c.start(c.repository())
	c.cutOff(http.MethodPut, addQuery(u.location, "digest", b.digest.String()), b.content, 150_000)
	c.wantNoBlob(c.repository(), b.digest)
	c.pushBlob(c.repository(), b)
	c.want(c.do(http.MethodGet, blobPath(c.repository(), b.digest)), http.StatusOK)
}

// Pushing a blob in chunks: the session is closed with a PUT; until then there is no
// blob, even when all of its bytes are there.
func sessionNotReadable(c *C) {
	b := c.content.blob(5000)
	u := c.start(c.repository())
	u.wantAppended(u.patch(b.content))
	c.wantNoBlob(c.repository(), b.digest)
	c.wantBlob(u.commit(b.digest, nil), b)
}
