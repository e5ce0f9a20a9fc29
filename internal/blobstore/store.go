package blobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// Options say where blobs are kept and what is remembered of them.
type Options struct {
	// Driver is the storage: one of package drivers, or any of distribution's. Of the
	// plain filesystem use package disk's: with distribution's own, a power cut can
	// take away what was acknowledged.
	Driver storagedriver.StorageDriver
	// Reserve has room for content, or an error: what is kept free on the driver's disk for
	// others. Nil where all of the storage may be used.
	Reserve Reserve
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// Caches bound the memory for what is remembered, beside the bounds of each cache; nil is
	// without such a bound.
	Caches *caches.Pool
	// CacheFor is how long blobs and links are remembered as being there, and so how long this
	// process may say of a blob or link which another replica removed that it is there; default
	// one minute. What this process removes is gone at once.
	CacheFor time.Duration
	// MaxUploads is how many unfinished uploads one namespace may have; default
	// DefaultMaxUploads, below 0 any number.
	MaxUploads int
}

// Store keeps blobs, links and uploads. It is safe for concurrent use and needs no
// closing.
//
// Its methods return ErrUnknown, ErrFull and ErrInvalid where they apply, and otherwise
// the driver's error with what was tried.
type Store struct {
	driver  storagedriver.StorageDriver
	disk    diskDriver // the driver, where it is one
	object  bool       // an object store
	reserve Reserve    // nil for none
	now     func() time.Time

	sizes       *cache[digest.Digest, int64]
	links       *cache[linkKey, struct{}]
	provenances *cache[digest.Digest, []string]
	owners      *cache[ownerKey, string]
	recent      recentLinks
	pending     pendingFolders
	uploads     uploads
	open        openUploads
}

// diskDriver has the methods of the driver of a plain filesystem beside those of StorageDriver, see
// package disk.
type diskDriver interface {
	storagedriver.StorageDriver
	// PutUnsynced and MoveUnsynced are PutContent and Move without waiting for the disk.
	PutUnsynced(ctx context.Context, path string, content []byte) error
	MoveUnsynced(ctx context.Context, from, to string) error
	// SyncFolders returns when the names in the folders are on the disk.
	SyncFolders(ctx context.Context, paths ...string) error
	// RemoveFolder removes a folder if it is empty, and RemoveEmpty a folder and those below it as far as they are empty, and is no error
	// for those that are not.
	RemoveFolder(ctx context.Context, path string) error
	RemoveEmpty(ctx context.Context, path string) error
	// ReadFolder is List and Stat of what is in a folder, sorted by name.
	ReadFolder(ctx context.Context, path string) ([]storagedriver.FileInfo, error)
}

// objectStores are the drivers of stores whose PutContent is one atomic request, whose
// Move copies, and which show nothing of an unfinished file.
var objectStores = []string{"s3aws", "gcs", "azure"}

// New returns a store. It does not touch storage, see Check.
func New(o Options) (*Store, error) {
	if o.Driver == nil {
		return nil, errors.New("setting up the blob store: a storage driver is required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxUploads = cmp.Or(o.MaxUploads, DefaultMaxUploads)
	o.CacheFor = cmp.Or(o.CacheFor, time.Minute)
	s := &Store{driver: o.Driver, now: o.Now, reserve: o.Reserve, object: slices.Contains(objectStores, o.Driver.Name())}
	s.disk, _ = o.Driver.(diskDriver)
	s.open = openUploads{most: o.MaxUploads, byNamespace: map[string]map[uploadKey]*openUpload{}}
	s.makeCaches(o.Caches, o.CacheFor, o.Now)
	return s, nil
}

// Check asks storage for its root, for readiness probes.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.driver.Stat(ctx, "/")
	if err = failure(err, "looking into", "storage"); errors.Is(err, ErrUnknown) {
		return nil // nothing is stored yet
	}
	return err
}

// stat returns the size of a file and when it was last written. ErrUnknown also for a
// folder: object stores take whatever begins with the path for one.
func (s *Store) stat(ctx context.Context, path string) (size int64, written time.Time, err error) {
	info, err := s.driver.Stat(ctx, path)
	if err != nil {
		return 0, time.Time{}, failure(err, "looking for", path)
	}
	if info.IsDir() {
		return 0, time.Time{}, fmt.Errorf("looking for %s: %w", path, ErrUnknown)
	}
	return info.Size(), info.ModTime(), nil
}

// readFailure is the failure of opening or reading a file, ErrUnknown when it is a folder
// that should not be there.
func (s *Store) readFailure(ctx context.Context, err error, tried, path string) error {
	err = failure(err, tried, path)
	if err == nil || errors.Is(err, ErrUnknown) {
		return err
	}
	if _, _, statErr := s.stat(ctx, path); errors.Is(statErr, ErrUnknown) {
		return statErr
	}
	return err
}

// list returns the names in a folder, none when it is not there, or is a file.
func (s *Store) list(ctx context.Context, folder string) ([]string, error) {
	paths, err := s.driver.List(ctx, folder)
	if err = failure(err, "listing", folder); err != nil && !errors.Is(err, ErrUnknown) {
		if _, _, statErr := s.stat(ctx, folder); statErr != nil {
			return nil, err
		}
		return nil, nil
	}
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, path.Base(p))
	}
	slices.Sort(names)
	return names, nil
}

// remove deletes a file or a folder with what is in it. It is no error when there is none.
func (s *Store) remove(ctx context.Context, path string) error {
	err := failure(s.driver.Delete(ctx, path), "deleting", path)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}

// putSmall writes a small file whose loss in a power cut is harmless, or made good by
// lasting.
func (s *Store) putSmall(ctx context.Context, path string, content []byte) error {
	if s.disk != nil {
		return failure(s.disk.PutUnsynced(ctx, path, content), "writing", path)
	}
	return failure(s.driver.PutContent(ctx, path, content), "writing", path)
}
