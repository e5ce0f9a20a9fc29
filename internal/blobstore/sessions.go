package blobstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultMaxUploads is how many unfinished uploads a namespace may have. A client has about
	// five at a time.
	DefaultMaxUploads = 2000
	// emptyUploadAge is the age at which an upload without data is removed: the client that began
	// it is gone, and has nothing to resume.
	emptyUploadAge = time.Hour
	// restingUploadAge is how long an upload has to rest until it makes room for a new one in a
	// namespace that has as many as it may. Of an object store a longer one is needed: there,
	// nothing shows that another replica is writing.
	restingUploadAge       = time.Hour
	restingObjectUploadAge = 24 * time.Hour
	// maxMadeRoom is how many uploads are removed for a new one, so that it need not wait long.
	maxMadeRoom = 16
)

// TooManyUploads is an upload that is not begun because its namespace has as many as it may.
type TooManyUploads struct {
	Namespace string
	Most      int
}

// Error names the namespace and the bound.
func (e *TooManyUploads) Error() string {
	return fmt.Sprintf("namespace %s has %d unfinished uploads, the maximum per namespace", e.Namespace, e.Most)
}

// openUploads are the unfinished uploads in storage, as far as this process began, used or found
// them: RemoveAbandonedUploads finds those of other processes. The zero number is without bound.
type openUploads struct {
	most int

	mu          sync.Mutex
	byNamespace map[string]map[uploadKey]*openUpload
}

type uploadKey struct{ repo, id string }

type openUpload struct {
	touched time.Time
	// found is the beginning of the last look through storage that found it.
	found time.Time
}

func namespaceOf(repo string) string {
	namespace, _, _ := strings.Cut(repo, "/")
	return namespace
}

// begin counts a new upload. The error is a *TooManyUploads.
func (o *openUploads) begin(k uploadKey, now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	namespace := namespaceOf(k.repo)
	if o.most > 0 && len(o.byNamespace[namespace]) >= o.most {
		return &TooManyUploads{Namespace: namespace, Most: o.most}
	}
	o.put(k, now)
	return nil
}

// touch takes note that an upload was used, or found.
func (o *openUploads) touch(k uploadKey, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(k, at)
}

// put is called under the lock.
func (o *openUploads) put(k uploadKey, at time.Time) *openUpload {
	namespace := strings.Clone(namespaceOf(k.repo))
	if o.byNamespace[namespace] == nil {
		o.byNamespace[namespace] = map[uploadKey]*openUpload{}
	}
	u := o.byNamespace[namespace][k]
	if u == nil {
		u = &openUpload{}
		o.byNamespace[namespace][uploadKey{strings.Clone(k.repo), strings.Clone(k.id)}] = u
	}
	if at.After(u.touched) {
		u.touched = at
	}
	return u
}

// find takes note that a look through storage found an upload.
func (o *openUploads) find(k uploadKey, touched, look time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(k, touched).found = look
}

// foundInUse is find for an upload that this process uses: one that is not counted has ended.
func (o *openUploads) foundInUse(k uploadKey, now, look time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byNamespace[namespaceOf(k.repo)][k] != nil {
		o.put(k, now).found = look
	}
}

// end forgets an upload that is finished or removed.
func (o *openUploads) end(k uploadKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(k)
}

// drop is called under the lock.
func (o *openUploads) drop(k uploadKey) {
	namespace := namespaceOf(k.repo)
	delete(o.byNamespace[namespace], k)
	if len(o.byNamespace[namespace]) == 0 {
		delete(o.byNamespace, namespace)
	}
}

// forgetMissing forgets what a look through all of storage did not find, unless it was used since
// the look began: another process finished it.
func (o *openUploads) forgetMissing(look time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, all := range o.byNamespace {
		for k, u := range all {
			if u.touched.Before(look) && u.found.Before(look) {
				o.drop(k)
			}
		}
	}
}

// resting lists at most n uploads of a namespace that nothing has used since a time.
func (o *openUploads) resting(namespace string, since time.Time, n int) []uploadKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []uploadKey
	for k, u := range o.byNamespace[namespace] {
		if len(keys) < n && u.touched.Before(since) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (o *openUploads) count() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, all := range o.byNamespace {
		n += len(all)
	}
	return n
}

// OpenUploads is how many unfinished uploads this process has begun, used or found in storage.
func (s *Store) OpenUploads() int { return s.open.count() }

// beginUpload counts a new upload. In a namespace that has as many as it may, those that rest for
// long make room.
func (s *Store) beginUpload(ctx context.Context, k uploadKey) error {
	err := s.open.begin(k, s.now())
	if err == nil {
		return nil
	}
	age := restingUploadAge
	if s.object {
		age = restingObjectUploadAge
	}
	before := s.now().Add(-age)
	for _, old := range s.open.resting(namespaceOf(k.repo), before, maxMadeRoom) {
		if _, err := s.removeAbandonedUpload(ctx, old.repo, old.id, abandonment{before: before}, s.now()); err != nil {
			return err
		}
	}
	return s.open.begin(k, s.now())
}
