package ociregistry_test

import (
	"bytes"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/upstream"
)

// TestAnswersOfOtherRegistriesAreLogged holds that the log has what another registry answered, also
// where the client is answered 404 or 429, and nothing of content that no other registry has either.
func TestAnswersOfOtherRegistriesAreLogged(t *testing.T) {
	r := start(t)
	layer := digest.FromString("x")
	r.imported(t, "shop/web", "v1", []byte(`{"layers":[{"digest":"`+layer.String()+`"}]}`))
	for _, test := range []struct {
		path string
		code ociregistry.Code
		want bool
	}{
		{"/v2/shop/web/blobs/" + layer.String(), ociregistry.CodeBlobUnknown, true},
		{"/v2/shop/web/blobs/" + layer.String(), ociregistry.CodeTooManyRequests, true},
		{"/v2/shop/web/blobs/" + layer.String(), ociregistry.CodeUnavailable, true},
		{"/v2/shop/web/blobs/" + digest.FromString("y").String(), ociregistry.CodeBlobUnknown, false},
		{"/v2/shop/web/manifests/v2", ociregistry.CodeManifestUnknown, false},
	} {
		r.upstream.failure = ociregistry.NewError(test.code, "fetching it from registry.example.com: it said so").
			Because(&upstream.Error{Code: upstream.CodeBlobUnknown, Text: "it said so"})
		var log bytes.Buffer
		klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
		got := r.do("GET", test.path, nil)
		klog.ClearLogger()
		r.want(ociregistry.NewError(test.code, "").HTTPStatus(), test.code, got)
		if lines := strings.Count(log.String(), "registry.example.com"); test.want != (lines == 1) || strings.Count(log.String(), "it said so") > 1 {
			t.Errorf("%s of %s: the log has %s", test.code, test.path, log.String())
		}
	}
}
