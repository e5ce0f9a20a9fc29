package conformance

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// codes are the error codes of the specification (its section Error Codes), and the
// two for old manifests that it leaves to registries (Legacy Docker support).
var codes = []string{
	"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
	"MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
	"DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
	"TAG_INVALID", "MANIFEST_UNVERIFIED",
}

var (
	codeForm    = regexp.MustCompile(`^[A-Z_]+$`)
	warningForm = regexp.MustCompile(`^299 - "(?:[^"\\]|\\.)*"$`)
)

// maxWarnings is how much all Warning headers of an answer may have together.
const maxWarnings = 4096

// inspect looks at what holds for every answer.
func (c *C) inspect(a *answer, mayFail bool) {
	c.Helper()
	if a.status >= http.StatusInternalServerError && !mayFail {
		c.Errorf("%s: status %d: no request of a client makes the server fail\n%s", a.asked, a.status, excerpt(a.body))
		a.told = true
	}
	if a.status >= http.StatusBadRequest && a.status < http.StatusInternalServerError {
		c.inspectError(a)
	}
	c.inspectWarnings(a)
	c.inspectDigest(a)
	if a.status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "" {
		c.Errorf("%s: 401 without WWW-Authenticate (RFC 9110, 15.5.2)", a.asked)
	}
	if a.status == http.StatusMethodNotAllowed && len(a.header.Values("Allow")) == 0 {
		c.Errorf("%s: 405 without Allow (RFC 9110, 15.5.6)", a.asked)
	}
}

// errorBody is the body that errors have when they are told in JSON.
type errorBody struct {
	Errors []struct {
		Code    string          `json:"code"`
		Message *string         `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	} `json:"errors"`
}

// inspectError: Error Codes.
func (c *C) inspectError(a *answer) {
	c.Helper()
	isJSON := strings.HasPrefix(a.header.Get("Content-Type"), "application/json")
	if a.method == http.MethodHead || !isJSON && !json.Valid(a.body) {
		return
	}
	var body errorBody
	if err := json.Unmarshal(a.body, &body); err != nil || len(body.Errors) == 0 {
		c.Errorf("%s: status %d with a body in JSON that is no list of errors: %s", a.asked, a.status, excerpt(a.body))
		return
	}
	for _, e := range body.Errors {
		if !codeForm.MatchString(e.Code) {
			c.Errorf("%s: error code %q has more than uppercase letters and underscores", a.asked, e.Code)
		}
		if !slices.Contains(codes, e.Code) {
			c.Errorf("%s: status %d with error code %q, which is none of the specification's", a.asked, a.status, e.Code)
		}
	}
}

// inspectWarnings: Warnings.
func (c *C) inspectWarnings(a *answer) {
	c.Helper()
	total := 0
	for _, w := range a.header.Values("Warning") {
		total += len(w)
		if !warningForm.MatchString(w) {
			c.Errorf("%s: Warning %q is not of the form 299 - \"text\"", a.asked, w)
		}
	}
	if total > maxWarnings {
		c.Errorf("%s: %d bytes of warnings, at most %d are allowed", a.asked, total, maxWarnings)
	}
}

// inspectDigest: Pulling manifests, Pulling blobs. A digest in a header is that of the
// content.
func (c *C) inspectDigest(a *answer) {
	c.Helper()
	header := a.header.Get("Docker-Content-Digest")
	if header == "" {
		return
	}
	d, err := digest.Parse(header)
	if err != nil {
		c.Errorf("%s: Docker-Content-Digest %q: %v", a.asked, header, err)
		return
	}
	isContent := strings.Contains(a.asked, "/blobs/") && !strings.Contains(a.asked, "/uploads/") || strings.Contains(a.asked, "/manifests/")
	if a.method == http.MethodGet && a.status == http.StatusOK && isContent && d.Algorithm().FromBytes(a.body) != d {
		c.Errorf("%s: Docker-Content-Digest is %s, the body's is %s", a.asked, d, d.Algorithm().FromBytes(a.body))
	}
}

// wantError tells a finding unless an answer has the status and one of the codes.
// Answers to HEAD have a status only.
func (c *C) wantError(a *answer, status int, codes ...string) {
	c.Helper()
	if !c.want(a, status) || a.method == http.MethodHead {
		return
	}
	var body errorBody
	if err := json.Unmarshal(a.body, &body); err != nil {
		c.Errorf("%s: status %d, body is no list of errors: %v\n%s", a.asked, a.status, err, excerpt(a.body))
		return
	}
	for _, e := range body.Errors {
		if slices.Contains(codes, e.Code) {
			return
		}
	}
	c.Errorf("%s: status %d without the code %s\n%s", a.asked, a.status, strings.Join(codes, " or "), excerpt(a.body))
}

// wantRefusal tells a finding unless the answer refuses a request that is wrong in
// itself. Routers may not find what it asks for, so 404 will do.
func (c *C) wantRefusal(a *answer, codes ...string) {
	c.Helper()
	if a.status == http.StatusNotFound {
		return
	}
	c.wantError(a, http.StatusBadRequest, codes...)
}
