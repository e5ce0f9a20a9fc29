package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/blobstore"
)

// partsAtOnce is how many parts of one manifest are looked at at a time. It matters where
// the storage is a network away.
const partsAtOnce = 8

// part is what a manifest refers to and must have.
type part struct {
	what string // "config", "layers[2]", "manifests[0]"
	descriptor
	child bool
}

// needed lists what a manifest must have in its repository, each digest once.
func (m *manifest) needed(sparse Sparse) []part {
	var parts []part
	add := func(p part) {
		if !slices.ContainsFunc(parts, func(q part) bool { return q.Digest == p.Digest && q.Size == p.Size }) {
			parts = append(parts, p)
		}
	}
	if m.config != nil {
		add(part{what: "config", descriptor: *m.config})
	}
	for i, layer := range m.layers {
		if sparse != SparseAll && !isForeign(layer) {
			add(part{what: fmt.Sprintf("layers[%d]", i), descriptor: layer})
		}
	}
	for i, child := range m.children {
		if sparse == SparseNone {
			add(part{what: fmt.Sprintf("manifests[%d]", i), descriptor: child, child: true})
		}
	}
	return parts
}

// checkParts makes sure that all is there that a manifest needs. away are parts that can
// be read here, but are not to be kept. The error is an Errors with everything that is
// missing or of another size, in the manifest's order.
func (x *exchange) checkParts(m *manifest) (away []digest.Digest, err error) {
	parts := m.needed(x.Sparse)
	wrong := make([]*Error, len(parts))
	kept := make([]bool, len(parts))
	var group errgroup.Group
	group.SetLimit(partsAtOnce)
	for i, p := range parts {
		group.Go(func() (err error) {
			kept[i], err = x.checkPart(x.context(), p)
			if e := (*Error)(nil); errors.As(err, &e) && hasCode(e, CodeManifestBlobUnknown, CodeManifestInvalid) {
				wrong[i] = e
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := Errors(slices.DeleteFunc(wrong, func(e *Error) bool { return e == nil }))
	if len(all) > 0 {
		return nil, all
	}
	for i, p := range parts {
		if !kept[i] {
			away = append(away, p.Digest)
		}
	}
	return away, nil
}

// checkPart makes sure that one part is there, and that it stays. kept is false for one
// that is not to stay. Children are kept later, see missingParts.
func (x *exchange) checkPart(ctx context.Context, p part) (kept bool, err error) {
	if p.child {
		_, err := x.manifestStanding(ctx, x.repo, p.Digest)
		if isUnknown(err) {
			return false, p.unknown()
		}
		return true, err
	}
	kept, err = x.findAndKeep(ctx, p)
	if !isUnknown(err) {
		return kept, err
	}
	if done, err := x.takeData(ctx, p); done || err != nil {
		return done, err
	}
	return false, p.unknown()
}

// findAndKeep is checkPart for a blob; CodeBlobUnknown when it is nowhere to be had.
func (x *exchange) findAndKeep(ctx context.Context, p part) (kept bool, err error) {
	found, err := x.findPart(ctx, p.Digest)
	if err != nil {
		return false, err
	}
	if found.size != p.Size {
		return false, invalidManifest(fmt.Sprintf("%s.size is %d, %s has %d bytes", p.what, p.Size, p.Digest, found.size))
	}
	return x.keepPart(ctx, p.Digest, found)
}

func (p part) unknown() *Error {
	e := digestUnknown(CodeManifestBlobUnknown, p.what+" is", p.Digest)
	return e
}

// foundPart is where a part is.
type foundPart struct {
	size           int64
	linked, stored bool
	origin         Origin
}

// findPart finds a blob by the rules of reading. The link is asked for first, because
// what was uploaded for this manifest has nothing else yet.
func (x *exchange) findPart(ctx context.Context, d digest.Digest) (foundPart, error) {
	linked, err := x.Store.HasBlob(ctx, x.repo.Key(), d)
	if err != nil {
		return foundPart{}, fmt.Errorf("looking for blob %s of %s: %w", d, x.repo, err)
	}
	// What is acknowledged is asked of the storage itself: another replica may delete.
	size, err := x.Store.Confirm(ctx, d)
	stored := err == nil
	if err != nil && !errors.Is(err, blobstore.ErrUnknown) {
		return foundPart{}, fmt.Errorf("looking for blob %s: %w", d, err)
	}
	if stored && (linked || isEmptyLayer(d)) {
		return foundPart{size: size, linked: linked, stored: true}, nil
	}
	s, err := x.blobStanding(ctx, x.repo, d)
	if err != nil {
		return foundPart{}, err
	}
	if stored && s.stored() {
		return foundPart{size: size, stored: true}, nil
	}
	origin, err := x.origin(ctx, x.repo, d, s, &x.blobs)
	if err != nil {
		return foundPart{}, err
	}
	if size = origin.Size; size < 0 {
		size, err = x.Upstream.Stat(ctx, x.wanted(ctx, x.repo, d, origin))
	}
	return foundPart{size: size, origin: origin}, err
}

// keepPart makes a part this repository's own. It may be readable only because another
// image of the stream refers to it, which may be pruned tomorrow, and its content may be
// only where that image came from: the client left its upload out because it is readable.
// kept is false where the stream says that it is not to be kept, or storage cannot.
func (x *exchange) keepPart(ctx context.Context, d digest.Digest, found foundPart) (kept bool, err error) {
	if found.linked {
		return true, nil
	}
	if !found.stored {
		if !slices.ContainsFunc(found.origin.Sources, func(s Source) bool { return s.Mirror }) {
			return false, nil
		}
		if err := x.fetchPart(ctx, d, found); err != nil {
			return false, err
		}
		if _, err := x.Store.Confirm(ctx, d); errors.Is(err, blobstore.ErrUnknown) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("looking for blob %s: %w", d, err)
		}
	}
	if err := x.Store.LinkBlob(ctx, x.repo.Key(), d); err != nil {
		return false, fmt.Errorf("linking blob %s in %s: %w", d, x.repo, err)
	}
	return true, nil
}

// fetchPart lets a blob pass through, so that it is kept.
func (x *exchange) fetchPart(ctx context.Context, d digest.Digest, found foundPart) error {
	blob, err := x.Upstream.Blob(ctx, x.wanted(ctx, x.repo, d, found.origin))
	if err != nil {
		return err
	}
	src, err := blob.Open(ctx, 0)
	if err != nil {
		return fmt.Errorf("fetching blob %s of %s: %w", d, x.repo, err)
	}
	defer src.Close()
	if _, err := io.Copy(io.Discard, src); err != nil {
		return fmt.Errorf("fetching blob %s of %s: %w", d, x.repo, err)
	}
	return nil
}

// takeData takes a blob that nobody uploaded from the manifest itself, which may bring
// small ones along.
func (x *exchange) takeData(ctx context.Context, p part) (bool, error) {
	if p.Data == nil || int64(len(p.Data)) != p.Size || p.Digest.Algorithm().FromBytes(p.Data) != p.Digest {
		return false, nil
	}
	if err := x.Store.Put(ctx, p.Digest, p.Data); err != nil {
		return false, fmt.Errorf("storing blob %s: %w", p.Digest, err)
	}
	if err := x.Store.LinkBlob(ctx, x.repo.Key(), p.Digest); err != nil {
		return false, fmt.Errorf("linking blob %s in %s: %w", p.Digest, x.repo, err)
	}
	return true, nil
}
