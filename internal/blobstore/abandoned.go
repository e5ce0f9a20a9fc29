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
		left, err := s.removeAbandonedUpload(ctx, repo, id, are)
		if left.IsZero() && err == nil {
			removed++
		} else {
			s.open.find(uploadKey{repo, id}, left, look)
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeAbandonedUpload removes an upload if it is abandoned. Otherwise left is when it was touched.
func (s *Store) removeAbandonedUpload(ctx context.Context, repo, id string, are abandonment) (left time.Time, err error) {
	folder := uploadFolder(repo, id)
	files := []string{folder, folder + "/" + startedAtFile, folder + "/" + hashStateFile, folder + "/" + dataFile}
	left, err = s.removeAbandoned(ctx, id, are, files[1], files[3], files)
	if left.IsZero() && err == nil {
		s.open.end(uploadKey{repo, id})
	}
	return left, err
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
		files := []string{asideStartedAt(id), asidePath(id)}
		left, err := s.removeAbandoned(ctx, id, abandonment{before: before}, asideStartedAt(id), asidePath(id), files)
		if left.IsZero() && err == nil {
			removed++
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeAbandoned removes files, in the reverse of their order, if the youngest of them and the time
// that startedAt holds are those of an abandoned upload. data is what is written to. Otherwise left
// is that time, and now for what is in use.
func (s *Store) removeAbandoned(ctx context.Context, id string, are abandonment, startedAt, data string, files []string) (left time.Time, err error) {
	known, ok := s.uploads.acquire(id)
	if !ok {
		return s.now(), nil
	}
	defer s.uploads.release(id)
	touched, empty, err := s.lastTouched(ctx, startedAt, data, files)
	if err != nil || touched.IsZero() || !are.of(touched, empty) {
		if known.hash != nil {
			s.uploads.remember(id, known)
		}
		return latest(touched, time.Unix(0, 0)), err
	}
	switch {
	case s.object:
		err = s.abort(ctx, data)
	case s.disk != nil:
		w, lockErr := s.disk.Writer(ctx, data, true)
		if lockErr != nil {
			lockErr = failure(lockErr, "locking", data)
			if errors.Is(lockErr, ErrBusy) {
				return s.now(), nil
			}
			return touched, lockErr
		}
		defer w.Close()
	}
	errs := []error{err}
	for i := len(files) - 1; i >= 0; i-- {
		errs = append(errs, s.remove(ctx, files[i]))
	}
	return time.Time{}, errors.Join(errs...)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// lastTouched is the youngest of the times that files were written, and that startedAt
// tells; zero when nothing tells any. A time to come is no time: it was damaged. empty reports
// whether data has no bytes.
func (s *Store) lastTouched(ctx context.Context, startedAt, data string, files []string) (last time.Time, empty bool, err error) {
	take := func(t time.Time) {
		if t.After(last) && !t.After(s.now()) {
			last = t
		}
	}
	empty = true
	for _, file := range files {
		info, err := s.driver.Stat(ctx, file)
		if err = failure(err, "looking for", file); errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return time.Time{}, false, err
		}
		empty = empty && (file != data || info.Size() == 0)
		take(info.ModTime())
	}
	// Storage has just answered; what cannot be read is as good as damaged.
	if content, err := s.driver.GetContent(ctx, startedAt); err == nil {
		if t, err := parseTime(content); err == nil {
			take(t)
		}
	}
	return last, empty, nil
}
