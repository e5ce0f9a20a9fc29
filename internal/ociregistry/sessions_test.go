package ociregistry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
)

// TestUploadsPerUser holds that a user has a bounded number of unfinished uploads, that finished and
// canceled ones and those that rest do not count, and that other users are not refused.
func TestUploadsPerUser(t *testing.T) {
	now := time.Now()
	r := start(t, func(o *ociregistry.Options) {
		o.MaxUploadsPerUser = 2
		o.Now = func() time.Time { return now }
	})
	r.access.allow("other", ociregistry.ActionPush, "shop/web")
	begin := func(options ...option) reply { return r.do("POST", "/v2/shop/web/blobs/uploads/", nil, options...) }
	refused := func() {
		t.Helper()
		got := r.want(429, ociregistry.CodeTooManyRequests, begin())
		if got.header.Get("Retry-After") != "60" || !strings.Contains(string(got.body), "cancel some") {
			t.Errorf("the answer is %v %s", got.header, got.body)
		}
	}
	one := r.want(202, "", begin()).header.Get("Location")
	two := r.want(202, "", begin()).header.Get("Location")
	refused()
	r.want(202, "", begin(as("other")))
	r.want(201, "", r.do("POST", "/v2/shop/web/blobs/uploads/?digest="+digestOf([]byte("x")), []byte("x")))

	r.want(204, "", r.do("DELETE", one, nil))
	r.want(202, "", begin())
	refused()
	r.want(201, "", r.do("PUT", two+"?digest="+digestOf([]byte("y")), []byte("y")))
	r.want(202, "", begin())
	refused()
	now = now.Add(2 * time.Hour)
	r.want(202, "", begin())
}

// TestUploadsPerNamespace holds that the storage's refusal of an upload says what to do.
func TestUploadsPerNamespace(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) {
		var err error
		if o.Store, err = blobstore.New(blobstore.Options{Driver: inmemory.New(), MaxUploads: 1}); err != nil {
			t.Fatal(err)
		}
	})
	r.want(202, "", r.do("POST", "/v2/shop/web/blobs/uploads/", nil))
	got := r.want(429, ociregistry.CodeTooManyRequests, r.do("POST", "/v2/shop/other/blobs/uploads/", nil))
	if got.header.Get("Retry-After") != "60" || !strings.Contains(string(got.body), "namespace shop has 1 unfinished uploads") {
		t.Errorf("the answer is %v %s", got.header, got.body)
	}
}
