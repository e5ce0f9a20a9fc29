package importer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/testenv/testimage"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

// profiled is a registry that behaves like a widespread one, and an importer of its own.
type profiled struct {
	*importer.Importer
	t       *testing.T
	host    string
	profile upstreamregistry.Profile
}

// login are credentials for the registry with a password, none for "".
func (p profiled) login(password string) pullsecrets.Credentials {
	if password == "" {
		return nil
	}
	return credentials{p.host: {Username: upstreamregistry.Team, Password: password, Origin: "secret p/team"}}
}

// usual is the password with which the registry's public repositories are read.
func (p profiled) usual() string {
	if p.profile.Public {
		return ""
	}
	return upstreamregistry.TeamPassword
}

// image imports an image with a password.
func (p profiled) image(password string, req importer.ImageRequest) importer.ImageResult {
	p.t.Helper()
	req.Ref, req.Insecure = p.host+"/"+req.Ref, true
	return p.Import(context.Background(), importer.Request{Images: []importer.ImageRequest{req}, Credentials: p.login(password)}).Images[0]
}

func (p profiled) want(digest string, got importer.ImageResult) {
	p.t.Helper()
	if got.Status.Status != metav1.StatusSuccess || got.Image == nil || got.Image.Name != digest {
		p.t.Errorf("want %s, got %s", digest, asJSON(p.t, got.Status))
	}
}

// Images are imported from all widespread registries, whatever is peculiar to each.
func TestWidespreadRegistries(t *testing.T) {
	first, second := testimage.Image(t, "linux/amd64"), testimage.OCIImage(t, "linux/amd64")
	list, parts := testimage.ListOf(t, types.OCIImageIndex, "linux/amd64", "linux/arm64")
	const tags = 130
	for _, profile := range upstreamregistry.Profiles {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			r := upstreamregistry.StartAs(t, profile)
			p := profiled{Importer: newImporter(t), t: t, host: r.Host(), profile: profile}
			put := func(what mutate.Appendable, names ...string) string { return r.Put(t, what, names...) }
			d := put(first, "team/app:1", "private/app:1")
			index := put(list, "team/multi:1")
			for n := range tags {
				put(first, fmt.Sprintf("team/many:t%03d", n))
			}
			usual := p.usual()
			// By tag and by digest, lists whole and in part.
			known := p.image(usual, importer.ImageRequest{Ref: "team/app:1"})
			p.want(d, known)
			p.want(d, p.image(usual, importer.ImageRequest{Ref: "team/app@" + d}))
			p.want(parts[0], p.image(usual, importer.ImageRequest{Ref: "team/multi:1"}))
			p.want(index, p.image(usual, importer.ImageRequest{Ref: "team/multi:1", Mode: preserve}))
			// Looked at again: unchanged, and moved.
			again := importer.ImageRequest{Ref: "team/app:1", Known: knownOf(known.Image)}
			if got := p.image(usual, again); got.Status.Status != metav1.StatusSuccess || !got.Unchanged {
				t.Errorf("again: unchanged %v, %s", got.Unchanged, asJSON(t, got.Status))
			}
			r.ForgetTokens()
			moved := put(second, "team/app:1")
			p.want(moved, p.image(usual, again))
			// All tags are found.
			listed := p.Import(context.Background(), importer.Request{Credentials: p.login(usual), MaxRepositoryTags: 1,
				Repository: &importer.RepositoryRequest{Ref: p.host + "/team/many", Insecure: true}}).Repository
			if got := len(listed.Images) + len(listed.AdditionalTags); got != tags || listed.Status.Status != metav1.StatusSuccess {
				t.Errorf("%d tags, %s", got, asJSON(t, listed.Status))
			}
			// Who may read what.
			p.want(d, p.image(upstreamregistry.TeamPassword, importer.ImageRequest{Ref: "private/app:1"}))
			for _, password := range []string{"", "wrong"} {
				if got := p.image(password, importer.ImageRequest{Ref: "private/app:1"}); got.Image != nil || got.Status.Status == metav1.StatusSuccess || got.Retry != importer.RetryLater {
					t.Errorf("private with %q: %s", password, asJSON(t, got.Status))
				}
				if got := p.image(password, importer.ImageRequest{Ref: "team/app:1"}); (got.Status.Status == metav1.StatusSuccess) != profile.Public {
					t.Errorf("public %v with %q: %s", profile.Public, password, asJSON(t, got.Status))
				}
			}
			if got := p.image(usual, importer.ImageRequest{Ref: "team/app:gone"}); got.Status.Reason != metav1.StatusReasonNotFound {
				t.Errorf("a tag that is not there: %s", asJSON(t, got.Status))
			}
		})
	}
}
