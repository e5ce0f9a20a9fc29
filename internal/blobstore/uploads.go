package blobstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/uuid"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// hashBytes is about what a running hash takes.
const hashBytes = 400

// uploads are those of this process.
type uploads struct {
	mu sync.Mutex
	// live are the ids that a request, or a file aside, uses right now.
	live map[string]struct{}
	// idle holds what is known of uploads between two requests. A forgotten hash is read from the
	// upload's folder, or made by reading the data.
	idle *caches.Cache[string, idleUpload]
}

type idleUpload struct {
	hash *runningHash // of all the data
	// synced is set when all the data is on the disk.
	synced bool
}

func (u *uploads) init(p *caches.Pool) {
	u.live = map[string]struct{}{}
	u.idle = caches.New(p, caches.Options[string, idleUpload]{
		Name: "upload_hashes", Bytes: uploadsBytes, Idle: hintIdle,
		Cost: func(id string, _ idleUpload) int { return len(id) + hashBytes },
	})
}

// acquire takes an id for its caller alone, and what is known of it, until release.
func (u *uploads) acquire(id string) (known idleUpload, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, busy := u.live[id]; busy {
		return idleUpload{}, false
	}
	u.live[id] = struct{}{}
	known, _ = u.idle.Get(id)
	u.idle.Remove(id)
	return known, true
}

func (u *uploads) release(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.live, id)
}

func (u *uploads) remember(id string, known idleUpload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.idle.Add(id, known)
}

// Upload is one request's use of an upload, by one goroutine, from StartUpload or
// Store.Upload to Close. Close it before the request is answered, or the client's next
// one may find it busy.
type Upload struct {
	store     *Store
	repo, id  string
	startedAt time.Time
	size      int64

	// hash is that of the data, nil when it has to be read again for that.
	hash        *runningHash
	hashLooked  bool // the kept hash state was looked at
	hashOutdate bool // there is one, which is of other data
	synced      bool
	appended    bool
	// complete is set when an earlier Commit failed after the file was completed.
	complete bool
	writer   storagedriver.FileWriter
	ended    bool
}

// StartUpload begins an upload of content whose digest will most likely be of the
// algorithm, sha256 when "". It lasts until Commit or Cancel, across requests, restarts and
// replicas. For content that comes in the same request PutStream is quicker. *TooManyUploads
// if the namespace has as many as it may.
func (s *Store) StartUpload(ctx context.Context, repo string, a digest.Algorithm) (*Upload, error) {
	if a == "" {
		a = digest.SHA256
	}
	if err := errors.Join(checkRepository(repo), checkAlgorithm(a)); err != nil {
		return nil, err
	}
	if err := s.Room(); err != nil {
		return nil, err
	}
	u := &Upload{store: s, repo: repo, id: uuid.NewString(), startedAt: s.now(), hash: newRunningHash(a), hashLooked: true}
	if err := s.beginUpload(ctx, u.key()); err != nil {
		return nil, fmt.Errorf("starting an upload to %s: %w", repo, err)
	}
	s.uploads.acquire(u.id) // before anything shows that there is such an id
	if err := u.write(ctx); err != nil {
		s.open.end(u.key())
		s.uploads.release(u.id)
		return nil, err
	}
	return u, nil
}

// write makes the files of a new upload.
func (u *Upload) write(ctx context.Context) error {
	s := u.store
	if err := s.putSmall(ctx, u.path(startedAtFile), formatTime(u.startedAt)); err != nil {
		return err
	}
	if u.hash.algorithm != digest.SHA256 { // otherwise a restart would forget the algorithm
		if err := u.keepHash(ctx); err != nil {
			return err
		}
	}
	if !s.object {
		return nil
	}
	// Only what was opened once can be opened to append.
	w, err := s.driver.Writer(ctx, u.path(dataFile), false)
	if err == nil {
		err = w.Close()
	}
	return failure(err, "opening", u.path(dataFile))
}

func (u *Upload) key() uploadKey { return uploadKey{u.repo, u.id} }

// Upload resumes an upload of the repository. ErrUnknown when there is none of that id,
// ErrBusy when another request of this process uses it.
func (s *Store) Upload(ctx context.Context, repo, id string) (*Upload, error) {
	if err := checkRepository(repo); err != nil {
		return nil, err
	}
	if !isUploadID(id) {
		return nil, fmt.Errorf("looking for upload %q: %w", id, ErrUnknown)
	}
	known, ok := s.uploads.acquire(id)
	if !ok {
		return nil, fmt.Errorf("resuming upload %s: %w", id, ErrBusy)
	}
	u := &Upload{store: s, repo: repo, id: id}
	err := u.readStartedAt(ctx)
	if err == nil {
		err = u.measure(ctx)
	}
	if err != nil {
		s.uploads.release(id)
		return nil, err
	}
	s.open.touch(u.key(), s.now())
	if known.hash != nil && known.hash.size == u.size {
		u.hash, u.synced, u.hashLooked = known.hash, known.synced, true
	}
	return u, nil
}

// readStartedAt finds the upload. A damaged time is replaced by that of its file.
func (u *Upload) readStartedAt(ctx context.Context) error {
	path := u.path(startedAtFile)
	content, err := u.store.driver.GetContent(ctx, path)
	if err != nil {
		return failure(err, "reading", path)
	}
	if u.startedAt, err = parseTime(content); err != nil {
		_, u.startedAt, err = u.store.stat(ctx, path)
	}
	return err
}

// measure finds how much of the upload is in storage.
func (u *Upload) measure(ctx context.Context) (err error) {
	if u.store.object {
		return u.openWriter(ctx)
	}
	u.size, _, err = u.store.stat(ctx, u.path(dataFile))
	if errors.Is(err, ErrUnknown) {
		return nil // nothing was sent yet
	}
	return err
}

// openWriter opens the data for appending, locked where the driver locks, and measures
// it.
func (u *Upload) openWriter(ctx context.Context) error {
	if u.writer != nil || u.complete {
		return nil
	}
	path := u.path(dataFile)
	// What arrived before the client went away is to be kept, so writing does not end
	// with the request.
	w, err := u.store.driver.Writer(context.WithoutCancel(ctx), path, true)
	if err != nil {
		if u.store.object {
			size, _, statErr := u.store.stat(ctx, path)
			if u.complete = statErr == nil; u.complete {
				u.resized(size)
				return nil
			}
		}
		return failure(err, "opening", path)
	}
	u.writer = w
	u.resized(w.Size())
	return nil
}

// resized takes note of the data's size. A hash of another size is of no use.
func (u *Upload) resized(size int64) {
	if u.size = size; u.hash != nil && u.hash.size != size {
		u.hash, u.synced, u.hashOutdate = nil, false, true
	}
}

// ID is the upload's UUID.
func (u *Upload) ID() string { return u.id }

// Size is how many bytes have arrived, and so the offset of the next chunk.
func (u *Upload) Size() int64 { return u.size }

// StartedAt is when the upload began.
func (u *Upload) StartedAt() time.Time { return u.startedAt }

func (u *Upload) path(name string) string { return uploadFolder(u.repo, u.id) + "/" + name }

// over is the error of using an upload that was committed, cancelled or closed.
func (u *Upload) over(tried string) error {
	return fmt.Errorf("%s upload %s: it has ended: %w", tried, u.id, ErrUnknown)
}
