package chaos_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/testenv/testimage"
)

// neighboursStayApart holds that somebody with all rights in a repository of their own
// cannot use there what they know of a private one, its digests and uploads: they are told
// what they would be told of things that do not exist.
func (h *household) neighboursStayApart(t *testing.T) {
	unknown := unknownNames()
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/own/app/manifests/DIGEST", 404, "MANIFEST_UNKNOWN"},
		{"HEAD", "/v2/own/app/manifests/DIGEST", 404, ""},
		{"DELETE", "/v2/own/app/manifests/DIGEST", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/own/app/blobs/BLOB", 404, "BLOB_UNKNOWN"},
		{"HEAD", "/v2/own/app/blobs/BLOB", 404, ""},
		{"GET", "/v2/own/app/blobs/DIGEST", 404, "BLOB_UNKNOWN"},
		{"DELETE", "/v2/own/app/blobs/BLOB", 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/own/app/referrers/DIGEST", 200, ""},
		{"GET", "/extensions/v2/own/app/signatures/DIGEST", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/own/app/blobs/uploads/UPLOAD", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"PATCH", "/v2/own/app/blobs/uploads/UPLOAD", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"PUT", "/v2/own/app/blobs/uploads/UPLOAD?digest=BLOB", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"DELETE", "/v2/own/app/blobs/uploads/UPLOAD", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"POST", "/v2/own/app/blobs/uploads/?mount=BLOB&from=private/app", 202, ""},
		{"POST", "/v2/own/app/blobs/uploads/?mount=BLOB", 202, ""},
		{"POST", "/v2/own/app/blobs/uploads/?mount=BLOB&from=own/app", 202, ""},
		{"DELETE", "/admin/blobs/BLOB", 401, "UNAUTHORIZED"},
	} {
		var told []string
		for _, n := range []names{h.private, unknown} {
			reply, err := h.stranger.send(t.Context(), test.method, n.in(test.path), nil)
			if err != nil || reply.status != test.status || reply.code() != test.code {
				t.Errorf("%s %s: %d %s, %v; want %d %s", test.method, n.in(test.path), reply.status, reply.body, err, test.status, test.code)
			}
			told = append(told, n.hide(string(reply.body)))
		}
		if told[0] != told[1] {
			t.Errorf("%s %s tells what exists: %s\n%s", test.method, test.path, told[0], told[1])
		}
	}
	h.wantUntouched(t)
}

// namingOpensNothing holds that manifests which name what a private repository has open
// nothing of it: images are refused as if it did not exist, indexes are taken, and what
// they name stays closed.
func (h *household) namingOpensNothing(t *testing.T) {
	ctx, own := t.Context(), h.stranger
	there, missing := h.image, testimage.NewRaw(testimage.Noise(100))
	for _, i := range []testimage.Raw{there, missing} {
		err := own.putManifest(ctx, "own/app", "named", i)
		if refused := (*refusal)(nil); !errors.As(err, &refused) || !refused.is(404, "MANIFEST_BLOB_UNKNOWN") {
			t.Errorf("a manifest of somebody else's blobs: %v", err)
		}
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{testimage.Describe(ocispec.MediaTypeImageManifest, i.Manifest)}}
		index.SchemaVersion = 2
		if _, err := own.want(ctx, http.StatusCreated, http.MethodPut, manifestOf("own/app", "index"), bytes.NewReader(testimage.Encode(index)), "Content-Type", ocispec.MediaTypeImageIndex); err != nil {
			t.Errorf("an index of somebody else's image: %v", err)
		}
		for _, path := range []string{manifestOf("own/app", i.Digest.String()), blobOf("own/app", i.Digest), blobOf("own/app", digest.FromBytes(i.Layers[0]))} {
			if _, err := own.want(ctx, http.StatusNotFound, http.MethodGet, path, nil); err != nil {
				t.Errorf("once it is named: %v", err)
			}
		}
	}
	signature := fmt.Sprintf(`{"schemaVersion":2,"name":"%s@theirs","type":"AtomicImageV1","content":"c2lnbmVk"}`, there.Digest)
	if reply, err := own.send(ctx, http.MethodPut, h.private.in("/extensions/v2/own/app/signatures/DIGEST"), strings.NewReader(signature)); err != nil || reply.status < 401 || reply.status > 403 {
		t.Errorf("signing somebody else's image: %d %s, %v", reply.status, reply.body, err)
	}
	h.wantUntouched(t)
}
