package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
)

// Pulling blobs: "A registry SHOULD support the Range request header in accordance
// with RFC 9110", whose section 14 the checks go through.
var rangeChecks = []check{
	{"satisfiable", rangesSatisfiable},
	{"not-satisfiable", rangesNotSatisfiable},
	{"ignored", rangesIgnored},
	{"several", rangesSeveral},
	{"head", rangeHead},
	{"if-range", rangeIfRange},
	{"resume", rangeResume},
}

const rangedSize = 1000

// rangedBlob pushes a blob to read parts of.
func rangedBlob(c *C) (path string, content []byte) {
	b := c.content.blob(rangedSize)
	c.pushBlob(c.repository(), b)
	return blobPath(c.repository(), b.digest), b.content
}

// RFC 9110, 14.1.2, 15.3.7.
func rangesSatisfiable(c *C) {
	path, content := rangedBlob(c)
	for _, r := range []struct {
		header      string
		first, last int
	}{
		{"bytes=0-0", 0, 0}, {"bytes=0-99", 0, 99}, {"bytes=100-199", 100, 199}, {"bytes=999-999", 999, 999},
		{"bytes=500-", 500, 999}, {"bytes=0-", 0, 999}, {"bytes=0-999", 0, 999},
		{"bytes=900-5000", 900, 999}, {"bytes=-1", 999, 999}, {"bytes=-100", 900, 999}, {"bytes=-5000", 0, 999},
	} {
		a := c.do(http.MethodGet, path, withHeader("Range", r.header))
		if !c.want(a, http.StatusPartialContent) {
			continue
		}
		c.wantHeader(a, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", r.first, r.last, rangedSize))
		c.wantHeader(a, "Content-Length", strconv.Itoa(r.last-r.first+1))
		if !bytes.Equal(a.body, content[r.first:r.last+1]) {
			c.Errorf("Range %s: %d bytes that are not bytes %d to %d of the blob", r.header, len(a.body), r.first, r.last)
		}
	}
}

// RFC 9110, 15.5.17.
func rangesNotSatisfiable(c *C) {
	path, _ := rangedBlob(c)
	for _, r := range []string{"bytes=1000-", "bytes=1000-1001", "bytes=99999999999999-", "bytes=-0"} {
		a := c.do(http.MethodGet, path, withHeader("Range", r))
		if !c.want(a, http.StatusRequestedRangeNotSatisfiable) {
			continue
		}
		c.wantHeader(a, "Content-Range", fmt.Sprintf("bytes */%d", rangedSize))
	}
}

// RFC 9110, 14.2: unknown units are ignored; what is no range is ignored or refused,
// and answered with no other part of the content.
func rangesIgnored(c *C) {
	path, content := rangedBlob(c)
	a := c.do(http.MethodGet, path, withHeader("Range", "items=0-4"))
	if c.want(a, http.StatusOK) && !bytes.Equal(a.body, content) {
		c.Errorf("%s with an unknown unit: not the whole blob", a.asked)
	}
	for _, r := range []string{"bytes=5-2", "bytes=a-b", "bytes=", "bytes=-", "bytes=0", "0-4", "bytes=--5", "bytes=1-2-3", "bytes=99999999999999999999999-"} {
		a := c.do(http.MethodGet, path, withHeader("Range", r))
		if c.want(a, http.StatusOK, http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable) && a.status == http.StatusOK && !bytes.Equal(a.body, content) {
			c.Errorf("%s with Range %q: not the whole blob", a.asked, r)
		}
	}
}

// RFC 9110, 14.2, 15.3.7.2: several ranges are sent in parts, together, or ignored;
// many small and overlapping ones may be refused.
func rangesSeveral(c *C) {
	path, content := rangedBlob(c)
	a := c.do(http.MethodGet, path, withHeader("Range", "bytes=0-9,500-509"))
	switch {
	case !c.want(a, http.StatusOK, http.StatusPartialContent):
	case a.status == http.StatusOK && !bytes.Equal(a.body, content):
		c.Errorf("%s: status 200 without the whole blob", a.asked)
	case a.status == http.StatusPartialContent && (!bytes.Contains(a.body, content[:10]) || !bytes.Contains(a.body, content[500:510])):
		c.Errorf("%s: status 206 without the two ranges", a.asked)
	}
	many := "bytes=0-"
	for range 200 {
		many += ",0-"
	}
	a = c.do(http.MethodGet, path, withHeader("Range", many))
	c.want(a, http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable, http.StatusBadRequest)
	if len(a.body) > 10*rangedSize {
		c.Errorf("%d bytes are answered to 201 times the same range of a blob of %d", len(a.body), rangedSize)
	}
}

// RFC 9110, 14.2: ranges are defined for GET only, elsewhere the header is ignored.
func rangeHead(c *C) {
	path, _ := rangedBlob(c)
	a := c.do(http.MethodHead, path, withHeader("Range", "bytes=0-9"))
	c.want(a, http.StatusOK)
	c.wantHeader(a, "Content-Length", strconv.Itoa(rangedSize))
}

// RFC 9110, 13.1.5.
func rangeIfRange(c *C) {
	path, _ := rangedBlob(c)
	tag := c.do(http.MethodHead, path).header.Get("ETag")
	if tag == "" {
		c.Fatalf("HEAD %s: no ETag", path)
	}
	c.want(c.do(http.MethodGet, path, withHeader("Range", "bytes=0-9"), withHeader("If-Range", tag)), http.StatusPartialContent)
	c.want(c.do(http.MethodGet, path, withHeader("Range", "bytes=0-9"), withHeader("If-Range", `"other"`)), http.StatusOK)
}

// Use Cases, Resumable Pull: a blob that is read in pieces is the blob.
func rangeResume(c *C) {
	b := c.content.blob(1<<20 + 3)
	c.pushBlob(c.repository(), b)
	var got []byte
	for step := 300_000; len(got) < len(b.content); {
		a := c.do(http.MethodGet, blobPath(c.repository(), b.digest), withHeader("Range", fmt.Sprintf("bytes=%d-%d", len(got), len(got)+step-1)))
		c.must(a, http.StatusPartialContent)
		if len(a.body) == 0 {
			c.Fatalf("%s: an empty part after %d bytes", a.asked, len(got))
		}
		got = append(got, a.body...)
	}
	if b.digest.Algorithm().FromBytes(got) != b.digest {
		c.Errorf("the pieces of %s do not have its digest together", b.digest)
	}
}
