package registryclients_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Types of what is attached to images here; the first is notation's.
const (
	notationType = "application/vnd.cncf.notary.signature"
	billType     = "application/vnd.example.bill-of-materials"
)

// oras is a repository of the project as ORAS' library sees it. The registry has to
// list referrers itself: the library makes no tags in their place.
func (p *project) oras(t testing.TB, path string, who login) *remote.Repository {
	t.Helper()
	repository, err := remote.NewRepository(p.ref(path))
	if err != nil {
		t.Fatal(err)
	}
	repository.PlainHTTP = true
	client := &auth.Client{Cache: auth.NewCache()}
	if who.token != "" {
		client.Credential = credentials.Credential(stored(t, p.host, who))
	}
	repository.Client = client
	if err := repository.SetReferrersCapability(true); err != nil {
		t.Fatal(err)
	}
	return repository
}

// stored is a store of credentials with one login.
func stored(t testing.TB, host string, who login) credentials.Store {
	t.Helper()
	store := credentials.NewMemoryStore()
	if err := store.Put(t.Context(), host, auth.Credential{Username: who.user, Password: who.token}); err != nil {
		t.Fatal(err)
	}
	return store
}

// attach packs and pushes an artifact of one file whose subject is given (nil for none).
func attach(t testing.TB, to content.Pusher, artifactType, mediaType, file string, subject *ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	layer := content.NewDescriptorFromBytes(mediaType, []byte(file))
	if err := to.Push(t.Context(), layer, bytes.NewReader([]byte(file))); err != nil {
		t.Fatalf("pushing a blob: %v", err)
	}
	options := oras.PackManifestOptions{Subject: subject, Layers: []ocispec.Descriptor{layer}, ManifestAnnotations: map[string]string{
		ocispec.AnnotationCreated: "2026-01-02T03:04:05Z", "file": file,
	}}
	d, err := oras.PackManifest(t.Context(), to, oras.PackManifestVersion1_1, artifactType, options)
	if err != nil {
		t.Fatalf("pushing an artifact: %v", err)
	}
	return d
}

// listed are the digests of a subject's referrers, sorted.
func listed(t testing.TB, repository *remote.Repository, subject ocispec.Descriptor, artifactType string) []digest.Digest {
	t.Helper()
	var digests []digest.Digest
	err := repository.Referrers(t.Context(), subject, artifactType, func(referrers []ocispec.Descriptor) error {
		for _, r := range referrers {
			if r.Annotations["file"] == "" {
				t.Errorf("the referrer %s is listed without its annotations: %v", r.Digest, r.Annotations)
			}
			digests = append(digests, r.Digest)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("listing the referrers of %s: %v", subject.Digest, err)
	}
	slices.Sort(digests)
	return digests
}

func sorted(descriptors ...ocispec.Descriptor) []digest.Digest {
	var digests []digest.Digest
	for _, d := range descriptors {
		digests = append(digests, d.Digest)
	}
	slices.Sort(digests)
	return digests
}

func TestORASAttachesAndDiscovers(t *testing.T) {
	p := newProject(t)
	repository := p.oras(t, "team/web", p.editor)
	image := attach(t, repository, "application/vnd.example.config", "text/plain", "the image", nil)
	if err := repository.Tag(t.Context(), image, "1"); err != nil {
		t.Fatal(err)
	}
	p.pushed(t, "team/web", "1")

	signature := attach(t, repository, notationType, "application/jose+json", "a signature", &image)
	bill := attach(t, repository, billType, "application/json", "{}", &image)
	signed := attach(t, repository, notationType, "application/jose+json", "a signature of the bill", &bill)
	for _, c := range []struct {
		subject      ocispec.Descriptor
		artifactType string
		want         []digest.Digest
	}{
		{image, "", sorted(signature, bill)},
		{image, notationType, sorted(signature)},
		{image, "application/vnd.example.other", nil},
		{bill, "", sorted(signed)},
		{signed, "", nil},
	} {
		if diff := cmp.Diff(c.want, listed(t, repository, c.subject, c.artifactType)); diff != "" {
			t.Errorf("referrers of %s of type %q (-want +got):\n%s", c.subject.Digest, c.artifactType, diff)
		}
	}
	p.tags(t, "team/web", "1")
	if found := p.referrers(t, "team/web", image.Digest.String(), ""); len(found) != 2 {
		t.Errorf("the API knows %d referrers, want 2", len(found))
	}

	// A referrer that is deleted is no longer listed; its subject stays.
	if err := repository.Delete(t.Context(), signature); err != nil {
		t.Fatalf("deleting the signature: %v", err)
	}
	if diff := cmp.Diff(sorted(bill), listed(t, repository, image, "")); diff != "" {
		t.Errorf("after one was deleted, the referrers are (-want +got):\n%s", diff)
	}
	p.gone(t, "team/web", signature.Digest.String())
}

func TestORASCopiesGraphs(t *testing.T) {
	p := newProject(t)
	from, to := p.oras(t, "web", p.editor), p.oras(t, "mirror/web", p.editor)
	image := attach(t, from, "application/vnd.example.config", "text/plain", "the image", nil)
	if err := from.Tag(t.Context(), image, "1"); err != nil {
		t.Fatal(err)
	}
	bill := attach(t, from, billType, "application/json", "{}", &image)
	signature := attach(t, from, notationType, "application/jose+json", "a signature", &bill)

	copied, err := oras.ExtendedCopy(t.Context(), from, "1", to, "one", oras.DefaultExtendedCopyOptions)
	if err != nil {
		t.Fatalf("copying with referrers: %v", err)
	}
	if copied.Digest != image.Digest {
		t.Errorf("copied %s, want %s", copied.Digest, image.Digest)
	}
	p.pushed(t, "mirror/web", "one")
	if diff := cmp.Diff(sorted(bill), listed(t, to, image, "")); diff != "" {
		t.Errorf("referrers of the copy (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sorted(signature), listed(t, to, bill, "")); diff != "" {
		t.Errorf("referrers of the copied bill (-want +got):\n%s", diff)
	}

	// Out into a layout and back in elsewhere.
	layout, err := oci.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oras.ExtendedCopy(t.Context(), to, "one", layout, "one", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatalf("copying into a layout: %v", err)
	}
	back := p.oras(t, "back", p.editor)
	if _, err := oras.ExtendedCopy(t.Context(), layout, "one", back, "1", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatalf("copying out of a layout: %v", err)
	}
	if diff := cmp.Diff(sorted(bill), listed(t, back, image, billType)); diff != "" {
		t.Errorf("referrers of what came back (-want +got):\n%s", diff)
	}
}

// TestORASPushesIndexes uses an index of artifacts, and a push under several tags.
func TestORASPushesIndexes(t *testing.T) {
	p := newProject(t)
	repository := p.oras(t, "things", p.editor)
	one := attach(t, repository, "application/vnd.example.thing", "text/plain", "one", nil)
	two := attach(t, repository, "application/vnd.example.thing", "text/plain", "two", nil)
	manifests := []ocispec.Descriptor{one, two}
	for i := range manifests {
		manifests[i].Annotations = nil
		manifests[i].Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "artifactType": "application/vnd.example.things", "manifests": manifests,
	})
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := oras.TagBytesN(t.Context(), repository, ocispec.MediaTypeImageIndex, raw, []string{"1", "1.0", "latest"}, oras.DefaultTagBytesNOptions)
	if err != nil {
		t.Fatalf("pushing an index: %v", err)
	}
	for _, tag := range []string{"1", "1.0", "latest"} {
		if m := p.pushed(t, "things", tag); m.digest != pushed.Digest.String() || len(m.Manifests) != 2 {
			t.Errorf("the tag %s leads to %+v", tag, m)
		}
	}
	store := memory.New()
	if _, err := oras.Copy(t.Context(), repository, "latest", store, "latest", oras.DefaultCopyOptions); err != nil {
		t.Fatalf("pulling the index: %v", err)
	}
	if there, err := store.Exists(t.Context(), two); !there {
		t.Errorf("the pulled index came without its second artifact (%v)", err)
	}
	var tags []string
	if err := repository.Tags(t.Context(), "1", func(page []string) error { tags = append(tags, page...); return nil }); err != nil || !slices.Equal(tags, []string{"1.0", "latest"}) {
		t.Errorf("tags after 1 are %v (%v)", tags, err)
	}
}

func TestORASIsLetInByRights(t *testing.T) {
	p := newProject(t)
	repository := p.oras(t, "web", p.editor)
	image := attach(t, repository, "application/vnd.example.config", "text/plain", "public", nil)
	if err := repository.Tag(t.Context(), image, "1"); err != nil {
		t.Fatal(err)
	}
	nobody := func() *remote.Repository { return p.oras(t, "web", login{}) }
	if _, err := nobody().Resolve(t.Context(), "1"); err == nil {
		t.Error("nobody in particular may read the image")
	}
	if _, err := p.oras(t, "web", login{user: "editor", token: "not-a-token"}).Resolve(t.Context(), "1"); err == nil {
		t.Error("a forged token may read the image")
	}
	p.letEverybodyPull(t)
	eventually(t, "the image to be public", func() error { _, err := nobody().Resolve(t.Context(), "1"); return err })
	if err := nobody().Tag(t.Context(), image, "2"); err == nil {
		t.Error("nobody in particular may push a tag")
	}
	p.tags(t, "web", "1")
}
