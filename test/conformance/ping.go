package conformance

import (
	"net/http"
)

var pingChecks = []check{
	{"support", pingSupport},
	{"credentials", pingCredentials},
}

// Determining Support: 200 says that the registry implements the specification.
func pingSupport(c *C) {
	a := c.do(http.MethodGet, "/v2/")
	c.must(a, http.StatusOK)
	// The header is optional; clients that look at it know one value.
	if v := a.header.Get("Docker-Distribution-Api-Version"); v != "" && v != "registry/2.0" {
		c.Errorf("%s: Docker-Distribution-API-Version is %q, want registry/2.0 or none", a.asked, v)
	}
}

// Determining Support, Endpoints (end-1): a registry that wants to know its clients
// answers 401 with a challenge that says where a token is to be had; one that does not
// answers 200.
func pingCredentials(c *C) {
	want := http.StatusOK
	if c.session.target.Authorization != nil {
		want = http.StatusUnauthorized
	}
	c.want(c.do(http.MethodGet, "/v2/", withoutCredentials()), want)
	repo := c.repository()
	for _, ask := range []struct{ method, path string }{
		{http.MethodPost, uploadsOf(repo)},
		{http.MethodPut, manifestPath(repo, "latest")},
		{http.MethodDelete, manifestPath(repo, "latest")},
		{http.MethodDelete, blobPath(repo, c.content.unknownDigest())},
	} {
		a := c.do(ask.method, ask.path, withoutCredentials(), withBody(nil))
		if want == http.StatusUnauthorized {
			c.wantError(a, http.StatusUnauthorized, "UNAUTHORIZED")
		} else if a.status == http.StatusUnauthorized {
			c.Errorf("%s: status 401 from a registry that knows no credentials", a.asked)
		}
	}
}
