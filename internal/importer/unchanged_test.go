package importer_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/testenv/testimage"
)

func knownOf(image *imagev1.Image) *importer.KnownImage {
	return &importer.KnownImage{Image: image.Name, DockerImageReference: image.DockerImageReference}
}

// TestUnchangedTagCostsOneHead is the claim that scheduled imports stand on.
func TestUnchangedTagCostsOneHead(t *testing.T) {
	list, _ := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	for _, c := range []struct {
		name string
		what mutate.Appendable
		req  importer.ImageRequest
	}{
		{"image", testimage.Image(t, "linux/amd64"), importer.ImageRequest{}},
		{"image, kept", testimage.Image(t, "linux/amd64"), importer.ImageRequest{Mode: preserve}},
		{"list", list, importer.ImageRequest{}},
		{"list, other platform", list, importer.ImageRequest{PreferArch: "arm64"}},
		{"list, kept", list, importer.ImageRequest{Mode: preserve}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.push("x:1", c.what)
			i := newImporter(t)
			c.req.Ref = s.ref("x:1")
			first := mustImport(t, i, c.req)
			c.req.Known = knownOf(first.Image)
			for range 3 {
				s.reset()
				again := mustImport(t, i, c.req)
				if !again.Unchanged || again.Image != nil || again.Manifests != nil || again.Tag != "1" || again.Source != s.ref("x") {
					t.Errorf("unchanged %v, image %v, tag %q, source %q", again.Unchanged, again.Image, again.Tag, again.Source)
				}
				if s.count("HEAD x 1") != 1 || s.total() != 1 {
					t.Errorf("cost %v", s.requests)
				}
			}
		})
	}
}

func TestNotUnchanged(t *testing.T) {
	list, digests := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	for name, change := range map[string]func(s *testServer, r *importer.ImageRequest){
		"tag moved":            func(s *testServer, r *importer.ImageRequest) { s.push("x:1", testimage.Image(t, "linux/amd64")) },
		"other platform":       func(_ *testServer, r *importer.ImageRequest) { r.PreferArch = "arm64" },
		"mode turned preserve": func(_ *testServer, r *importer.ImageRequest) { r.Mode = preserve },
		"another reference": func(_ *testServer, r *importer.ImageRequest) {
			r.Known.DockerImageReference = "elsewhere/x@" + digests[0]
		},
		"text wanted": func(_ *testServer, r *importer.ImageRequest) { r.IncludeManifest = true },
		"head unsupported": func(s *testServer, _ *importer.ImageRequest) {
			s.on(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusMethodNotAllowed)
				}
				return r.Method == http.MethodHead
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.push("x:1", list)
			i := newImporter(t)
			req := importer.ImageRequest{Ref: s.ref("x:1")}
			req.Known = knownOf(mustImport(t, i, req).Image)
			change(s, &req)
			result := mustImport(t, i, req)
			if name == "head unsupported" {
				// A GET tells the digest as well, so this is known to be unchanged.
				if !result.Unchanged && result.Image == nil {
					t.Error("neither unchanged nor an image")
				}
				return
			}
			if result.Unchanged || result.Image == nil {
				t.Error("taken for unchanged")
			}
		})
	}
}

// TestLegacyAfterPreserve: the head of the tag is the list; a Legacy import wants its child.
func TestLegacyAfterPreserve(t *testing.T) {
	s := newServer(t)
	list, digests := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	s.push("x:1", list)
	i := newImporter(t)
	kept := mustImport(t, i, importer.ImageRequest{Ref: s.ref("x:1"), Mode: preserve})
	result := mustImport(t, i, importer.ImageRequest{Ref: s.ref("x:1"), Known: knownOf(kept.Image)})
	if result.Unchanged || result.Image.Name != digests[0] {
		t.Errorf("unchanged %v, image %v", result.Unchanged, result.Image)
	}
}

// TestFailingHeadIsNotTheStatus: what a registry says to a HEAD decides nothing.
func TestFailingHeadIsNotTheStatus(t *testing.T) {
	s := newServer(t)
	s.push("x:1", testimage.Image(t, "linux/amd64"))
	i := newImporter(t)
	req := importer.ImageRequest{Ref: s.ref("x:1")}
	req.Known = knownOf(mustImport(t, i, req).Image)
	moved := s.push("x:1", testimage.Image(t, "linux/arm64"))
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.Method == http.MethodHead
	})
	if result := importOne(t, i, req); result.Image == nil || result.Image.Name != moved {
		t.Errorf("status %s", asJSON(t, result.Status))
	}
	s.reset()
	s.fail("/manifests/1", http.StatusServiceUnavailable, "")
	result := importOne(t, i, req)
	if result.Status.Reason != "InternalError" || result.Retry != importer.RetrySoon || s.count("GET manifests") != 1 {
		t.Errorf("status %s, retry %s, %d GETs", asJSON(t, result.Status), result.Retry, s.count("GET manifests"))
	}
}

func TestContentIsReadOnce(t *testing.T) {
	s := newServer(t)
	list, _ := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	s.push("x:1", list)
	i := newImporter(t)
	req := importer.ImageRequest{Ref: s.ref("x:1"), Mode: preserve}
	mustImport(t, i, req)
	s.reset()
	mustImport(t, i, req)
	if s.count("GET x 1") != 1 || s.total() != 1 {
		t.Errorf("a second import of the same content cost %v", s.requests)
	}
}

// TestCacheOpensNothing: content that somebody with credentials made the process fetch is not given
// to somebody without, nor under another repository.
func TestCacheOpensNothing(t *testing.T) {
	s := newServer(t)
	list, digests := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	s.push("private/x:1", list)
	s.push("public/y:1", testimage.Image(t, "linux/amd64"))
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if strings.HasPrefix(r.URL.Path, "/v2/public/") || user == "robot" && password == "right" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		registryError(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return true
	})
	i := newImporter(t)
	robot := credentials{s.host: {Username: "robot", Password: "right", Origin: "secret p/robot"}}
	get := func(creds pullsecrets.Credentials, refs ...string) []importer.ImageResult {
		req := importer.Request{Credentials: creds}
		for _, ref := range refs {
			req.Images = append(req.Images, importer.ImageRequest{Ref: s.ref(ref), Insecure: true, Mode: preserve})
		}
		return i.Import(context.Background(), req).Images
	}
	child := "private/x@" + digests[1]
	if r := get(robot, "private/x:1", child); r[0].Image == nil || r[1].Image == nil {
		t.Fatalf("with credentials: %s, %s", r[0].Status.Message, r[1].Status.Message)
	}
	for _, creds := range []pullsecrets.Credentials{nil, credentials{s.host: {Username: "robot", Password: "wrong"}}} {
		r := get(creds, child, "public/y:1", "public/y@"+digests[1])
		if r[0].Status.Reason != "Unauthorized" || r[0].Image != nil {
			t.Errorf("private content without credentials: %s", asJSON(t, r[0].Status))
		}
		if r[1].Status.Status != "Success" || r[2].Status.Reason != "NotFound" {
			t.Errorf("public %s; private content under a public name: %s", r[1].Status.Status, asJSON(t, r[2].Status))
		}
	}
}
