package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/reference"
)

// A client fetches the parts of an image one by one, and skips those that it has from other
// images or does not need. An image that is only partly kept cannot be pulled once the other
// registry is gone. So the registry completes a pulled image in the background. Streams and tags
// can also have their images kept on import (Stream.KeptAtImport).

const (
	// keepWorkers is how many jobs run at a time, at most one per namespace, so that a slow
	// registry delays no other namespace. keepTime bounds a job; the next attempt continues with
	// the missing content. A job whose namespace is busy waits for keepTurn.
	keepWorkers = 4
	keepTime    = time.Hour
	keepTurn    = time.Second
	// maxKeepQueue bounds the queued images. More are dropped until the next pull.
	maxKeepQueue = 4096
	// manifestsOfARepo bounds the manifests that are remembered per repository, for readFor,
	// as read by clients.
	manifestsOfARepo = 16
	readFor          = time.Hour
	// keptFor is how long images and blobs are remembered as complete.
	keptFor = 15 * time.Minute
	// keepRetry and maxKeepRetry are the first and the longest pause before a retry, and
	// maxKeepAttempts bounds the attempts for a pull.
	keepRetry, maxKeepRetry = 5 * time.Second, 30 * time.Minute
	maxKeepAttempts         = 8
)

// keepJob is a job of the keeper: to complete the images of a pulled blob or, without blob, all
// images of a stream that are kept on import.
type keepJob struct {
	repo reference.Repository
	blob digest.Digest
}

// keeper completes kept images in the background.
type keeper struct {
	h *Handler
	// mu guards queue, which is nil while RunKeeper does not run, and early, the jobs until
	// then.
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[keepJob]
	early map[keepJob]struct{}
	// busy has the namespaces with a running job.
	busy map[string]bool
	// done has completed jobs, and kept has completed images. No namespace evicts entries of
	// another, and no stream those of another.
	done *caches.Cache[keepJob, struct{}]
	kept *caches.Cache[keptImage, struct{}]
	read readManifests
}

// keptImage is an image of a stream.
type keptImage struct {
	stream string // UID
	image  digest.Digest
}

func newKeeper(h *Handler) *keeper {
	k := &keeper{h: h, early: map[keepJob]struct{}{}, busy: map[string]bool{}}
	k.read = readManifests{now: h.Now, repos: caches.New(h.Caches, caches.Options[string, []readManifest]{
		Name: "manifests_read", Bytes: readBytes, Idle: readFor, Now: h.Now,
		Cost: func(key string, list []readManifest) int {
			return len(key) + len(list)*(readManifestBytes+len(list[0].digest))
		},
		Tenant: namespaceOfKey,
	})}
	k.done = caches.New(h.Caches, caches.Options[keepJob, struct{}]{
		Name: "blobs_kept", Bytes: keptBytes, Life: keptFor, Now: h.Now,
		Cost:   func(j keepJob, _ struct{}) int { return repositoryBytes(j.repo) + len(j.blob) },
		Tenant: func(j keepJob) string { return j.repo.Namespace },
	})
	k.kept = caches.New(h.Caches, caches.Options[keptImage, struct{}]{
		Name: "images_kept", Bytes: keptBytes, Life: keptFor, Now: h.Now,
		Cost:   func(i keptImage, _ struct{}) int { return len(i.stream) + len(i.image) },
		Tenant: func(i keptImage) string { return i.stream },
	})
	return k
}

// add queues a job. Jobs for a pull are dropped while the queue is full.
func (k *keeper) add(job keepJob) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.queue == nil && (len(k.early) < maxKeepQueue || job.blob == ""):
		k.early[job] = struct{}{}
	case k.queue != nil && (k.queue.Len() < maxKeepQueue || job.blob == ""):
		k.queue.Add(job)
	}
}

// begin creates the queue, with the jobs added so far.
func (k *keeper) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	retries := workqueue.NewTypedItemExponentialFailureRateLimiter[keepJob](keepRetry, maxKeepRetry)
	k.queue = workqueue.NewTypedRateLimitingQueueWithConfig(retries, workqueue.TypedRateLimitingQueueConfig[keepJob]{})
	for job := range k.early {
		k.queue.Add(job)
	}
	k.early = nil
}

// readManifests has the manifests that clients read recently, by repository.
type readManifests struct {
	now   Clock
	mu    sync.Mutex
	repos *caches.Cache[string, []readManifest] // by Repository.Key
}

type readManifest struct {
	digest digest.Digest
	at     time.Time
}

// readManifestBytes estimates the size of an entry without its digest.
const readManifestBytes = 40

func repositoryBytes(r reference.Repository) int {
	return len(r.Namespace) + len(r.Path) + len(r.Stream)
}

func namespaceOfKey(key string) string {
	namespace, _, _ := strings.Cut(key, "/")
	return namespace
}

func (r *readManifests) add(repo reference.Repository, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, _ := r.repos.Get(repo.Key())
	if len(before) > 0 && before[0].digest == d && r.now().Sub(before[0].at) < readFor/2 {
		return
	}
	list := []readManifest{{digest.Digest(strings.Clone(string(d))), r.now()}}
	for _, m := range before {
		if m.digest != d && len(list) < manifestsOfARepo {
			list = append(list, m)
		}
	}
	r.repos.Add(repo.Key(), list)
}

func (r *readManifests) of(repo reference.Repository) []digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []digest.Digest
	before, _ := r.repos.Get(repo.Key())
	for _, m := range before {
		if r.now().Sub(m.at) < readFor {
			list = append(list, m.digest)
		}
	}
	return list
}

// pulled queues the completion of the images that a pulled blob belongs to.
func (k *keeper) pulled(repo reference.Repository, d digest.Digest) {
	job := keepJob{repo, d}
	if _, done := k.done.Get(job); !done {
		k.add(keepJob{repo, digest.Digest(strings.Clone(string(d)))})
	}
}

// KeepImported queues the images of a stream that are kept on import. It does not wait for
// them.
func (h *Handler) KeepImported(repo reference.Repository) { h.keeper.add(keepJob{repo: repo}) }

// RunKeeper completes kept images until ctx ends. It must be called at most once.
func (h *Handler) RunKeeper(ctx context.Context) error {
	k := h.keeper
	k.begin()
	var workers sync.WaitGroup
	for range keepWorkers {
		workers.Go(func() {
			for k.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	k.queue.ShutDown()
	workers.Wait()
	return nil
}

// next runs one job. It returns false when the queue is closed.
func (k *keeper) next(ctx context.Context) bool {
	job, closed := k.queue.Get()
	if closed {
		return false
	}
	defer k.queue.Done(job)
	if ctx.Err() != nil {
		return true
	}
	if !k.enter(job.repo.Namespace) {
		k.queue.AddAfter(job, keepTurn)
		return true
	}
	defer k.leave(job.repo.Namespace)
	timed, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	var err error
	if job.blob != "" {
		err = k.completePulled(timed, job)
	} else {
		err = k.keepStream(timed, job.repo)
	}
	k.finish(ctx, job, err)
	return true
}

// enter marks a namespace as busy, and reports false if it is busy already. leave undoes that.
func (k *keeper) enter(namespace string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy[namespace] {
		return false
	}
	k.busy[namespace] = true
	return true
}

func (k *keeper) leave(namespace string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.busy, namespace)
}

// finish schedules a retry of a failed job.
func (k *keeper) finish(ctx context.Context, job keepJob, err error) {
	switch {
	case err == nil:
		k.queue.Forget(job)
	case ctx.Err() != nil:
	case job.blob != "" && k.queue.NumRequeues(job) >= maxKeepAttempts:
		k.queue.Forget(job)
		keptImages.WithLabelValues("failed").Inc()
		klog.FromContext(ctx).Error(err, "Keeping a pulled image failed; the next pull retries", "repository", job.repo, "blob", job.blob)
	default:
		if job.blob == "" && k.h.OnKeepFailed != nil {
			k.h.OnKeepFailed(ctx, job.repo, err)
		}
		klog.FromContext(ctx).V(2).Info("Keeping an image failed; retrying", "repository", job.repo, "err", err)
		k.queue.AddRateLimited(job)
	}
}

// completePulled keeps the images that a blob was pulled for: those whose recently read
// manifests name it or, if there are none, the newest image with the blob.
func (k *keeper) completePulled(ctx context.Context, job keepJob) error {
	s, err := k.h.Directory.Stream(ctx, job.repo, false)
	if err != nil {
		return err
	}
	var manifests []digest.Digest
	for _, m := range k.read.of(job.repo) {
		if parts, known := k.h.closures.get(m); known && parts.part(job.blob, blobs) != nil {
			manifests = append(manifests, m)
		}
	}
	if len(manifests) == 0 {
		if manifests, err = k.newestWith(ctx, s, job.blob); err != nil {
			return err
		}
	}
	for _, m := range manifests {
		if err := k.complete(ctx, s, job.repo, m, 0, map[digest.Digest]bool{}); err != nil {
			return err
		}
	}
	k.done.Add(job, struct{}{})
	return nil
}

// newestWith returns the manifest of the newest imported image, or of one in its list, that
// names a blob.
func (k *keeper) newestWith(ctx context.Context, s Stream, d digest.Digest) ([]digest.Digest, error) {
	var e effort
	for _, root := range s.Imported() {
		found, err := k.holder(ctx, root, d, 0, &e)
		if found != "" || err != nil {
			return []digest.Digest{found}, err
		}
	}
	return nil, nil
}

func (k *keeper) holder(ctx context.Context, m, d digest.Digest, depth int, e *effort) (digest.Digest, error) {
	parts, err := k.h.closures.lookUp(ctx, m, e)
	switch {
	case err != nil || parts == nil || depth > maxDepth:
		return "", err
	case parts.part(d, blobs) != nil:
		return m, nil
	}
	for _, child := range parts.Children {
		if err := e.visit(); err != nil {
			return "", err
		}
		if found, err := k.holder(ctx, child.Digest, d, depth+1, e); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}

// keepStream keeps all images of a stream that are kept on import. It continues after an error.
func (k *keeper) keepStream(ctx context.Context, repo reference.Repository) error {
	s, err := k.h.Directory.Stream(ctx, repo, false)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range s.KeptAtImport() {
		key := keptImage{s.Repository().Stream, m}
		if _, done := k.kept.Get(key); done {
			continue
		}
		if err := k.complete(ctx, s, repo, m, 0, map[digest.Digest]bool{}); err != nil {
			errs = append(errs, fmt.Errorf("keeping image %s: %w", m, err))
			continue
		}
		keptImages.WithLabelValues("complete").Inc()
		k.kept.Add(key, struct{}{})
	}
	return errors.Join(errs...)
}

// complete keeps a manifest and its parts, to any depth.
func (k *keeper) complete(ctx context.Context, s Stream, repo reference.Repository, m digest.Digest, depth int, seen map[digest.Digest]bool) error {
	if seen[m] || depth > maxDepth || len(seen) > maxVisited {
		return nil
	}
	seen[m] = true
	if err := k.keepManifest(ctx, s, m); err != nil {
		if depth > 0 && isUnknown(err) {
			return nil // a list may name manifests that its registry does not have
		}
		return err
	}
	parts, err := k.h.closures.parts(ctx, m)
	if err != nil || parts == nil {
		return err
	}
	for _, b := range parts.Blobs {
		if err := k.keepBlob(ctx, s, repo, b.Digest); err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
	}
	for _, child := range parts.Children {
		if err := k.complete(ctx, s, repo, child.Digest, depth+1, seen); err != nil {
			return err
		}
	}
	return nil
}

// keepManifest fetches a manifest if it may be kept and is not in storage.
func (k *keeper) keepManifest(ctx context.Context, s Stream, m digest.Digest) error {
	g, err := k.h.decide(ctx, s, m, manifests)
	if err != nil || g.none() {
		return err
	}
	if g.stored {
		if _, err := k.h.Store.Stat(ctx, m); !errors.Is(err, blobstore.ErrUnknown) {
			return err
		}
	}
	if !g.fetchable() || !g.kept() {
		return nil
	}
	content, _, err := k.h.Upstream.Manifest(ctx, g.wanted)
	if err != nil {
		return err
	}
	k.h.closures.add(m, content)
	return nil
}

// keepBlob fetches a blob if it may be kept and is not in storage. It skips a blob that the
// registry does not have, such as a non-distributable layer.
func (k *keeper) keepBlob(ctx context.Context, s Stream, repo reference.Repository, d digest.Digest) error {
	g, err := k.h.decide(ctx, s, d, blobs)
	if err != nil || g.none() {
		return err
	}
	if g.stored {
		if _, err := k.h.Store.Stat(ctx, d); !errors.Is(err, blobstore.ErrUnknown) {
			return err
		}
	}
	if !g.fetchable() || !g.kept() {
		return nil
	}
	blob, err := k.h.Upstream.Blob(ctx, g.wanted)
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := blob.Open(ctx, 0)
	if err != nil {
		return fmt.Errorf("fetching it for %s: %w", repo, err)
	}
	_, err = io.Copy(io.Discard, content)
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("fetching it for %s: %w", repo, err)
	}
	return nil
}

// keepable reports whether a grant permits keeping content of another registry.
func (g grant) keepable() bool {
	return slices.ContainsFunc(g.wanted.Sources, func(s Source) bool { return s.Mirror && !s.Disabled && !s.Local })
}
