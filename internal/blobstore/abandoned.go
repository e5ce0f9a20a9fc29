package blobstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// abandonment selects abandoned uploads: those whose last write was before a time. Uploads
// without data have a time of their own.
type abandonment struct {
	before time.Time
	// emptyBefore is zero if it is before.
	emptyBefore time.Time
}

// of reports whether it says so of an upload.
func (a abandonment) of(touched time.Time, empty bool) bool {
	return touched.Before(a.before) || empty && touched.Before(a.emptyBefore)
}

// RemoveAbandonedUploads removes the uploads, and files aside of what arrived in one go, that
// nothing has touched for longer than olderThan: neither begun nor written. Uploads without data
// are removed after an hour, where storage shows that they have none: in object stores it does not.
// It leaves alone what a request of this process uses, and what another process has open on a plain
// filesystem. In an object store the last write that shows is the end of the last request, so
// olderThan has to be longer than any request takes. It goes on after an error.
func (s *Store) RemoveAbandonedUploads(ctx context.Context, olderThan time.Duration) (removed int, err error) {
	began := s.now()
	are := abandonment{before: began.Add(-olderThan)}
	if !s.object {
		are.emptyBefore = began.Add(-min(olderThan, emptyUploadAge))
	}
	removed, err = s.removeAbandonedAside(ctx, are.before)
	errs := []error{err}
	errs = append(errs, s.Repositories(ctx, func(repo string) error {
		n, err := s.removeAbandonedIn(ctx, repo, are, began)
		removed += n
		errs = append(errs, err)
		return ctx.Err()
	}))
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("removing abandoned uploads: %w", err)
	}
	s.open.forgetMissing(began)
	return removed, nil
}

// removeAbandonedIn does it for a repository.
func (s *Store) removeAbandonedIn(ctx context.Context, repo string, are abandonment, look time.Time) (removed int, err error) {
	ids, err := s.list(ctx, uploadsFolder(repo))
	errs := []error{err}
	for _, id := range ids {
		if !isUploadID(id) {
			continue
		}
		gone, err := s.removeAbandonedUpload(ctx, repo, id, are, look)
		if gone {
			removed++
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeAbandonedUpload removes an upload if it is abandoned. Otherwise it is counted as found by a
// look that began at a time.
func (s *Store) removeAbandonedUpload(ctx context.Context, repo, id string, are abandonment, look time.Time) (removed bool, err error) {
	key := uploadKey{repo, id}
	known, ok := s.uploads.acquire(id)
	if !ok { // what this process uses it counts already, and may be about to finish
		s.open.foundInUse(key, s.now(), look)
		return false, nil
	}
	// It is counted before others of this process can go on with it: what they finish meanwhile
	// would be counted for good.
	defer s.uploads.release(id)
	folder := uploadFolder(repo, id)
	files := []string{folder, folder + "/" + startedAtFile, folder + "/" + hashStateFile, folder + "/" + dataFile}
	left, removed, err := s.removeAbandoned(ctx, id, known, are, files[1], files[3], files)
	if err == nil && left.IsZero() {
		s.open.end(key)
	} else {
		s.open.find(key, left, look)
	}
	return removed, err
}

// removeAbandonedAside does it for files aside.
func (s *Store) removeAbandonedAside(ctx context.Context, before time.Time) (removed int, err error) {
	names, err := s.list(ctx, asideFolder)
	errs := []error{err}
	seen := map[string]bool{}
	for _, name := range names {
		id := strings.TrimSuffix(name, "."+startedAtFile)
		if !isUploadID(id) || seen[id] {
			continue
		}
		seen[id] = true
		gone, err := s.removeAbandonedFileAside(ctx, id, before)
		if gone {
			removed++
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

func (s *Store) removeAbandonedFileAside(ctx context.Context, id string, before time.Time) (removed bool, err error) {
	known, ok := s.uploads.acquire(id)
	if !ok {
		return false, nil
	}
	defer s.uploads.release(id)
	files := []string{asideStartedAt(id), asidePath(id)}
	_, removed, err = s.removeAbandoned(ctx, id, known, abandonment{before: before}, files[0], files[1], files)
	return removed, err
}

// removeAbandoned removes files, in the reverse of their order, if the youngest of them and the time
// that startedAt holds are those of an abandoned upload. data is the file of the content. The caller has
// acquired the id. Otherwise left is that time, now for what another process uses, and zero where there
// are no files any more.
func (s *Store) removeAbandoned(ctx context.Context, id string, known idleUpload, are abandonment, startedAt, data string, files []string) (left time.Time, removed bool, err error) {
	f, err := s.lookAt(ctx, startedAt, data, files)
	switch {
	case err == nil && !f.exist:
		return time.Time{}, false, nil
	case err != nil || f.touched.IsZero() || !are.of(f.touched, f.empty):
		if known.hash != nil {
			s.uploads.remember(id, known)
		}
		return latest(f.touched, time.Unix(0, 0)), false, err
	}
	switch {
	case s.object:
		err = s.abort(ctx, data)
	case s.disk != nil:
		w, lockErr := s.disk.Writer(ctx, data, true)
		if lockErr != nil {
			lockErr = failure(lockErr, "locking", data)
			if errors.Is(lockErr, ErrBusy) {
				return s.now(), false, nil
			}
			return f.touched, false, lockErr
		}
		defer w.Close()
	}
	errs := []error{err}
	for i := len(files) - 1; i >= 0; i-- {
		errs = append(errs, s.remove(ctx, files[i]))
	}
	err = errors.Join(errs...)
	return time.Time{}, err == nil, err
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// leftFiles are the files of an upload.
type leftFiles struct {
	// touched is the youngest of the times that they were written, and of the time file; zero
	// without any. A time in the future is ignored: it was damaged.
	touched time.Time
	// empty is true if there are no data.
	empty bool
	exist bool
}

// lookAt looks at the files of an upload.
func (s *Store) lookAt(ctx context.Context, startedAt, data string, files []string) (f leftFiles, err error) {
	take := func(t time.Time) {
		if t.After(f.touched) && !t.After(s.now()) {
			f.touched = t
		}
	}
	f.empty = true
	for _, file := range files {
		info, err := s.driver.Stat(ctx, file)
		if err = failure(err, "looking for", file); errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return leftFiles{}, err
		}
		f.exist = true
		f.empty = f.empty && (file != data || info.Size() == 0)
		take(info.ModTime())
	}
	// Storage has just answered; what cannot be read is as good as damaged.
	if content, err := s.driver.GetContent(ctx, startedAt); err == nil {
		if t, err := parseTime(content); err == nil {
			take(t)
		}
	}
	return f, nil
}
