package importer_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/testenv/testimage"
)

func tagsOf(images []importer.ImageResult) []string {
	var out []string
	for _, i := range images {
		out = append(out, i.Tag)
	}
	return out
}

func importRepository(t *testing.T, i *importer.Importer, req importer.Request) *importer.RepositoryResult {
	t.Helper()
	req.Repository.Insecure = true
	result := i.Import(context.Background(), req)
	if result.Repository == nil {
		t.Fatal("no result for the repository")
	}
	return result.Repository
}

func TestRepositoryOrder(t *testing.T) {
	s := newServer(t)
	image := testimage.Image(t, "linux/amd64")
	d := ""
	for _, tag := range []string{"b", "5.2.3", "5.1-rc1", "a", "5.1", "latest", "v5.2"} {
		d = s.push("r/x:"+tag, image)
	}
	want := []string{"latest", "v5.2", "5.1", "5.1-rc1", "5.2.3", "a", "b"}
	for limit, imported := range map[int]int{0: 7, -1: 7, 50: 7, 3: 3} {
		r := importRepository(t, newImporter(t), importer.Request{Repository: &importer.RepositoryRequest{Ref: s.ref("r/x")}, MaxRepositoryTags: limit})
		if diff := cmp.Diff(want[:imported], tagsOf(r.Images)); diff != "" {
			t.Errorf("limit %d: images:\n%s", limit, diff)
		}
		if diff := cmp.Diff(append([]string(nil), want[imported:]...), r.AdditionalTags); diff != "" {
			t.Errorf("limit %d: additional tags:\n%s", limit, diff)
		}
		if got := asJSON(t, r.Status); got != `{"metadata":{},"status":"Success"}` {
			t.Errorf("limit %d: status %s", limit, got)
		}
		if ref := r.Images[0].Image.DockerImageReference; ref != s.ref("r/x@"+d) {
			t.Errorf("reference %s", ref)
		}
	}
}

func TestRepositoryDefaultLimit(t *testing.T) {
	s := newServer(t)
	image := testimage.Image(t, "linux/amd64")
	for n := range 60 {
		s.push(fmt.Sprintf("x:t%02d", n), image)
	}
	r := importRepository(t, newImporter(t), importer.Request{Repository: &importer.RepositoryRequest{Ref: s.ref("x")}})
	if len(r.Images) != 50 || len(r.AdditionalTags) != 10 || r.AdditionalTags[0] != "t50" {
		t.Errorf("%d images, additional %v", len(r.Images), r.AdditionalTags)
	}
	if got := s.count("GET blobs"); got != 1 {
		t.Errorf("the config that all tags share was read %d times", got)
	}
}

func TestRepositoryPartialFailure(t *testing.T) {
	s := newServer(t)
	for _, tag := range []string{"a", "b", "c"} {
		s.push("x:"+tag, testimage.Image(t, "linux/amd64"))
	}
	for _, c := range []struct {
		broken  string
		message string
	}{
		{"/a", "one of the images from this repository failed to import"},
		{"/a /c", "one of the images from this repository failed to import (2 in all)"},
	} {
		s.on(func(w http.ResponseWriter, r *http.Request) bool {
			hit := false
			for _, suffix := range strings.Fields(c.broken) {
				hit = hit || strings.HasSuffix(r.URL.Path, "/manifests"+suffix)
			}
			if hit {
				registryError(w, http.StatusInternalServerError, "")
			}
			return hit
		})
		r := importRepository(t, newImporter(t), importer.Request{Repository: &importer.RepositoryRequest{Ref: s.ref("x")}})
		if want := fmt.Sprintf(`{"metadata":{},"status":"Failure","message":%q,"reason":"ImportFailed"}`, c.message); asJSON(t, r.Status) != want {
			t.Errorf("got %s, want %s", asJSON(t, r.Status), want)
		}
		if diff := cmp.Diff([]string{"a", "b", "c"}, tagsOf(r.Images)); diff != "" || r.Images[1].Image == nil || r.Images[0].Image != nil {
			t.Errorf("images %s", diff)
		}
	}
}

func TestRepositoryThatCannotBeListed(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		reason string
		retry  importer.Retry
	}{
		{404, "NAME_UNKNOWN", "NotFound", importer.RetryLater},
		{401, "UNAUTHORIZED", "Unauthorized", importer.RetryLater},
		{403, "DENIED", "InternalError", importer.RetryLater},
		{500, "", "InternalError", importer.RetrySoon},
	} {
		s := newServer(t)
		s.fail("/tags/list", c.status, c.code)
		r := importRepository(t, newImporter(t), importer.Request{Repository: &importer.RepositoryRequest{Ref: s.ref("x")}})
		if string(r.Status.Reason) != c.reason || r.Images != nil || r.Retry != c.retry || !r.Retryable {
			t.Errorf("%s: %s, images %v, retry %s", c.code, asJSON(t, r.Status), r.Images, r.Retry)
		}
	}
}

// TestRepositoryCredentials: a realm that refuses is an InternalError for a repository (§2.4).
func TestRepositoryCredentials(t *testing.T) {
	s := newServer(t)
	s.push("x:1", testimage.Image(t, "linux/amd64"))
	s.withToken(nil, false)
	r := importRepository(t, newImporter(t), importer.Request{
		Credentials: credentials{s.host: {Username: "u", Password: "stale-password"}},
		Repository:  &importer.RepositoryRequest{Ref: s.ref("x")},
	})
	if r.Status.Reason != "InternalError" || !strings.Contains(r.Status.Message, "incorrect username or password") {
		t.Errorf("status %s", asJSON(t, r.Status))
	}
}

func TestRepositoryForeignTagNames(t *testing.T) {
	s := newServer(t)
	s.push("x:latest", testimage.Image(t, "linux/amd64"))
	s.push("x:b", testimage.Image(t, "linux/amd64"))
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			fmt.Fprintf(w, `{"name":"x","tags":["b","","b","../../etc","a b","%s"]}`, strings.Repeat("x", 200))
			return true
		}
		return false
	})
	r := importRepository(t, newImporter(t), importer.Request{Repository: &importer.RepositoryRequest{Ref: s.ref("x")}})
	if diff := cmp.Diff([]string{"latest", "b"}, tagsOf(r.Images)); diff != "" || r.Status.Status != "Success" {
		t.Errorf("%s: %s", r.Status.Status, diff)
	}
}

func TestAdditionalTagsFetchedAnyhow(t *testing.T) {
	s := newServer(t)
	list, _ := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	for _, tag := range []string{"a", "b", "c", "d", "e"} {
		s.push("x:"+tag, list)
	}
	image := func(tag string, change func(*importer.ImageRequest)) importer.ImageRequest {
		r := importer.ImageRequest{Ref: s.ref("x:" + tag), Insecure: true}
		if change != nil {
			change(&r)
		}
		return r
	}
	r := importRepository(t, newImporter(t), importer.Request{
		Repository:        &importer.RepositoryRequest{Ref: s.ref("x")},
		MaxRepositoryTags: 1,
		Images: []importer.ImageRequest{
			image("b", nil),
			image("c", func(r *importer.ImageRequest) { r.PreferArch = "arm64" }),
			image("d", func(r *importer.ImageRequest) { r.Mode = imagev1.ImportModePreserveOriginal }),
			image("e", func(r *importer.ImageRequest) { r.IncludeManifest = true }),
		},
	})
	if diff := cmp.Diff([]string{"a", "b", "e"}, tagsOf(r.Images)); diff != "" {
		t.Errorf("images:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"c", "d"}, r.AdditionalTags); diff != "" {
		t.Errorf("additional tags:\n%s", diff)
	}
	if r.Images[2].Image.DockerImageManifest != "" {
		t.Error("the repository did not ask for text")
	}
}

func TestRepositoryName(t *testing.T) {
	for _, ref := range []string{"foo.bar", "*", ""} {
		r := importRepository(t, newImporter(t), importer.Request{Repository: &importer.RepositoryRequest{Ref: ref}})
		if r.Status.Reason != "InternalError" || r.Retryable || r.Images != nil {
			t.Errorf("%q: %s", ref, asJSON(t, r.Status))
		}
	}
}
