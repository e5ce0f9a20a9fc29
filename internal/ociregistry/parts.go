package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/blobstore"
)

// A push links every part of its manifest that can be read in the repository: uploaded parts, and
// parts that the client skipped because another image of the stream has them, since that image may
// be removed later. A part that cannot be read stays without a link if it may be absent
// (Options.Sparse); otherwise the push fails.

const (
	// partsAtOnce is how many parts of one manifest are looked up in parallel, for storage
	// across a network.
	partsAtOnce = 8
	// maxAbsent is how many parts of a manifest may be absent: no partly copied image or list
	// lacks as many, and each is looked up in storage and in the stream.
	maxAbsent = 1000
	// maxMissing is how many absent but required parts the error lists. Further ones are not
	// looked up.
	maxMissing = 100
	// maxLinkedChildren is how many manifests of lists are linked for one push, with all of their
	// parts; further ones stay without link.
	maxLinkedChildren = 256
)

// part is a blob or manifest that a manifest refers to.
type part struct {
	what string // "config", "layers[2]", "manifests[0]"
	descriptor
	child bool
	// optional is true for a part that may be absent.
	optional bool
}

// parts lists the parts of a manifest, each once.
func (m *manifest) parts(sparse Sparse) []part {
	var parts []part
	type distinct struct {
		digest   digest.Digest
		size     int64
		optional bool
	}
	seen := map[distinct]struct{}{}
	add := func(p part) {
		key := distinct{p.Digest, p.Size, p.optional}
		if _, found := seen[key]; !found {
			seen[key] = struct{}{}
			parts = append(parts, p)
		}
	}
	if m.config != nil {
		add(part{what: "config", descriptor: *m.config})
	}
	for i, layer := range m.layers {
		add(part{what: fmt.Sprintf("layers[%d]", i), descriptor: layer, optional: sparse == SparseAll || isForeign(layer)})
	}
	for i, child := range m.children {
		add(part{what: fmt.Sprintf("manifests[%d]", i), descriptor: child, child: true, optional: sparse != SparseNone})
	}
	return parts
}

func (p part) unknown() *Error {
	return digestUnknown(CodeManifestBlobUnknown, p.what+" is", p.Digest)
}

// linkParts links the parts of a manifest in the repository. The error is an Errors with the
// required parts that cannot be read or have another size, in the manifest's order: the first
// maxMissing, and a note if there are more.
func (x *exchange) linkParts(to blobstore.Repository, m *pushedManifest) error {
	parts := m.parts(x.Sparse)
	wrong := newProblems()
	var group errgroup.Group
	group.SetLimit(partsAtOnce)
	for i, p := range parts {
		if p.child || wrong.enough() {
			continue
		}
		group.Go(func() error { return wrong.collect(i, p, x.linkBlob(x.context(), to, p)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := wrong.err(); err != nil {
		return err
	}
	for i, p := range parts { // sequentially: each may be a list
		if !p.child || wrong.enough() {
			continue
		}
		if err := wrong.collect(i, p, x.linkChild(to, p, m.depth)); err != nil {
			return err
		}
	}
	return wrong.err()
}

// linkBlob links a configuration or layer. The error is CodeBlobUnknown when it cannot be
// read in the repository.
func (x *exchange) linkBlob(ctx context.Context, to blobstore.Repository, p part) error {
	g, err := x.mayRead(ctx, x.repo, p.Digest, blobs)
	if err == nil && g.stored {
		err = x.confirm(ctx, p)
		if err == nil {
			return x.link(ctx, to, p.Digest)
		}
	}
	if err == nil && g.fetchable() || isUnknown(err) && g.fetchable() {
		return x.linkFetched(ctx, to, p, g)
	}
	if isUnknown(err) {
		if done, err := x.linkInline(ctx, to, p); done || err != nil {
			return err
		}
	}
	return err
}

// confirm looks up a blob in storage and compares its size. It bypasses the cache: another
// replica may have deleted the blob. If the sizes differ, the data is damaged or the manifest
// is wrong.
func (x *exchange) confirm(ctx context.Context, p part) error {
	size, err := x.Store.Confirm(ctx, p.Digest)
	switch {
	case errors.Is(err, blobstore.ErrUnknown):
		return blobUnknown(p.Digest)
	case err != nil:
		return fmt.Errorf("looking for blob %s: %w", p.Digest, err)
	case size == p.Size:
		return nil
	}
	return p.wrongSize(size)
}

func (p part) wrongSize(size int64) *Error {
	return invalidManifest(fmt.Sprintf("%s.size is %d, %s has %d bytes", p.what, p.Size, p.Digest, size))
}

// link links a blob that is stored, unless the stream has its link.
func (x *exchange) link(ctx context.Context, to blobstore.Repository, d digest.Digest) error {
	if err := x.Store.LinkBlob(ctx, to, d); err != nil {
		return fmt.Errorf("linking blob %s in %s: %w", d, x.repo, err)
	}
	return nil
}

// linkFetched fetches a blob that the client skipped because the stream refers to another
// registry for it. Without a source whose content may be kept, the blob stays without link.
func (x *exchange) linkFetched(ctx context.Context, to blobstore.Repository, p part, g grant) error {
	size := g.wanted.Size
	if size < 0 {
		var err error
		if size, err = x.Upstream.Stat(ctx, g.wanted); err != nil {
			return err
		}
	}
	if size != p.Size {
		return p.wrongSize(size)
	}
	if !g.kept() {
		return nil
	}
	if err := x.fetch(ctx, g.wanted); err != nil {
		return err
	}
	err := x.confirm(ctx, p)
	if isUnknown(err) {
		return nil // no space in storage: the next read fetches it again
	}
	if err != nil {
		return err
	}
	return x.link(ctx, to, p.Digest)
}

// fetch reads a blob to its end, which keeps it.
func (x *exchange) fetch(ctx context.Context, w Wanted) error {
	blob, err := x.Upstream.Blob(ctx, w)
	if err != nil {
		return err
	}
	src, err := blob.Open(ctx, 0)
	if err != nil {
		return fmt.Errorf("fetching blob %s of %s: %w", w.Digest, x.repo, err)
	}
	defer src.Close()
	if _, err := io.Copy(io.Discard, src); err != nil {
		return fmt.Errorf("fetching blob %s of %s: %w", w.Digest, x.repo, err)
	}
	return nil
}

// emptyLayers are the empty blob and a compressed empty tar archive. Old clients do not upload
// them.
var emptyLayers = map[digest.Digest][]byte{
	"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": {},
	"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4": {
		31, 139, 8, 0, 0, 9, 110, 136, 0, 255, 98, 24, 5, 163, 96, 20, 140, 88, 0, 8, 0, 0, 255, 255, 46, 175, 181, 239, 0, 4, 0, 0,
	},
}

// linkInline stores and links a blob that need not be uploaded: an empty layer, or one whose
// content is in its descriptor. It reports whether the blob is one of these.
func (x *exchange) linkInline(ctx context.Context, to blobstore.Repository, p part) (bool, error) {
	content, empty := emptyLayers[p.Digest]
	if !empty {
		content = p.Data
	}
	if content == nil || int64(len(content)) != p.Size || p.Digest.Algorithm().FromBytes(content) != p.Digest {
		return false, nil
	}
	if err := x.Store.Put(ctx, p.Digest, content); err != nil {
		return false, fmt.Errorf("storing blob %s: %w", p.Digest, err)
	}
	return true, x.link(ctx, to, p.Digest)
}

// linkChild links a manifest of a list with all of its parts, like a push. The error is
// CodeManifestUnknown if the manifest cannot be read, CodeManifestBlobUnknown if one of
// its parts cannot.
func (x *exchange) linkChild(to blobstore.Repository, p part, depth int) error {
	linked, err := x.Store.HasManifest(x.context(), blobstore.Repository{Name: to.Name, Stream: to.Owner()}, p.Digest)
	if linked || err != nil {
		return err
	}
	g, err := x.mayRead(x.context(), x.repo, p.Digest, manifests)
	if err != nil {
		return err
	}
	if x.linkedChildren++; x.linkedChildren > maxLinkedChildren || depth >= maxDepth || !g.stored && !g.kept() {
		return errUnlessOptional(p)
	}
	defer x.holdOnly(x.held)
	stored, err := x.manifestByDigest(x.context(), x.repo, p.Digest)
	if err != nil {
		return err
	}
	m, err := parseManifest(stored.content, stored.mediaType)
	if err != nil {
		return errUnlessOptional(p) // a format that cannot be pushed
	}
	return x.storeManifest(&pushedManifest{manifest: m, digest: p.Digest, content: stored.content, depth: depth + 1})
}

// errUnlessOptional returns the error for a readable manifest that stays without link, nil if it
// is optional.
func errUnlessOptional(p part) error {
	if p.optional {
		return nil
	}
	return p.unknown()
}
