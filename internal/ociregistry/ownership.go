package ociregistry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// This file decides which content may be read in a repository. The caller's right to pull from
// the repository was checked before. There is one rule, and it is complete: a tag event by
// itself, a mapping, an Image, or a manifest that names a digest grants nothing.
//
//	mayRead(R, d):
//	  1  R has a link to d                          → storage serves it
//	  2  R's stream has a copy of an image m from repository A, d is m or a part of it,
//	     and A has links to m, to d, and to what    → storage serves it, while A has them
//	     is between them
//	  3  R's stream has a tag event for an image m of another registry, d is m or a part
//	     of it                                      → it is fetched from there; storage
//	                                                  serves what came from there before
//	  4  otherwise it is unknown in R
//
// A link is a record about a repository and a digest, made by a push, a mount or an upload
// to that repository, and it belongs to one stream (see blobstore.Repository). The digest alone
// grants nothing, so that content of one tenant changes no response to another.

// kind is the kind of content to read.
type kind int

const (
	manifests kind = iota
	blobs
)

// grant is the permission to read content in a repository.
type grant struct {
	// stored permits storage to serve the content, if it has it.
	stored bool
	// wanted has the sources of the content. It may be fetched from those that are not
	// Disabled.
	wanted Wanted
}

// none reports whether the grant permits nothing.
func (g grant) none() bool { return !g.stored && !g.fetchable() }

// fetchable reports whether the content may be fetched from another registry.
func (g grant) fetchable() bool {
	return slices.ContainsFunc(g.wanted.Sources, func(s Source) bool { return !s.Disabled })
}

// kept reports whether fetched content may be kept.
func (g grant) kept() bool {
	return slices.ContainsFunc(g.wanted.Sources, func(s Source) bool { return s.Mirror })
}

// mayRead applies the rule to the cached stream and, if that grants nothing, to the stream in the
// API. The error is CodeManifestUnknown, CodeBlobUnknown or CodeNameUnknown if the rule
// grants nothing.
func (h *Handler) mayRead(ctx context.Context, repo reference.Repository, d digest.Digest, k kind) (grant, error) {
	known, err := h.Directory.Stream(ctx, repo, false)
	if err != nil {
		return grant{}, err
	}
	g, err := h.decide(ctx, known, d, k)
	if err != nil || !g.none() {
		return g, err
	}
	live, err := h.Directory.Stream(ctx, repo, true)
	if err != nil {
		return grant{}, err
	}
	if live.Version() != known.Version() || live.Repository() != known.Repository() {
		if g, err = h.decide(ctx, live, d, k); err != nil || !g.none() {
			return g, err
		}
	}
	if k == manifests && live.Repository().Stream == "" {
		return grant{}, streamUnknown(repo)
	}
	return grant{}, unknown(d, k)
}

// decide applies the rule to one version of a stream.
func (h *Handler) decide(ctx context.Context, s Stream, d digest.Digest, k kind) (grant, error) {
	linked, err := h.linked(ctx, s.Repository(), d, k)
	if err != nil || linked {
		return grant{stored: linked}, err
	}
	var e effort
	if copied, err := h.copied(ctx, s, d, k, &e); err != nil || copied {
		return grant{stored: copied}, err
	}
	return h.imported(ctx, s, d, k, &e)
}

// linked is part 1 of the rule: it reports whether a repository has a link.
func (h *Handler) linked(ctx context.Context, r blobstore.Repository, d digest.Digest, k kind) (linked bool, err error) {
	if k == manifests {
		linked, err = h.Store.HasManifest(ctx, r, d)
	} else {
		linked, err = h.Store.HasBlob(ctx, r, d)
	}
	if err != nil {
		return false, fmt.Errorf("looking for the link of %s in %s: %w", d, r.Name, err)
	}
	return linked, nil
}

// copied is part 2 of the rule, for all copies in the stream. It searches images only for content
// that their repository has. The links of a source are removed after the stream has its own, which
// may have happened since part 1 found none, so it applies part 1 once more.
func (h *Handler) copied(ctx context.Context, s Stream, d digest.Digest, k kind, e *effort) (bool, error) {
	linked := map[blobstore.Repository]bool{}
	for _, m := range s.Copied() {
		for _, from := range s.CopiedFrom(m) {
			has, asked := linked[from]
			if !asked {
				var err error
				if has, err = h.linkedForCopies(ctx, from, d, k); err != nil {
					return false, err
				}
				linked[from] = has
			}
			if !has {
				continue
			}
			if has, err := h.hasPart(ctx, from, m, d, k, e); err != nil || has {
				return has, err
			}
		}
	}
	if len(linked) == 0 {
		return false, nil
	}
	return h.linked(ctx, s.Repository(), d, k)
}

// hasPart reports whether a repository has links to an image, to d, which is the image or
// a part of it, and to the manifests in between. What other repositories have makes no
// difference.
func (h *Handler) hasPart(ctx context.Context, from blobstore.Repository, m, d digest.Digest, k kind, e *effort) (bool, error) {
	if has, err := h.linkedForCopies(ctx, from, m, manifests); err != nil || !has {
		return false, err
	}
	root, err := h.closures.root(ctx, m)
	if root == nil || err != nil {
		return false, err
	}
	part, err := search(root, d, k, e, func(child digest.Digest) (*Image, error) {
		if has, err := h.linkedForCopies(ctx, from, child, manifests); err != nil || !has {
			return nil, err
		}
		return h.closures.parts(ctx, child)
	})
	if part == nil || err != nil {
		return false, err
	}
	return h.linkedForCopies(ctx, from, d, k)
}

// linkedForCopies reports whether a copy source has a link, including a released one, which is kept
// for the copies until they have their own.
func (h *Handler) linkedForCopies(ctx context.Context, from blobstore.Repository, d digest.Digest, k kind) (bool, error) {
	if has, err := h.linked(ctx, from, d, k); err != nil || has {
		return has, err
	}
	return h.linked(ctx, from.Released(), d, k)
}

// imported is part 3 of the rule. It searches images whose parts are in memory first, and reads
// the others in batches.
func (h *Handler) imported(ctx context.Context, s Stream, d digest.Digest, k kind, e *effort) (grant, error) {
	var hits, rest []digest.Digest
	size := int64(-1)
	for _, m := range s.Imported() {
		switch part, known := h.closures.findKnown(m, d, k, e); {
		case part != nil:
			hits, size = append(hits, m), max(size, part.Size)
		case !known:
			rest = append(rest, m)
		}
	}
	// Use the sources of all images, or the result would depend on the cache. Only stored
	// content needs no further sources.
	g, err := h.fromSources(ctx, s, hits, Wanted{Digest: d, Manifest: k == manifests, Size: size})
	for err == nil && !g.stored && len(rest) > 0 {
		batch := rest[:min(len(rest), lookupsAtOnce)]
		rest = rest[len(batch):]
		found, err := h.closures.findEach(ctx, batch, d, k, e)
		if err != nil {
			return grant{}, err
		}
		more := false
		for i, part := range found {
			if part != nil {
				hits, size, more = append(hits, batch[i]), max(size, part.Size), true
			}
		}
		if !more {
			continue
		}
		if g, err = h.fromSources(ctx, s, hits, Wanted{Digest: d, Manifest: k == manifests, Size: size}); err != nil {
			return grant{}, err
		}
	}
	return g, err
}

// fromSources returns the grant for content of images from other registries.
func (h *Handler) fromSources(ctx context.Context, s Stream, images []digest.Digest, w Wanted) (grant, error) {
	if len(images) == 0 {
		return grant{}, nil
	}
	if w.Manifest {
		w.Sources = s.ManifestSources(images)
	} else {
		w.Sources = s.BlobSources(images)
	}
	repo := s.Repository()
	w.Namespace, _, _ = strings.Cut(repo.Name, "/")
	w.Scope = repo.Namespace
	came, err := h.cameFrom(ctx, s, w)
	if err != nil {
		return grant{}, fmt.Errorf("looking where %s of %s came from: %w", w.Digest, repo.Name, err)
	}
	if h.Upstream == nil {
		w.Sources = nil
	}
	return grant{stored: came, wanted: w}, nil
}

// cameFrom reports whether content was fetched before from one of its sources, without a
// pull secret or with one of the same namespace.
func (h *Handler) cameFrom(ctx context.Context, s Stream, w Wanted) (bool, error) {
	var open, scoped []string
	for _, source := range w.Sources {
		if !source.Local {
			open = append(open, source.Provenance(""))
			scoped = append(scoped, source.Provenance(w.Scope))
		}
	}
	if len(open) == 0 {
		return false, nil
	}
	if came, err := h.Store.CameFrom(ctx, w.Digest, append(open, scoped...)...); came || err != nil {
		return came, err
	}
	former, err := h.Store.FormerScope(ctx, w.Namespace, s.Since())
	if err != nil || former == "" {
		return false, err
	}
	scoped = scoped[:0]
	for _, source := range w.Sources {
		if !source.Local {
			scoped = append(scoped, source.Provenance(former))
		}
	}
	return h.Store.CameFrom(ctx, w.Digest, scoped...)
}

// unknown returns the error for content that the rule does not grant.
func unknown(d digest.Digest, k kind) *Error {
	if k == manifests {
		return manifestUnknown(d)
	}
	return blobUnknown(d)
}

// streamUnknown returns the error for a manifest without a stream. Blobs have no such error: they
// are uploaded before the stream is created.
func streamUnknown(repo reference.Repository) *Error {
	return &Error{
		Code: CodeNameUnknown, Message: "there is no image stream " + repo.Key(),
		Detail: map[string]string{"name": repo.String()},
	}
}
