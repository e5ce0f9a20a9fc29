package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// Who may pull from a repository has been asked before anything here runs. What remains
// is whether content belongs to the repository: that a digest is known opens nothing.

// emptyLayers are the digests of no bytes and of an empty tar archive, compressed. Old
// clients take them for granted in every repository. There is nothing in them to hide.
const (
	noBytes    digest.Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	emptyLayer digest.Digest = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
)

func isEmptyLayer(d digest.Digest) bool { return d == noBytes || d == emptyLayer }

// mayReadBlob fails unless a blob belongs to a repository: an image of the stream refers
// to it, it was uploaded or mounted there, or it is an empty layer.
func (h *Handler) mayReadBlob(ctx context.Context, repo reference.Repository, d digest.Digest) error {
	err := h.belongs(ctx, repo, d, &h.blobs)
	if !isUnknown(err) {
		return err
	}
	if isEmptyLayer(d) && !h.goneLayers.has(linkOf(repo, d)) {
		return nil
	}
	// That there is no stream yet is no news to somebody who pushes its first blob.
	return blobUnknown(d)
}

// mayReadManifest fails unless a manifest belongs to a repository: it is an image of the
// stream or the child of one, or it was pushed there.
func (h *Handler) mayReadManifest(ctx context.Context, repo reference.Repository, d digest.Digest) error {
	return h.belongs(ctx, repo, d, &h.revisions)
}

// bond is a way in which content belongs to repositories.
type bond struct {
	// known is what streams say, linked what links of the repository say.
	known  func(context.Context, reference.Repository, digest.Digest) (Origin, error)
	linked func(context.Context, string, digest.Digest) (bool, error)
	// throughOthers tells whether one of the lists that name a manifest came into the
	// stream otherwise than by a push to the repository; nil where that does not matter.
	// A list that was pushed here came with its manifests, or without: they have links of
	// their own, which can be deleted while the list stays.
	throughOthers func(ctx context.Context, repository string, lists []digest.Digest) (bool, error)
	hints         linkHints
}

// belongs asks the stream, and the links of the repository. Both answer from memory for
// what they know, and ask a server or a disk for what they do not; hints tell which knows.
func (h *Handler) belongs(ctx context.Context, repo reference.Repository, d digest.Digest, by *bond) error {
	l := linkOf(repo, d)
	var linked bool
	var linkErr error
	hinted := by.hints.has(l)
	if hinted {
		if linked, linkErr = by.linked(ctx, l.repository, d); linked {
			return nil
		}
	}
	origin, err := by.known(ctx, repo, d)
	if err == nil {
		if len(origin.Parents) == 0 || len(origin.Sources) > 0 {
			return nil
		}
		if by.throughOthers == nil {
			return nil
		}
		through, throughErr := by.throughOthers(ctx, l.repository, origin.Parents)
		if through || throughErr != nil {
			return throughErr
		}
		err = manifestUnknown(d)
	}
	if !hinted {
		linked, linkErr = by.linked(ctx, l.repository, d)
	}
	switch {
	case linkErr != nil:
		return fmt.Errorf("looking for %s in %s: %w", d, repo, linkErr)
	case linked:
		by.hints.saw(l)
		return nil
	}
	return err
}

// origin tells where content may be fetched from that belongs to a repository and is not
// in the store. unknown is the error when it is nowhere to be had.
func (h *Handler) origin(ctx context.Context, repo reference.Repository, d digest.Digest, by *bond, unknown error) (Origin, error) {
	if h.Upstream == nil {
		return Origin{}, unknown
	}
	o, err := by.known(ctx, repo, d)
	if isUnknown(err) || err == nil && len(o.Sources) == 0 {
		return Origin{}, unknown
	}
	return o, err
}

// storedBlob is a blob of the store. The error is blobstore.ErrUnknown where it is not there.
func (h *Handler) storedBlob(ctx context.Context, d digest.Digest) (Blob, error) {
	size, err := h.Store.Stat(ctx, d)
	if err != nil {
		return Blob{}, err
	}
	return Blob{Size: size, Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return h.Store.Open(ctx, d, offset)
	}}, nil
}

// openBlob finds a blob that may be read in a repository. stored tells whether it is in
// the store, or only where the stream refers to.
func (h *Handler) openBlob(ctx context.Context, repo reference.Repository, d digest.Digest) (b Blob, stored bool, err error) {
	if err := h.mayReadBlob(ctx, repo, d); err != nil {
		return Blob{}, false, err
	}
	b, err = h.storedBlob(ctx, d)
	if err == nil {
		return b, true, nil
	}
	if !errors.Is(err, blobstore.ErrUnknown) {
		return Blob{}, false, fmt.Errorf("reading blob %s of %s: %w", d, repo, err)
	}
	origin, err := h.origin(ctx, repo, d, &h.blobs, blobUnknown(d))
	if err != nil {
		return Blob{}, false, err
	}
	b, err = h.Upstream.Blob(ctx, repo, d, origin)
	return b, false, err
}

// sizeOfBlob is the size of a blob that may be read in a repository; nothing is fetched.
func (h *Handler) sizeOfBlob(ctx context.Context, repo reference.Repository, d digest.Digest) (int64, error) {
	if err := h.mayReadBlob(ctx, repo, d); err != nil {
		return 0, err
	}
	size, err := h.Store.Stat(ctx, d)
	if err == nil {
		return size, nil
	}
	if !errors.Is(err, blobstore.ErrUnknown) {
		return 0, fmt.Errorf("looking for blob %s of %s: %w", d, repo, err)
	}
	origin, err := h.origin(ctx, repo, d, &h.blobs, blobUnknown(d))
	if err != nil {
		return 0, err
	}
	return h.Upstream.Stat(ctx, repo, d, origin)
}

// manifestByTag is the manifest that a tag leads to.
func (h *Handler) manifestByTag(ctx context.Context, repo reference.Repository, tag string) (*storedManifest, error) {
	if !reference.ValidTag(tag) {
		// No tag can be called that, so it is not there. It is what probing clients expect.
		return nil, &Error{
			Code: CodeManifestUnknown, Message: "no tag has such a name",
			Detail: map[string]string{"tag": tag},
		}
	}
	d, err := h.Directory.Resolve(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	if m := h.manifestInMemory(d); m != nil {
		return m, nil
	}
	return h.loadManifest(ctx, repo, d)
}

// manifestByDigest is a manifest that belongs to a repository.
func (h *Handler) manifestByDigest(ctx context.Context, repo reference.Repository, d digest.Digest) (*storedManifest, error) {
	if err := h.mayReadManifest(ctx, repo, d); err != nil {
		return nil, err
	}
	if m := h.manifestInMemory(d); m != nil {
		return m, nil
	}
	return h.loadManifest(ctx, repo, d)
}

func (h *Handler) manifestInMemory(d digest.Digest) *storedManifest {
	m := h.manifests.get(d)
	if m != nil {
		manifestReads.WithLabelValues("memory").Inc()
	}
	return m
}

// loadManifest reads a manifest from the store or from where the stream refers to, and
// keeps it in memory. Whether it may be read was asked before.
func (h *Handler) loadManifest(ctx context.Context, repo reference.Repository, d digest.Digest) (*storedManifest, error) {
	mediaType, from := "", "storage"
	content, err := h.Store.Read(ctx, d, max(h.MaxManifestBytes, maxStoredManifestBytes))
	if errors.Is(err, blobstore.ErrUnknown) {
		from = "upstream"
		origin, err := h.origin(ctx, repo, d, &h.revisions, manifestUnknown(d))
		if err != nil {
			return nil, err
		}
		if content, mediaType, err = h.Upstream.Manifest(ctx, repo, d, origin); err != nil {
			return nil, err
		}
	} else if err != nil {
		// Not wrapped: that content is not what its digest says is nothing a client did.
		return nil, fmt.Errorf("reading manifest %s of %s: %v", d, repo, err)
	}
	manifestReads.WithLabelValues(from).Inc()
	m := newStoredManifest(d, typeOfStored(content, mediaType), content)
	h.manifests.put(m)
	return m, nil
}

// maxStoredManifestBytes bounds what is read into memory as a manifest. It is well above
// what is accepted, so that lowering that hides nothing.
const maxStoredManifestBytes = 32 << 20
