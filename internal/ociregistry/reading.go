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

// maxStoredManifestBytes bounds manifests that are read into memory. It is well above the default
// MaxManifestBytes, so that lowering the setting does not hide stored manifests.
const maxStoredManifestBytes = 32 << 20

// openBlob opens a blob that may be read in a repository. stored reports whether it is in the
// store.
func (h *Handler) openBlob(ctx context.Context, repo reference.Repository, d digest.Digest) (b Blob, stored bool, err error) {
	g, err := h.mayRead(ctx, repo, d, blobs)
	if err != nil {
		return Blob{}, false, err
	}
	if g.keepable() {
		h.keeper.pulled(repo, d)
	}
	if g.stored {
		size, err := h.Store.Stat(ctx, d)
		if err == nil {
			return Blob{Size: size, Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return h.Store.Open(ctx, d, offset)
			}}, true, nil
		}
		if !errors.Is(err, blobstore.ErrUnknown) {
			return Blob{}, false, fmt.Errorf("reading blob %s of %s: %w", d, repo, err)
		}
	}
	if !g.fetchable() {
		return Blob{}, false, blobUnknown(d)
	}
	b, err = h.Upstream.Blob(ctx, g.wanted)
	return b, false, err
}

// sizeOfBlob returns the size of a blob that may be read in a repository, without fetching
// it.
func (h *Handler) sizeOfBlob(ctx context.Context, repo reference.Repository, d digest.Digest) (int64, error) {
	g, err := h.mayRead(ctx, repo, d, blobs)
	if err != nil {
		return 0, err
	}
	if g.stored {
		size, err := h.Store.Stat(ctx, d)
		if err == nil {
			return size, nil
		}
		if !errors.Is(err, blobstore.ErrUnknown) {
			return 0, fmt.Errorf("looking for blob %s of %s: %w", d, repo, err)
		}
	}
	if !g.fetchable() {
		return 0, blobUnknown(d)
	}
	return h.Upstream.Stat(ctx, g.wanted)
}

// manifestByTag returns the manifest that a tag points to.
func (x *exchange) manifestByTag(ctx context.Context, repo reference.Repository, tag string) (*storedManifest, error) {
	if !reference.ValidTag(tag) {
		// No tag can have that name, so it does not exist. Probing clients expect 404.
		return nil, &Error{
			Code: CodeManifestUnknown, Message: "no tag has such a name",
			Detail: map[string]string{"tag": tag},
		}
	}
	d, err := x.Directory.Resolve(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	return x.manifestByDigest(ctx, repo, d)
}

// manifestByDigest returns a manifest that may be read in a repository. The exchange holds its memory.
func (x *exchange) manifestByDigest(ctx context.Context, repo reference.Repository, d digest.Digest) (*storedManifest, error) {
	g, err := x.mayRead(ctx, repo, d, manifests)
	if err != nil {
		return nil, err
	}
	if g.keepable() {
		x.keeper.read.add(repo, d)
	}
	if g.stored {
		if m, found := x.manifests.Get(d); found {
			manifestReads.WithLabelValues("memory").Inc()
			return m, x.hold(int64(len(m.content)))
		}
	}
	return x.loadManifest(ctx, repo, d, g)
}

// loadManifest reads a manifest from the store or fetches it, and keeps it in memory.
func (x *exchange) loadManifest(ctx context.Context, repo reference.Repository, d digest.Digest, g grant) (*storedManifest, error) {
	mediaType, from, before := "", "storage", x.held
	content, err := x.readManifest(ctx, d, g)
	if errors.Is(err, blobstore.ErrUnknown) && !g.fetchable() {
		return nil, manifestUnknown(d)
	}
	if g.fetchable() && lost(err) {
		from = "upstream"
		if err := x.hold(x.MaxManifestBytes); err != nil {
			return nil, err
		}
		if content, mediaType, err = x.Upstream.Manifest(ctx, g.wanted); err != nil {
			return nil, err
		}
	} else if hasCode(err, CodeTooManyRequests) {
		return nil, err
	} else if err != nil {
		// Not wrapped: damaged content is not the client's error.
		return nil, fmt.Errorf("reading manifest %s of %s: %v", d, repo, err)
	}
	x.holdOnly(before + int64(len(content)))
	manifestReads.WithLabelValues(from).Inc()
	x.closures.add(d, content)
	m := newStoredManifest(d, typeOfStored(content, mediaType), content)
	// A media type sent by another registry applies only to the fetch itself.
	if m.mediaType == typeOfStored(content, "") {
		x.manifests.Add(m.digest, m)
	}
	if from == "upstream" {
		x.correctImage(ctx, repo, m, g.wanted)
	}
	return m, nil
}

// readManifest reads a manifest from the store, if the grant permits that; otherwise the error is
// blobstore.ErrUnknown.
func (x *exchange) readManifest(ctx context.Context, d digest.Digest, g grant) ([]byte, error) {
	if !g.stored {
		return nil, blobstore.ErrUnknown
	}
	most := max(x.MaxManifestBytes, maxStoredManifestBytes)
	content, err := x.Store.Read(ctx, d, uncounted)
	if large := (*blobstore.SizeMismatch)(nil); errors.As(err, &large) {
		if err := x.hold(min(x.sizeOfManifest(ctx, d), most)); err != nil {
			return nil, err
		}
		return x.Store.Read(ctx, d, most)
	}
	return content, err
}

// sizeOfManifest returns the size of a stored manifest, or the maximum if it is not known.
func (x *exchange) sizeOfManifest(ctx context.Context, d digest.Digest) int64 {
	if size, err := x.Store.Stat(ctx, d); err == nil {
		return size
	}
	return maxStoredManifestBytes // an earlier version stored it elsewhere
}

// lost reports whether content is not in the store, or damaged there.
func lost(err error) bool {
	var damaged *blobstore.DigestMismatch
	return errors.Is(err, blobstore.ErrUnknown) || errors.As(err, &damaged)
}
