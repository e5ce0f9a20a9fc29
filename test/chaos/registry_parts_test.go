package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/testenv/testimage"
)

// tree is an index and the images that it lists.
type tree struct {
	children []testimage.Raw
	index    []byte
	digest   digest.Digest
}

// newTree is an index of images with one new layer each.
func newTree(children int) tree {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	tr := tree{}
	for range children {
		child := testimage.NewRaw(testimage.Noise(1 << 10))
		tr.children = append(tr.children, child)
		index.Manifests = append(index.Manifests, testimage.Describe(ocispec.MediaTypeImageManifest, child.Manifest))
	}
	tr.index = testimage.Encode(index)
	tr.digest = digest.FromBytes(tr.index)
	return tr
}

// parts are the digests that an image is read by.
type parts struct{ manifests, blobs []digest.Digest }

func partsOf(i testimage.Raw) parts {
	p := parts{manifests: []digest.Digest{i.Digest}}
	for _, blob := range i.Blobs() {
		p.blobs = append(p.blobs, digest.FromBytes(blob))
	}
	return p
}

func (tr tree) parts() parts {
	p := parts{manifests: []digest.Digest{tr.digest}}
	for _, child := range tr.children {
		p = p.and(partsOf(child))
	}
	return p
}

func (p parts) and(q parts) parts {
	return parts{append(p.manifests, q.manifests...), append(p.blobs, q.blobs...)}
}

func (p parts) count() int { return len(p.manifests) + len(p.blobs) }

// each calls do with the path of every part in a repository.
func (p parts) each(repo string, do func(path string, d digest.Digest)) {
	for _, d := range p.manifests {
		do(manifestOf(repo, d.String()), d)
	}
	for _, d := range p.blobs {
		do(blobOf(repo, d), d)
	}
}

// readAll reads every part in a repository, and compares it with its digest.
func (c registryClient) readAll(ctx context.Context, repo string, p parts) error {
	var errs []error
	p.each(repo, func(path string, d digest.Digest) {
		_, err := c.content(ctx, path, d)
		errs = append(errs, err)
	})
	return errors.Join(errs...)
}

// readNone is an error if a part of an image can be read in a repository, or mounted from
// it; an answer other than 404 is one as well.
func (c registryClient) readNone(ctx context.Context, repo string, p parts) error {
	var errs []error
	p.each(repo, func(path string, _ digest.Digest) {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			_, err := c.want(ctx, http.StatusNotFound, method, path, nil)
			errs = append(errs, err)
		}
	})
	for _, d := range append(p.manifests, p.blobs...) {
		_, err := c.want(ctx, http.StatusNotFound, http.MethodGet, blobOf(repo, d), nil)
		errs = append(errs, err)
		_, err = c.want(ctx, http.StatusAccepted, http.MethodPost, fmt.Sprintf("%s?mount=%s&from=%s", uploadsOf(repo), d, repo), nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// wantTree pulls an index that has to be there, with all of its images.
func (c registryClient) wantTree(t *testing.T, repo, tag string, tr tree) {
	t.Helper()
	if _, err := c.content(t.Context(), manifestOf(repo, tag), tr.digest); err != nil {
		t.Errorf("pulling %s of %s: %v", tag, repo, err)
	}
	if err := c.readAll(t.Context(), repo, tr.parts()); err != nil {
		t.Errorf("pulling the parts of %s of %s: %v", tag, repo, err)
	}
}
