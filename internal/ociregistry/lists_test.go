package ociregistry_test

import (
	"errors"

	"strings"
	"testing"

	"weir.dev/weir/internal/ociregistry"
)

func TestSignatures(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	made := r.push("shop/web", "v1", content)
	d := made.header.Get("Docker-Content-Digest")
	path := "/extensions/v2/shop/web/signatures/" + d
	if got := r.want(200, "", r.do("GET", path, nil)); string(got.body) != `{"signatures":[]}` {
		t.Errorf("no signatures are %s", got.body)
	}
	signature := `{"schemaVersion":2,"name":"` + d + `@abc","type":"AtomicImageV1","content":"c2lnbmVk"}`
	r.want(201, "", r.do("PUT", path, []byte(signature)))
	if got := r.want(200, "", r.do("GET", path, nil)); string(got.body) != `{"signatures":[`+signature+`]}` {
		t.Errorf("the signatures are %s", got.body)
	}
	r.want(409, ociregistry.CodeSignatureExists, r.do("PUT", path, []byte(signature)))
	untyped := strings.Replace(strings.Replace(signature, `"type":"AtomicImageV1",`, "", 1), "@abc", "@def", 1)
	r.want(201, "", r.do("PUT", path, []byte(untyped)))
	if got := r.directory.signatures[1]; got.Type != "AtomicImageV1" || string(got.Content) != "signed" || got.Name != d+"@def" {
		t.Errorf("the signature is %+v", got)
	}
	for _, wrong := range []string{
		``, `{`, `{}`, strings.Replace(signature, `:2,`, `:1,`, 1), strings.Replace(signature, "@abc", "", 1),
		strings.Replace(signature, "c2lnbmVk", "", 1), strings.Replace(signature, "c2lnbmVk", "!", 1),
	} {
		r.want(400, ociregistry.CodeSignatureInvalid, r.do("PUT", path, []byte(wrong)))
	}
	r.want(413, ociregistry.CodeSignatureInvalid, r.do("PUT", path, make([]byte, 4<<20+1)))
	r.want(404, ociregistry.CodeNameUnknown, r.do("GET", "/extensions/v2/shop/none/signatures/"+d, nil))
	r.want(400, ociregistry.CodeDigestInvalid, r.do("GET", "/extensions/v2/shop/web/signatures/v1", nil))
}

func TestBase(t *testing.T) {
	r := start(t)
	for _, path := range []string{"/", "/healthz"} {
		req := r.request("GET", path, nil)
		req.Header.Del("Authorization")
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-cache" || res.ContentLength != 0 {
			t.Errorf("%s is %s with %v", path, res.Status, res.Header)
		}
	}
	for _, path := range []string{"/v2/", "/v2"} {
		if got := r.want(200, "", r.do("GET", path, nil, as("anybody"))); string(got.body) != "{}" {
			t.Errorf("%s is %s", path, got.body)
		}
		got := r.want(401, ociregistry.CodeUnauthorized, r.do("GET", path, nil, header("Authorization", "")))
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer realm=") {
			t.Errorf("%s challenges with %v", path, got.header)
		}
	}
	if got := r.want(200, "", r.do("GET", "/openshift/token", nil, header("Authorization", ""))); !strings.Contains(string(got.body), "anonymous") {
		t.Errorf("the token endpoint says %s", got.body)
	}
	for path, allow := range map[string]string{
		"/v2/":                           "GET, HEAD",
		"/v2/shop/web/manifests/v1":      "GET, HEAD, PUT, DELETE",
		"/v2/shop/web/blobs/uploads/":    "POST",
		"/v2/shop/web/blobs/uploads/abc": "GET, HEAD, PATCH, PUT, DELETE",
	} {
		if got := r.want(405, ociregistry.CodeUnsupported, r.do("OPTIONS", path, nil)); got.header.Get("Allow") != allow {
			t.Errorf("%s allows %q, not %q", path, got.header.Get("Allow"), allow)
		}
	}
	for _, path := range []string{"/v1/", "/v2/shop/web", "/v2/shop/web/", "/favicon.ico", "/v2/shop/web/manifests/", "/v2/shop/web/tags"} {
		got := r.want(404, ociregistry.CodeUnsupported, r.do("GET", path, nil))
		if got.header.Get("Docker-Distribution-API-Version") != "registry/2.0" || got.header.Get("X-Registry-Supports-Signatures") != "1" {
			t.Errorf("%s lacks the headers: %v", path, got.header)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := start(t)
	r.push("shop/web", "v1", r.image("shop/web", "one"))
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
	r.want(401, ociregistry.CodeUnauthorized, r.do("GET", "/extensions/v2/metrics", nil, as("guest")))
	text := string(r.want(200, "", r.do("GET", "/extensions/v2/metrics", nil)).body)
	for _, line := range []string{
		`weir_registry_requests_total{code="200",method="GET",route="manifest"}`,
		`weir_registry_requests_total{code="201",method="PUT",route="manifest"}`,
		`weir_registry_request_duration_seconds_count{method="GET",route="manifest"}`,
		`weir_registry_received_bytes_total{route="uploads"}`,
		`weir_registry_sent_bytes_total{route="manifest"}`,
		`weir_registry_requests_in_flight{kind="read"} 1`,
		`weir_registry_uploads_total{outcome="completed"}`,
		`weir_registry_manifest_reads_total{from="memory"}`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%s is missing", line)
		}
	}
}

// TestMetricsOfAScraper holds that a secret takes the place of rights, and that metrics can
// be switched off for everybody.
func TestMetricsOfAScraper(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.MetricsSecret = "scrape-me" })
	r.want(200, "", r.do("GET", "/extensions/v2/metrics", nil, as("scrape-me")))
	for _, other := range []string{"admin", "scrape", "scrape-me-not", ""} {
		r.want(401, ociregistry.CodeUnauthorized, r.do("GET", "/extensions/v2/metrics", nil, as(other)))
	}
	// It is good for nothing else.
	r.want(401, ociregistry.CodeUnauthorized, r.do("GET", "/v2/_catalog", nil, as("scrape-me")))

	r = start(t, func(o *ociregistry.Options) { o.MetricsSecret, o.MetricsOff = "scrape-me", true })
	for _, who := range []string{"admin", "scrape-me"} {
		r.want(401, ociregistry.CodeUnauthorized, r.do("GET", "/extensions/v2/metrics", nil, as(who)))
	}
}

func TestOptions(t *testing.T) {
	_, err := ociregistry.New(ociregistry.Options{Sparse: "some", MaxManifestBytes: -1, ClientTimeout: -1, ManifestCacheBytes: -1, MinChunkBytes: -1})
	for _, wrong := range []string{"Store", "Directory", "Access", "MaxManifestBytes", "Sparse", "ClientTimeout", "ManifestCacheBytes", "MinChunkBytes"} {
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("the error does not tell of %q: %v", wrong, err)
		}
	}
}

func TestClose(t *testing.T) {
	r := start(t)
	r.want(200, "", r.do("GET", "/v2/", nil))
	if err := r.handler.Close(); err != nil {
		t.Fatal(err)
	}
	got := r.want(503, ociregistry.CodeUnavailable, r.do("GET", "/v2/", nil))
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("the answer has %v", got.header)
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	one := ociregistry.NewError(ociregistry.CodeBlobUnknown, "one").Because(cause)
	all := ociregistry.Errors{ociregistry.NewError(ociregistry.CodeDenied, "two"), one}
	var e *ociregistry.Error
	if !errors.Is(all, cause) || !errors.As(all, &e) || e.Code != ociregistry.CodeDenied || all.Error() != "DENIED: two\nBLOB_UNKNOWN: one: cause" {
		t.Errorf("%v", all)
	}
	if e := (&ociregistry.Error{Code: "OTHER"}); e.HTTPStatus() != 500 {
		t.Errorf("an unknown code is %d", e.HTTPStatus())
	}
}
