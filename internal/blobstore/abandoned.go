package blobstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// RemoveAbandonedUploads removes the uploads, and files aside of what arrived in one go,
// that nobody has touched for longer than olderThan: neither begun nor written. It leaves
// alone what a request of this process uses, and what another process has open on a plain
// filesystem. In an object store the last write that shows is the end of the last request,
// so olderThan has to be longer than any request takes. It goes on after an error.
func (s *Store) RemoveAbandonedUploads(ctx context.Context, olderThan time.Duration) (removed int, err error) {
	before := s.now().Add(-olderThan)
	removed, err = s.removeAbandonedAside(ctx, before)
	errs := []error{err}
	namespaces, err := s.list(ctx, repositoriesFolder)
	errs = append(errs, err)
	for _, namespace := range namespaces {
		streams, err := s.list(ctx, namespaceFolder(namespace))
		errs = append(errs, err)
		for _, stream := range streams {
			repo := namespace + "/" + stream
			if checkRepository(repo) != nil {
				continue // nothing of ours
			}
			n, err := s.removeAbandonedIn(ctx, repo, before)
			removed += n
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("removing abandoned uploads: %w", err)
	}
	return removed, nil
}

// removeAbandonedIn does it for a repository.
func (s *Store) removeAbandonedIn(ctx context.Context, repo string, before time.Time) (removed int, err error) {
	ids, err := s.list(ctx, uploadsFolder(repo))
	errs := []error{err}
	for _, id := range ids {
		if !isUploadID(id) {
			continue
		}
		folder := uploadFolder(repo, id)
		names := []string{folder, folder + "/" + startedAtFile, folder + "/" + hashStateFile, folder + "/" + dataFile}
		gone, err := s.removeAbandoned(ctx, id, before, folder+"/"+startedAtFile, folder+"/"+dataFile, names)
		if gone {
			removed++
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
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
		gone, err := s.removeAbandoned(ctx, id, before, asideStartedAt(id), asidePath(id), files)
		if gone {
			removed++
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeAbandoned removes files, in the reverse of their order, when the youngest of them
// and the time that startedAt holds are before a time. data is what is written to.
func (s *Store) removeAbandoned(ctx context.Context, id string, before time.Time, startedAt, data string, files []string) (bool, error) {
	known, ok := s.uploads.acquire(id)
	if !ok {
		return false, nil
	}
	defer s.uploads.release(id)
	touched, err := s.lastTouched(ctx, startedAt, files)
	if err != nil || touched.IsZero() || !touched.Before(before) {
		if known.hash != nil {
			s.uploads.remember(id, known)
		}
		return false, err
	}
	switch {
	case s.object:
		err = s.abort(ctx, data)
	case s.disk != nil:
		w, lockErr := s.disk.Writer(ctx, data, true)
		if lockErr != nil {
			lockErr = failure(lockErr, "locking", data)
			if errors.Is(lockErr, ErrBusy) {
				return false, nil
			}
			return false, lockErr
		}
		defer w.Close()
	}
	errs := []error{err}
	for i := len(files) - 1; i >= 0; i-- {
		errs = append(errs, s.remove(ctx, files[i]))
	}
	err = errors.Join(errs...)
	return err == nil, err
}

// lastTouched is the youngest of the times that files were written, and that startedAt
// tells; zero when nothing tells any. A time to come is no time: it was damaged.
func (s *Store) lastTouched(ctx context.Context, startedAt string, files []string) (time.Time, error) {
	var last time.Time
	take := func(t time.Time) {
		if t.After(last) && !t.After(s.now()) {
			last = t
		}
	}
	for _, file := range files {
		info, err := s.driver.Stat(ctx, file)
		if err = failure(err, "looking for", file); errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		take(info.ModTime())
	}
	// Storage has just answered; what cannot be read is as good as damaged.
	if content, err := s.driver.GetContent(ctx, startedAt); err == nil {
		if t, err := parseTime(content); err == nil {
			take(t)
		}
	}
	return last, nil
}
