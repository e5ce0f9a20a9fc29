package registryclients_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// accepted are the media types that a question for a manifest names.
var accepted = []string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}

// ref is how a client writes a repository of the project, with or without a tag.
func (p *project) ref(path string) string { return p.host + "/" + p.namespace + "/" + path }

// docker is ref as skopeo and its relatives write it.
func (p *project) docker(path string) string { return "docker://" + p.ref(path) }

// ask makes a request to the registry as the editor, and returns the answer with its
// body read.
func (p *project) ask(t testing.TB, method, path string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.host+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Accept"] = accepted
	if p.editor.token != "" {
		request.SetBasicAuth(p.editor.user, p.editor.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// manifest is a manifest as it is served: what all clients' manifests have.
type manifest struct {
	digest string
	size   int64
	ocispec.Manifest
	Manifests []ocispec.Descriptor `json:"manifests"`
	mediaType string
}

// manifest fetches what a tag or digest of a repository leads to.
func (p *project) manifest(t testing.TB, path, reference string) manifest {
	t.Helper()
	response, body := p.ask(t, http.MethodGet, "/v2/"+p.namespace+"/"+path+"/manifests/"+reference) //nolint:bodyclose // ask has closed it
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET of the manifest %s of %s: %s %s", reference, path, response.Status, body)
	}
	m := manifest{digest: fmt.Sprintf("sha256:%x", sha256.Sum256(body)), size: int64(len(body)), mediaType: response.Header.Get("Content-Type")}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("parsing the manifest %s of %s: %v", reference, path, err)
	}
	return m
}

// gone expects that a tag or digest of a repository leads to nothing.
func (p *project) gone(t testing.TB, path, reference string) {
	t.Helper()
	if response, body := p.ask(t, http.MethodGet, "/v2/"+p.namespace+"/"+path+"/manifests/"+reference); response.StatusCode != http.StatusNotFound { //nolint:bodyclose // ask has closed it
		t.Errorf("the manifest %s of %s is still there: %s %s", reference, path, response.Status, body)
	}
}

// tags expects the tag list of a repository, in its order.
func (p *project) tags(t testing.TB, path string, want ...string) {
	t.Helper()
	response, body := p.ask(t, http.MethodGet, "/v2/"+p.namespace+"/"+path+"/tags/list") //nolint:bodyclose // ask has closed it
	var got struct{ Tags []string }
	if err := json.Unmarshal(body, &got); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("tags of %s: %s %s", path, response.Status, body)
	}
	if diff := cmp.Diff(want, got.Tags); diff != "" {
		t.Errorf("tags of %s (-want +got):\n%s", path, diff)
	}
}

// lines expects a client to have printed these lines, in any order.
func lines(t testing.TB, printed string, want ...string) {
	t.Helper()
	got := strings.Fields(printed)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// contains expects a client to have said something.
func contains(t testing.TB, printed string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(printed, w) {
			t.Errorf("printed without %q:\n%s", w, printed)
		}
	}
}
