package ociregistry_test

import (
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// everyRoute has a request for each that asks for a right, and the right.
var everyRoute = []struct{ method, path, right string }{
	{"GET", "/v2/_catalog", "list catalog"},
	{"GET", "/v2/shop/a/b/tags/list", "pull shop/a/b"},
	{"HEAD", "/v2/shop/web/tags/list", "pull shop/web"},
	{"GET", "/v2/shop/web/referrers/DIGEST", "pull shop/web"},
	{"GET", "/v2/shop/web/manifests/v1", "pull shop/web"},
	{"HEAD", "/v2/shop/web/manifests/DIGEST", "pull shop/web"},
	{"PUT", "/v2/shop/web/manifests/v1", "push shop/web"},
	{"PUT", "/v2/shop/web/manifests/DIGEST?tag=v2", "push shop/web"},
	{"DELETE", "/v2/shop/web/manifests/v1", "delete shop/web"},
	{"DELETE", "/v2/shop/web/manifests/DIGEST", "delete shop/web"},
	{"GET", "/v2/shop/web/blobs/DIGEST", "pull shop/web"},
	{"HEAD", "/v2/shop/web/blobs/DIGEST", "pull shop/web"},
	{"DELETE", "/v2/shop/web/blobs/DIGEST", "delete shop/web"},
	{"POST", "/v2/shop/web/blobs/uploads/", "push shop/web"},
	{"POST", "/v2/shop/web/blobs/uploads/?mount=DIGEST&from=other/app", "push shop/web"},
	{"POST", "/v2/shop/web/blobs/uploads/?digest=DIGEST", "push shop/web"},
	{"GET", "/v2/shop/web/blobs/uploads/UPLOAD", "pull shop/web"},
	{"PATCH", "/v2/shop/web/blobs/uploads/UPLOAD", "push shop/web"},
	{"PUT", "/v2/shop/web/blobs/uploads/UPLOAD?digest=DIGEST", "push shop/web"},
	{"DELETE", "/v2/shop/web/blobs/uploads/UPLOAD", "push shop/web"},
	{"GET", "/extensions/v2/shop/web/signatures/DIGEST", "signature-read shop/web"},
	{"PUT", "/extensions/v2/shop/web/signatures/DIGEST", "sign shop/web"},
	{"DELETE", "/admin/blobs/DIGEST", "delete images/"},
	{"GET", "/extensions/v2/metrics", "get registry/metrics"},
}

// TestStranger holds that every route refuses who has no right, before it does or tells
// anything, and asks for the right that it says.
func TestStranger(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	r.push("shop/web", "v1", content)
	d := digest.FromBytes(content).String()
	upload := r.begin("shop/web", "")
	id := upload[strings.LastIndex(upload, "/")+1:]
	pushes := len(r.directory.pushes)
	for _, c := range everyRoute {
		path := strings.NewReplacer("DIGEST", d, "UPLOAD", id).Replace(c.path)
		r.access.asked = nil
		got := r.want(401, ociregistry.CodeUnauthorized, r.do(c.method, path, nil, as("stranger")))
		if !slices.Equal(r.access.asked, []string{"stranger " + c.right}) {
			t.Errorf("%s %s asks for %q, not for %s", c.method, c.path, r.access.asked, c.right)
		}
		if got.header.Get("WWW-Authenticate") == "" || got.header.Get("Docker-Content-Digest") != "" {
			t.Errorf("%s %s answers with %v", c.method, c.path, got.header)
		}
		r.access.asked = nil
		r.want(401, ociregistry.CodeUnauthorized, r.do(c.method, path, nil, header("Authorization", "")))
		if len(r.access.asked) > 0 {
			t.Errorf("%s %s asks about nobody", c.method, c.path)
		}
	}
	r.standsAt(upload, 0)
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
	r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+digest.FromString("layer of one").String(), nil))
	if len(r.directory.pushes) != pushes || len(r.directory.signatures) > 0 {
		t.Error("a stranger changed something")
	}
	// Who may pull may do nothing else.
	r.access.allow("reader", ociregistry.ActionPull, "shop/web")
	for _, c := range everyRoute {
		if c.right == "pull shop/web" || c.right == "pull shop/a/b" {
			continue
		}
		path := strings.NewReplacer("DIGEST", d, "UPLOAD", id).Replace(c.path)
		r.want(401, ociregistry.CodeUnauthorized, r.do(c.method, path, nil, as("reader")))
	}
}

// TestBadNamesAskNothing holds that a name which is none never reaches anybody.
func TestBadNamesAskNothing(t *testing.T) {
	r := start(t)
	for _, name := range []string{"..", "../..", "shop/..", "shop/../web", "shop//web", "/shop/web", "Shop/web", "shop/web/", "shop", "shop/w eb", "shop/%00", "shop/.web", "shop/web-"} {
		for _, rest := range []string{"/manifests/v1", "/blobs/" + digest.FromString("x").String(), "/tags/list", "/referrers/" + digest.FromString("x").String()} {
			got := r.do("GET", "/v2/"+strings.ReplaceAll(name, " ", "%20")+rest, nil)
			r.want(400, ociregistry.CodeNameInvalid, got)
		}
		r.want(400, ociregistry.CodeNameInvalid, r.do("POST", "/v2/"+strings.ReplaceAll(name, " ", "%20")+"/blobs/uploads/", nil))
	}
	if len(r.access.asked) > 0 || r.directory.calls() > 0 {
		t.Errorf("asked for %v, and %d times about streams", r.access.asked, r.directory.calls())
	}
}
