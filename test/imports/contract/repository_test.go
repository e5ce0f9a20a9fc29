package contract_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// repositoryOf60 has 60 tags of one image, and names them in the order of the contract.
func repositoryOf60(t *testing.T) (upstream *testenv.Registry, name string, ordered []string) {
	t.Helper()
	upstream = testenv.NewRegistry(t)
	ordered = []string{"latest", "v5.2", "5.1", "v5.1", "5.1-rc1", "5.2.3", "a", "b"}
	for i := range 60 - len(ordered) {
		ordered = append(ordered, fmt.Sprintf("x%02d", i))
	}
	img := testimage.Image(t, "linux/amd64")
	for _, tag := range ordered {
		name = upstream.Push(t, "x:"+tag, img)
	}
	return upstream, name, ordered
}

func tagsOf(images []imagev1.ImageImportStatus) []string {
	var tags []string
	for _, status := range images {
		tags = append(tags, status.Tag)
	}
	return tags
}

func TestRepositoryIsImportedInOrderOfPriority(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "repository")
	upstream, name, ordered := repositoryOf60(t)
	answer := post(t, ns, wholeRepository(importing("s"), upstream.Ref("x")))
	repository := answer.Status.Repository
	if repository.Status.Status != metav1.StatusSuccess {
		t.Errorf("status %s", asJSON(t, repository.Status))
	}
	if got := tagsOf(repository.Images); !slices.Equal(got, ordered[:50]) {
		t.Errorf("imported %q\nwant %q", got, ordered[:50])
	}
	if !slices.Equal(repository.AdditionalTags, ordered[50:]) {
		t.Errorf("additional tags %q, want %q", repository.AdditionalTags, ordered[50:])
	}
	s := getStream(t, ns, "s")
	if len(s.Spec.Tags) != 50 || len(s.Status.Tags) != 50 || s.Spec.DockerImageRepository != "" { // O48
		t.Errorf("%d spec tags, %d status tags, repository %q", len(s.Spec.Tags), len(s.Status.Tags), s.Spec.DockerImageRepository)
	}
	if tag := specTag(s, "5.1-rc1"); tag == nil || tag.From.Name != upstream.Ref("x:5.1-rc1") || !tag.ImportPolicy.Insecure || *tag.Generation != 1 {
		t.Errorf("spec tag %+v", tag)
	}
	if got := history(s, "latest"); !slices.Equal(got, []string{name + " 1"}) {
		t.Errorf("history %q", got)
	}
	again := post(t, ns, wholeRepository(importing("s"), upstream.Ref("x")))
	if again.Status.Import.ResourceVersion != s.ResourceVersion {
		t.Error("the same import wrote the stream")
	}
}

func TestImagesBesideRepositoryAddToIt(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "repository")
	upstream, name, ordered := repositoryOf60(t)
	isi := wholeRepository(looking(image(upstream.Ref("x:x51"), "")), upstream.Ref("x"))
	answer := post(t, ns, isi)
	wantSuccess(t, answer.Status.Images[0], name)
	repository := answer.Status.Repository
	if got := tagsOf(repository.Images); !slices.Equal(got, append(slices.Clone(ordered[:50]), "x51")) {
		t.Errorf("imported %q", got)
	}
	if slices.Contains(repository.AdditionalTags, "x51") || len(repository.AdditionalTags) != 9 {
		t.Errorf("additional tags %q", repository.AdditionalTags)
	}
}

func TestRepositoryWithFailedTags(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "repository"), testenv.NewRegistry(t)
	name := upstream.Push(t, "x:good", testimage.Image(t, "linux/amd64"))
	upstream.Push(t, "x:bad", testimage.Image(t, "linux/amd64"))
	upstream.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/manifests/bad") {
			return false
		}
		testenv.RegistryError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "gone")
		return true
	})
	answer := post(t, ns, wholeRepository(importing("s"), upstream.Ref("x")))
	repository := answer.Status.Repository
	if s := repository.Status; s.Status != metav1.StatusFailure || s.Reason != "ImportFailed" || s.Message != "one of the images from this repository failed to import" {
		t.Errorf("status %s", asJSON(t, s))
	}
	if got := tagsOf(repository.Images); !slices.Equal(got, []string{"bad", "good"}) {
		t.Errorf("images %q", got)
	}
	wantFailure(t, repository.Images[0].Status, metav1.StatusReasonNotFound, upstream.Ref("x:bad"))
	wantSuccess(t, repository.Images[1], name)
	s := getStream(t, ns, "s")
	if c := importFailure(s, "bad"); specTag(s, "bad") != nil || c == nil || c.Reason != "NotFound" || c.Generation != 1 {
		t.Errorf("failed tag of a repository: spec %v, condition %+v", specTag(s, "bad"), c)
	}
	if !slices.Equal(history(s, "good"), []string{name + " 1"}) {
		t.Errorf("history %q", history(s, "good"))
	}
}

func TestRepositoryThatNeedsALogin(t *testing.T) {
	t.Parallel()
	ns, basic, tokens := env.Namespace(t, "repository"), testenv.NewRegistry(t), testenv.NewRegistry(t)
	passwords := map[string]string{"me": "right"}
	basic.DemandBasic(passwords, testenv.Everybody)
	tokens.DemandTokens(passwords, testenv.Everybody)
	look := func(upstream *testenv.Registry) metav1.Status {
		return post(t, ns, wholeRepository(looking(), upstream.Ref("x"))).Status.Repository.Status
	}
	wantFailure(t, look(basic), metav1.StatusReasonInternalError, "no basic auth credentials")
	makeSecret(t, ns, testenv.PullSecret(t, "wrong", map[string]string{tokens.Host: "me:wrong"}))
	if s := look(tokens); s.Status != metav1.StatusFailure {
		t.Errorf("a refusing token service: %s", asJSON(t, s))
	}
}
