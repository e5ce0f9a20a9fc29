package conformance

import (
	"bytes"
	"net/http"
	"net/url"
	"regexp"
)

var uuidForm = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)

var monolithicChecks = []check{
	{"start", uploadStart},
	{"location-has-uuid", uploadUUID},
	{"put", uploadPut},
	{"put-without-content-type", uploadPutPlain},
	{"put-without-length", uploadPutStreamed},
	{"put-keeps-location-parameters", uploadLocationParameters},
	{"again", uploadAgain},
	{"one-byte", uploadOneByte},
	{"session-is-closed", uploadClosed},
}

// POST then PUT: 202 with a Location; sessions are unlike each other.
func uploadStart(c *C) {
	repo := c.repository()
	a := c.do(http.MethodPost, uploadsOf(repo), withBody(nil))
	c.must(a, http.StatusAccepted)
	first := c.location(a)
	if second := c.start(repo).location; first == second {
		c.Errorf("two sessions have the same Location %s", first)
	}
}

// POST then PUT: the location contains a UUID.
func uploadUUID(c *C) {
	if u := c.start(c.repository()); !uuidForm.MatchString(u.location) {
		c.Errorf("the Location of an upload has no UUID: %s", u.location)
	}
}

// POST then PUT: 201 with the Location of the blob.
func uploadPut(c *C) {
	b := c.content.blob(70_000)
	u := c.start(c.repository())
	c.wantBlob(u.commit(b.digest, b.content), b)
}

// POST then PUT, by a client that does not say what type bytes have.
func uploadPutPlain(c *C) {
	b := c.content.blob(600)
	u := c.start(c.repository())
	c.wantBlob(c.do(http.MethodPut, addQuery(u.location, "digest", b.digest.String()), withBody(b.content)), b)
}

// POST then PUT, by a client that sends HTTP chunks instead of a length.
func uploadPutStreamed(c *C) {
	b := c.content.blob(200_000)
	u := c.start(c.repository())
	a := c.do(http.MethodPut, addQuery(u.location, "digest", b.digest.String()), withStream(bytes.NewReader(b.content)), withHeader("Content-Type", octetStream))
	c.wantBlob(a, b)
}

// POST then PUT: "The <location> MAY contain critical query parameters": what a client
// adds comes after them, with the colon of the digest as it is or escaped.
func uploadLocationParameters(c *C) {
	for _, escape := range []func(string) string{url.QueryEscape, func(s string) string { return s }} {
		b := c.content.blob(100)
		u := c.start(c.repository())
		separator := "?"
		if bytes.ContainsRune([]byte(u.location), '?') {
			separator = "&"
		}
		c.wantBlob(c.do(http.MethodPut, u.location+separator+"digest="+escape(b.digest.String()), withBody(b.content)), b)
	}
}

// Use Cases, Layer Upload De-duplication: content that is there may be pushed again.
func uploadAgain(c *C) {
	b := c.content.blob(5000)
	for range 3 {
		u := c.start(c.repository())
		c.wantBlob(u.commit(b.digest, b.content), b)
	}
}

func uploadOneByte(c *C) {
	b := c.content.name([]byte{byte(c.content.serial)}, octetStream)
	u := c.start(c.repository())
	c.wantBlob(u.commit(b.digest, b.content), b)
}

// Endpoints (end-5, end-6, end-13): a session that is closed is unknown.
func uploadClosed(c *C) {
	b := c.content.blob(50)
	u := c.start(c.repository())
	c.must(u.commit(b.digest, b.content), http.StatusCreated)
	u.wantGone()
}
