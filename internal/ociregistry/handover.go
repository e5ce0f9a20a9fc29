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

// A copied tag outlives its source. While the source has its links, part 2 of the rule grants
// access through them. Deleting a link in the source first releases it: it grants nothing there,
// and still counts for copies. Links that are released, or whose stream is deleted, are removed
// after the streams with copies have links of their own. Every step can be repeated, so that a
// process killed in between loses nothing.

const (
	// uploadGrace keeps uploads that are newer than the deletion of their stream, with a
	// margin for clock skew.
	uploadGrace = time.Minute
	// orphanGrace keeps recent uploads when the time of the deletion is not known, and
	// links released a moment ago: the informer may lack a copy made since.
	orphanGrace = time.Hour
)

// handOver links the content of a stream's images in every stream with a copy of one. Uploads
// that no manifest of the stream names stay with the namespace.
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

// handOverImage links the parts of an image that from has, and then the image, in to.
func (h *Handler) handOverImage(ctx context.Context, from, to blobstore.Repository, m digest.Digest) error {
	visited := map[digest.Digest]struct{}{}
	var link func(m digest.Digest, depth int) error
	link = func(m digest.Digest, depth int) error {
		if _, been := visited[m]; been || depth > maxDepth || len(visited) > maxVisited {
			return nil
		}
		visited[m] = struct{}{}
		if has, err := h.linkedForCopies(ctx, from, m, manifests); err != nil || !has {
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
	if has, err := h.linkedForCopies(ctx, from, d, blobs); err != nil || !has {
		return err
	}
	return h.Store.LinkBlob(ctx, to, d)
}

// Remove removes the links of a stream whose deletion was seen at a time, after the streams
// with copies of its images have links of their own. It also removes older uploads to the stream
// that no manifest names. Links of a later stream of that name stay.
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
		return nil // not the folder of a repository
	}
	s, err := h.Directory.Stream(ctx, repo, true)
	if err != nil || s.Repository().Namespace == "" {
		return err
	}
	return h.Store.RemoveOwner(ctx, gone.Name, s.Repository().Namespace, uploadsBefore)
}

// reconciledAtOnce is how many repositories are reconciled in parallel.
const reconciledAtOnce = 4

// Reconcile removes the links of all deleted streams and namespaces, including those deleted while
// the registry did not run or just before it was killed. It also removes released links, assigns
// unowned links to the current stream, and removes the folders of repositories without links. It
// continues after an error.
func (h *Handler) Reconcile(ctx context.Context) error {
	return h.reconcileEach(ctx, h.Now().Add(-orphanGrace), h.Store.Repositories)
}

// ReconcileNamespace is Reconcile for the repositories of a namespace whose deletion was seen at a
// time. Only folders older than that are removed.
func (h *Handler) ReconcileNamespace(ctx context.Context, namespace string, seen time.Time) error {
	return h.reconcileEach(ctx, seen, func(ctx context.Context, visit func(string) error) error {
		return h.Store.RepositoriesOf(ctx, namespace, visit)
	})
}

// reconcileEach reconciles all repositories that each visits.
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
	_ = group.Wait() // its errors are collected already
	if err != nil {
		return fmt.Errorf("looking for repositories of deleted image streams: %w", err)
	}
	return first
}

func (h *Handler) reconcile(ctx context.Context, name string, leftBefore time.Time) error {
	repo, err := reference.ParseRepository(name)
	if err != nil {
		return nil // not the folder of a repository
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
	// Read the API after storage: a stream whose links were listed exists by now.
	s, err := h.Directory.Fresh(ctx, repo)
	if err != nil {
		return err
	}
	for _, uid := range owners {
		if isOwner(known.Repository(), uid) {
			continue // deleted since; Remove follows once all of its copies are known
		}
		if err := h.reconcileOwner(ctx, s.Repository(), uid); err != nil {
			return err
		}
	}
	return nil
}

// isOwner reports whether uid is that of the current stream or namespace.
func isOwner(now blobstore.Repository, uid string) bool {
	return uid == now.Stream || uid == now.Namespace
}

// reconcileOwner removes the links of one owner, unless the owner still exists.
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

// RemoveReleased removes links released before a time.
func (h *Handler) RemoveReleased(ctx context.Context, from blobstore.Repository, before time.Time) error {
	if err := h.handOver(ctx, from); err != nil {
		return err
	}
	return h.Store.RemoveOwner(ctx, from.Name, from.Released().Stream, before)
}
