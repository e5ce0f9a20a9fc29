package ociregistry

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// A copied tag outlives its source. As long as the source has its links, part 2 of the rule
// grants what the copy needs. A link that is deleted in the source is released first: it
// grants nothing there, and still counts for copies. Links that are released, or whose
// stream is gone, are removed after the streams with copies have links of their own. Every
// step can be repeated, so that a process that is killed in between loses nothing.

const (
	// uploadGrace spares uploads that are younger than the deletion of their stream, give
	// or take the difference of clocks.
	uploadGrace = time.Minute
	// orphanGrace spares uploads when the time of the deletion is not known, and links that
	// were just released: a copy may have been made that is not known here yet.
	orphanGrace = time.Hour
)

// handOver links, in every stream with a copy of an image of a stream, what that stream has
// of it. Uploads that no manifest of the stream names are the namespace's, and stay so.
func (h *Handler) handOver(ctx context.Context, from blobstore.Repository) error {
	from.Namespace = ""
	for _, c := range h.Directory.CopiesOf(from) {
		for _, m := range c.Images {
			if err := h.handOverImage(ctx, from, c.To, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// handOverImage links an image in a repository as far as another one has it, parts first.
func (h *Handler) handOverImage(ctx context.Context, from, to blobstore.Repository, m digest.Digest) error {
	visited := map[digest.Digest]struct{}{}
	var link func(m digest.Digest, depth int) error
	link = func(m digest.Digest, depth int) error {
		if _, been := visited[m]; been || depth > maxDepth || len(visited) > maxVisited {
			return nil
		}
		visited[m] = struct{}{}
		if has, err := h.gave(ctx, from, m, manifests); err != nil || !has {
			return err
		}
		parts, err := h.closures.parts(ctx, m)
		if err != nil || parts == nil {
			return err
		}
		for _, b := range parts.Blobs {
			if err := h.handOverBlob(ctx, from, to, b.Digest); err != nil {
				return err
			}
		}
		for _, child := range parts.Children {
			if err := link(child.Digest, depth+1); err != nil {
				return err
			}
		}
		return h.Store.LinkManifest(ctx, to, m)
	}
	if err := link(m, 0); err != nil {
		return fmt.Errorf("linking image %s of %s in %s, which has a copy: %w", m, from.Name, to.Name, err)
	}
	return nil
}

func (h *Handler) handOverBlob(ctx context.Context, from, to blobstore.Repository, d digest.Digest) error {
	if has, err := h.gave(ctx, from, d, blobs); err != nil || !has {
		return err
	}
	return h.Store.LinkBlob(ctx, to, d)
}

// Remove removes the links of a stream that is gone, which was seen at a time, after the
// streams with copies of its images have links of their own. Uploads to the stream that no
// manifest named go too, unless they are younger. What the next stream of that name has
// stays.
func (h *Handler) Remove(ctx context.Context, gone blobstore.Repository, seen time.Time) error {
	return h.remove(ctx, gone, seen.Add(-uploadGrace))
}

func (h *Handler) remove(ctx context.Context, gone blobstore.Repository, uploadsBefore time.Time) error {
	if err := h.handOver(ctx, gone); err != nil {
		return err
	}
	for _, owner := range []string{gone.Stream, gone.Released().Stream} {
		if err := h.Store.RemoveOwner(ctx, gone.Name, owner, time.Time{}); err != nil {
			return err
		}
	}
	repo, err := reference.ParseRepository(gone.Name)
	if err != nil {
		return nil // a folder that is no repository's
	}
	s, err := h.Directory.Stream(ctx, repo, true)
	if err != nil || s.Repository().Namespace == "" {
		return err
	}
	return h.Store.RemoveOwner(ctx, gone.Name, s.Repository().Namespace, uploadsBefore)
}

// reconciledAtOnce is how many repositories are looked at a time.
const reconciledAtOnce = 4

// Reconcile removes the links of all streams and namespaces that are gone: those that were deleted
// while the registry did not run, or just before it was killed. It also removes links that were
// released, gives links without an owner to the stream that is there, and removes what is left of
// repositories without links. It goes on after an error.
func (h *Handler) Reconcile(ctx context.Context) error {
	return h.reconcileEach(ctx, h.Now().Add(-orphanGrace), h.Store.Repositories)
}

// ReconcileNamespace is Reconcile for the repositories of a namespace that is gone, as was seen at a
// time. What is left of them is removed if it is from before.
func (h *Handler) ReconcileNamespace(ctx context.Context, namespace string, seen time.Time) error {
	return h.reconcileEach(ctx, seen, func(ctx context.Context, visit func(string) error) error {
		return h.Store.RepositoriesOf(ctx, namespace, visit)
	})
}

// reconcileEach reconciles all repositories that a function visits.
func (h *Handler) reconcileEach(ctx context.Context, leftBefore time.Time, each func(context.Context, func(name string) error) error) error {
	var mu sync.Mutex
	var first error
	var group errgroup.Group
	group.SetLimit(reconciledAtOnce)
	err := each(ctx, func(name string) error {
		group.Go(func() error {
			err := h.reconcile(ctx, name, leftBefore)
			if err == nil {
				return nil
			}
			klog.ErrorS(err, "Removing the links of deleted image streams failed", "repository", name)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
			return nil
		})
		return ctx.Err()
	})
	_ = group.Wait() // its errors are in first
	if err != nil {
		return fmt.Errorf("looking for repositories of deleted image streams: %w", err)
	}
	return first
}

func (h *Handler) reconcile(ctx context.Context, name string, leftBefore time.Time) error {
	repo, err := reference.ParseRepository(name)
	if err != nil {
		return nil // a folder that is no repository's
	}
	owners, err := h.Store.Owners(ctx, name)
	if err != nil {
		return err
	}
	known, err := h.Directory.Stream(ctx, repo, false)
	if err != nil {
		return err
	}
	if now := known.Repository(); now.Stream != "" {
		if err := h.Store.Adopt(ctx, now); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(owners, func(uid string) bool { return !isOwner(known.Repository(), uid) }) {
		if err := h.reconcileOwners(ctx, repo, known, owners); err != nil {
			return err
		}
	}
	switch now := known.Repository(); {
	case now.Stream != "":
		return nil
	case now.Namespace == "":
		if err := h.Store.RemoveUploads(ctx, name, leftBefore); err != nil {
			return err
		}
	}
	return h.Store.RemoveLeftovers(ctx, name, leftBefore)
}

func (h *Handler) reconcileOwners(ctx context.Context, repo reference.Repository, known Stream, owners []string) error {
	// The API is asked after storage: a stream that had links then is known by now.
	s, err := h.Directory.Fresh(ctx, repo)
	if err != nil {
		return err
	}
	for _, uid := range owners {
		if isOwner(known.Repository(), uid) {
			continue // it is gone since; Remove follows once all of its copies are known
		}
		if err := h.reconcileOwner(ctx, s.Repository(), uid); err != nil {
			return err
		}
	}
	return nil
}

// isOwner reports whether an owner of links is the stream or the namespace that is there.
func isOwner(now blobstore.Repository, uid string) bool {
	return uid == now.Stream || uid == now.Namespace
}

// reconcileOwner removes the links of one owner, unless it has them rightly.
func (h *Handler) reconcileOwner(ctx context.Context, now blobstore.Repository, uid string) error {
	before := h.Now().Add(-orphanGrace)
	switch stream, released := blobstore.IsReleased(uid); {
	case isOwner(now, uid):
		return nil
	case released && stream == now.Stream:
		return h.RemoveReleased(ctx, now, before)
	default:
		return h.remove(ctx, blobstore.Repository{Name: now.Name, Stream: stream}, before)
	}
}

// RemoveReleased removes links that were released before a time.
func (h *Handler) RemoveReleased(ctx context.Context, from blobstore.Repository, before time.Time) error {
	if err := h.handOver(ctx, from); err != nil {
		return err
	}
	return h.Store.RemoveOwner(ctx, from.Name, from.Released().Stream, before)
}
