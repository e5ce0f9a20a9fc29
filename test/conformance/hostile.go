package conformance

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Digests that are none, on every route that has one. Nothing is found, stored or
// deleted, and nothing fails.
var digestRefusedChecks = []check{
	{"blobs", func(c *C) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
			refusedDigest(c, method, func(d string) string { return "/v2/" + c.repository() + "/blobs/" + d }, "DIGEST_INVALID")
		}
	}},
	{"referrers", func(c *C) {
		refusedDigest(c, http.MethodGet, func(d string) string { return "/v2/" + c.repository() + "/referrers/" + d }, "DIGEST_INVALID")
	}},
	{"prefix-is-no-digest", digestPrefix},
	{"other-case-is-no-digest", digestCase},
}

func refusedDigest(c *C, method string, path func(string) string, code string) {
	c.push(c.repository(), c.content.image(), "present")
	for _, d := range malformedDigests {
		a := c.do(method, path(url.PathEscape(d)))
		// A router may tidy a path with dots before it finds it malformed.
		if c.want(a, http.StatusBadRequest, http.StatusNotFound, http.StatusMovedPermanently) && a.status == http.StatusBadRequest {
			c.wantError(a, http.StatusBadRequest, code, "NAME_INVALID")
		}
	}
}

// image-spec, descriptor.md: the encoded part has all its characters. OpenShift's own API
// knows prefixes of image names; the registry does not.
func digestPrefix(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "prefix")
	for _, n := range []int{1, 12, 63} {
		short := "sha256:" + o.digest.Encoded()[:n]
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
			c.want(c.do(method, manifestPath(c.repository(), short), accepting(allManifests...)), http.StatusBadRequest, http.StatusNotFound)
		}
		blobShort := "sha256:" + o.blobs[0].digest.Encoded()[:n]
		c.want(c.do(http.MethodGet, "/v2/"+c.repository()+"/blobs/"+blobShort), http.StatusBadRequest, http.StatusNotFound)
	}
	c.wantManifest(c.repository(), "prefix", o)
}

// image-spec, descriptor.md: "[A-F] MUST NOT be used here".
func digestCase(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "case")
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
		upper := "sha256:" + strings.ToUpper(o.digest.Encoded())
		c.want(c.do(method, manifestPath(c.repository(), upper)), http.StatusBadRequest, http.StatusNotFound)
		upper = "sha256:" + strings.ToUpper(o.blobs[0].digest.Encoded())
		c.want(c.do(method, "/v2/"+c.repository()+"/blobs/"+upper), http.StatusBadRequest, http.StatusNotFound)
	}
	c.wantManifest(c.repository(), "case", o)
}

// Paths that lead out of where they begin.
var traversalChecks = []check{
	{"paths", traversalPaths},
	{"uploads", traversalUploads},
	{"queries", traversalQueries},
	{"nul-and-control", traversalControl},
}

// passwd begins a file that every Unix has.
const passwd = "root:"

// harmless looks at an answer to something that must lead nowhere.
func (c *C) harmless(a *answer) {
	c.Helper()
	c.want(a, http.StatusBadRequest, http.StatusNotFound, http.StatusUnauthorized, http.StatusMethodNotAllowed,
		http.StatusMovedPermanently, http.StatusPermanentRedirect, http.StatusTemporaryRedirect, http.StatusRequestURITooLong)
	if bytes.Contains(a.body, []byte(passwd)) {
		c.Errorf("%s: the answer has a file of the machine", a.asked)
	}
}

func traversalPaths(c *C) {
	repo := c.repository()
	c.push(repo, c.content.image(), "present")
	up := strings.Repeat("../", 12)
	for _, dots := range []string{up, strings.ReplaceAll(up, "..", "%2e%2e"), strings.ReplaceAll(up, "/", "%2f"), strings.ReplaceAll(up, "/", "%5c"), strings.ReplaceAll(up, "..", "%252e%252e")} {
		for _, path := range []string{
			"/v2/" + dots + "etc/passwd",
			"/v2/" + dots + "etc/passwd/manifests/latest",
			"/v2/" + repo + "/" + dots + "etc/manifests/passwd",
			"/v2/" + repo + "/manifests/" + dots + "etc/passwd",
			"/v2/" + repo + "/blobs/" + dots + "etc/passwd",
			"/v2/" + repo + "/blobs/sha256:" + dots + "etc/passwd",
			"/v2/" + repo + "/referrers/" + dots + "etc/passwd",
			"/v2/" + repo + "/tags/" + dots + "etc/passwd",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				c.harmless(c.do(method, path, withBody([]byte("{}")), withHeader("Content-Type", allManifests[0])))
			}
		}
	}
	c.wantEqual("tags", c.tags(repo), []string{"present"})
}

func traversalUploads(c *C) {
	repo := c.repository()
	u := c.start(repo)
	b := c.content.blob(10)
	for _, id := range []string{"..", "../..", "..%2f..", "%2e%2e", ".", "_uploads", "..%2f..%2f_manifests", "a%00b", "%00", strings.Repeat("a", 3000)} {
		target := uploadsOf(repo) + id
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodPut, http.MethodDelete} {
			target := target
			if method == http.MethodPut {
				target = addQuery(target, "digest", b.digest.String())
			}
			c.harmless(c.do(method, target, withBody(b.content)))
		}
	}
	c.wantNoBlob(repo, b.digest)
	c.wantBlob(u.commit(b.digest, b.content), b)
}

func traversalQueries(c *C) {
	repo := tagRepository(c, "present")
	for _, value := range []string{"../../../etc/passwd", "a/../../b", "\x00", "%", "☃", strings.Repeat("x", 5000), "{{.}}", "' OR 1=1 --"} {
		for _, target := range []string{
			addQuery(tagsPath(repo), "last", value), addQuery(tagsPath(repo), "n", "1", "last", value),
			addQuery(referrersPath(repo, c.content.unknownDigest()), "artifactType", value), addQuery("/v2/_catalog", "last", value),
		} {
			a := c.do(http.MethodGet, target)
			c.want(a, http.StatusOK, http.StatusBadRequest, http.StatusRequestURITooLong)
			if bytes.Contains(a.body, []byte(passwd)) {
				c.Errorf("%s: the answer has a file of the machine", a.asked)
			}
		}
	}
	for _, query := range []string{"?%zz", "?n=1;last=a", "?" + strings.Repeat("&", 100), "?n=1&n=2"} {
		c.want(c.do(http.MethodGet, tagsPath(repo)+query), http.StatusOK, http.StatusBadRequest)
	}
}

func traversalControl(c *C) {
	repo := c.repository()
	for _, reference := range []string{"%00", "%0d%0aX-Injected:%20yes", "%7f", "a%0ab", "%ff%fe", "%E2%80%AE"} {
		for _, path := range []string{manifestPath(repo, reference), "/v2/" + repo + "/blobs/" + reference, "/v2/" + repo + reference + "/tags/list", "/v2/" + repo + "/referrers/" + reference} {
			a := c.do(http.MethodGet, path)
			c.harmless(a)
			if a.header.Get("X-Injected") != "" {
				c.Errorf("%s: a header was made of the path", a.asked)
			}
		}
	}
}

// Endpoints: the table of methods. Others are not allowed, or not found.
var methodChecks = []check{
	{"not-allowed", methodsNotAllowed},
	{"unknown", methodsUnknown},
	{"unknown-paths", methodsUnknownPaths},
}

// endpoints are the paths of the table with the methods that they have.
func endpoints(c *C, repo string) map[string][]string {
	d := c.content.unknownDigest()
	const get, head, put, post, patch, remove = http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
	return map[string][]string{
		"/v2/":                                 {get, head},
		"/v2/_catalog":                         {get, head},
		tagsPath(repo):                         {get, head},
		referrersPath(repo, d):                 {get, head},
		blobPath(repo, d):                      {get, head, remove},
		manifestPath(repo, "methods"):          {get, head, put, remove},
		manifestPath(repo, d.String()):         {get, head, put, remove},
		uploadsOf(repo):                        {post},
		uploadsOf(repo) + "0-unknown-session-": {get, head, patch, put, remove},
	}
}

func methodsNotAllowed(c *C) {
	repo := c.repository()
	c.push(repo, c.content.image(), "present")
	for path, allowed := range endpoints(c, repo) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if slices.Contains(allowed, method) {
				continue
			}
			a := c.do(method, path, withBody([]byte("{}")), withHeader("Content-Type", allManifests[0]))
			c.want(a, http.StatusMethodNotAllowed, http.StatusNotFound)
		}
	}
	c.wantEqual("tags", c.tags(repo), []string{"present"})
}

func methodsUnknown(c *C) {
	repo := c.repository()
	for path := range endpoints(c, repo) {
		for _, method := range []string{"TRACE", "PROPFIND", "get"} {
			a := c.do(method, path, func(k *call) { k.mayFail = true })
			c.want(a, http.StatusMethodNotAllowed, http.StatusNotFound, http.StatusNotImplemented, http.StatusBadRequest, http.StatusUnauthorized)
		}
	}
}

func methodsUnknownPaths(c *C) {
	repo := c.repository()
	c.push(repo, c.content.image(), "present")
	for _, path := range []string{
		"/v2/" + repo, "/v2/" + repo + "/", "/v2/" + repo + "/manifests/", "/v2/" + repo + "/manifests", "/v2/" + repo + "/blobs/", "/v2/" + repo + "/blobs",
		"/v2/" + repo + "/tags", "/v2/" + repo + "/tags/", "/v2/" + repo + "/tags/other", "/v2/" + repo + "/referrers/", "/v2/" + repo + "/unknown/x",
		"/v2//", "/v2/_unknown", "/v2/manifests/latest", "/v2/tags/list", "/v3/", "/unknown",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			c.harmless(c.do(method, path, withBody([]byte("{}")), withHeader("Content-Type", allManifests[0])))
		}
	}
}
