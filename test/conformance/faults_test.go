package conformance_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"weir.dev/weir/test/conformance"
)

// fault makes a registry do one thing wrong, which a check is to find.
type fault struct {
	name  string
	check string
	// request changes what is asked; a true result has it not asked at all.
	request func(r *http.Request) (swallowed bool)
	// response changes what is answered.
	response func(r *http.Response)
}

// faults are mistakes that registries make.
var faults = []fault{
	{name: "no digest of blobs", check: "blob-pull/get-digest-header", response: without("Docker-Content-Digest")},
	{name: "wrong digest of blobs", check: "blob-pull/get", response: with("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))},
	{name: "one bit of a blob", check: "blob-pull/get", response: body("/blobs/sha", func(b []byte) []byte { b[0] ^= 1; return b })},
	{name: "half a blob", check: "blob-pull/get-large", response: body("/blobs/sha", func(b []byte) []byte { return b[:len(b)/2] })},
	{name: "ranges ignored", check: "blob-ranges/satisfiable", request: ask(func(r *http.Request) { r.Header.Del("Range") })},
	{name: "uploads without Location", check: "upload-monolithic/start", response: without("Location")},
	{name: "chunks without Range", check: "upload-chunked/one-chunk", response: without("Range")},
	{name: "chunks in any order", check: "upload-order/gap", request: ask(func(r *http.Request) { r.Header.Del("Content-Range") })},
	{name: "order refused with 400", check: "upload-order/gap", response: status(416, 400)},
	{name: "mounts that upload", check: "mount/from", request: ask(func(r *http.Request) {
		if r.URL.Query().Has("mount") {
			r.URL.RawQuery = ""
		}
	})},
	{name: "uploads that are not canceled", check: "upload-session/cancel", request: swallow(http.MethodDelete)},
	{name: "blobs that are not deleted", check: "blob-delete/accepted", request: swallow(http.MethodDelete)},
	{name: "tags that are not deleted", check: "delete-tag/accepted", request: swallow(http.MethodDelete)},
	{name: "manifests that are not deleted", check: "delete-manifest/accepted", request: swallow(http.MethodDelete)},
	{name: "manifests written anew", check: "manifest-bytes/image", response: body("/manifests/", func(b []byte) []byte {
		var value map[string]any
		if json.Unmarshal(b, &value) != nil {
			return b
		}
		again, err := json.Marshal(value)
		if err != nil {
			return b
		}
		return again
	})},
	{name: "types with parameters", check: "manifest-pull/content-type", response: func(r *http.Response) {
		r.Header.Set("Content-Type", r.Header.Get("Content-Type")+"; charset=utf-8")
	}},
	{name: "unknown codes", check: "manifest-pull/unknown-tag", response: body("/manifests/", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("MANIFEST_UNKNOWN"), []byte("NOT_FOUND"))
	})},
	{name: "manifests of any size", check: "manifest-size/beyond-limit", response: status(413, 400)},
	{name: "tag parameters ignored", check: "tag-parameters/two", request: ask(func(r *http.Request) { r.URL.RawQuery = "" })},
	{name: "subjects not told", check: "subject/header", response: without("OCI-Subject")},
	{name: "filters not told", check: "referrers-filter/matching", response: without("OCI-Filters-Applied")},
	{name: "filters not applied", check: "referrers-filter/matching", request: ask(func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			r.URL.RawQuery = ""
		}
	})},
	{name: "referrers of nothing not found", check: "referrers/unknown-subject", response: func(r *http.Response) {
		if strings.Contains(r.Request.URL.Path, "/referrers/") {
			r.StatusCode = http.StatusNotFound
		}
	}},
	{name: "annotations left out", check: "referrers-types/artifact-type", response: body("/referrers/", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(`"annotations"`), []byte(`"other"`))
	})},
	{name: "tags out of order", check: "tags/order", response: tagList(slices.Reverse)},
	{name: "tags left out", check: "tags/all", response: tagList(func(tags []string) { copy(tags, tags[1:]) })},
	{name: "pages without links", check: "tags-paging/link", response: without("Link")},
	{name: "n ignored", check: "tags-paging/n-zero", request: ask(func(r *http.Request) { r.URL.RawQuery = "" })},
	{name: "warnings of the wrong form", check: "ping/support", response: with("Warning", `199 host "beware"`)},
	{name: "too many warnings", check: "ping/support", response: with("Warning", `299 - "`+strings.Repeat("x", 5000)+`"`)},
	{name: "a server that fails", check: "traversal/paths", response: status(404, 500)},
	{name: "methods refused without Allow", check: "methods/not-allowed", response: without("Allow")},
	{name: "no tag moves", check: "manifest-push/moves-tag", request: ask(func(r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/manifests/moves", "/manifests/other-"+r.Method, 1)
	})},
	{name: "acknowledged and lost", check: "walk/random", request: func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/w1-")
	}},
}

// findsFaults runs checks against a registry in front of which somebody does one thing
// wrong at a time.
func findsFaults(t *testing.T, target conformance.Target) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			for _, r := range conformance.Collect(t.Context(), target, f.check) {
				if r.Name == f.check && len(r.Failures) > 0 {
					t.Fatalf("%s fails without the fault: %q", f.check, r.Failures)
				}
			}
			faulty := target
			transport := http.DefaultTransport.(*http.Transport).Clone()
			transport.DisableCompression = true
			defer transport.CloseIdleConnections()
			faulty.Transport = faultyTransport{RoundTripper: transport, fault: f}
			for _, r := range conformance.Collect(t.Context(), faulty, f.check) {
				if r.Name == f.check && len(r.Failures) == 0 {
					t.Errorf("%s does not find the fault", f.check)
				}
			}
		})
	}
}

type faultyTransport struct {
	http.RoundTripper
	fault fault
}

// RoundTrip implements http.RoundTripper.
func (t faultyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.fault.request != nil && t.fault.request(r) {
		if r.Body != nil {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			r.Body.Close()
		}
		return lie(r), nil
	}
	res, err := t.RoundTripper.RoundTrip(r)
	if err == nil && t.fault.response != nil {
		t.fault.response(res)
	}
	return res, err
}

// lie is the answer of a registry that has done what it was asked to.
func lie(r *http.Request) *http.Response {
	code := http.StatusAccepted
	switch {
	case r.Method == http.MethodPut:
		code = http.StatusCreated
	case strings.Contains(r.URL.Path, "/uploads/"):
		code = http.StatusNoContent
	}
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Location": {r.URL.String()}}, Body: http.NoBody,
	}
}

func ask(f func(*http.Request)) func(*http.Request) bool {
	return func(r *http.Request) bool {
		f(r)
		return false
	}
}

func swallow(method string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method }
}

func without(key string) func(*http.Response) {
	return func(r *http.Response) { r.Header.Del(key) }
}

func with(key, value string) func(*http.Response) {
	return func(r *http.Response) { r.Header.Set(key, value) }
}

func status(from, to int) func(*http.Response) {
	return func(r *http.Response) {
		if r.StatusCode == from {
			r.StatusCode = to
		}
	}
}

// body changes the answers to GET of paths that have a part.
func body(part string, f func([]byte) []byte) func(*http.Response) {
	return func(r *http.Response) {
		if r.Request.Method != http.MethodGet || !strings.Contains(r.Request.URL.Path, part) {
			return
		}
		content, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err == nil && len(content) > 0 {
			content = f(content)
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
	}
}

func tagList(f func([]string)) func(*http.Response) {
	return body("/tags/list", func(b []byte) []byte { //nolint:bodyclose // whoever reads the body closes it
		var list struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}
		if json.Unmarshal(b, &list) != nil || len(list.Tags) < 2 {
			return b
		}
		f(list.Tags)
		changed, err := json.Marshal(list)
		if err != nil {
			return b
		}
		return changed
	})
}
