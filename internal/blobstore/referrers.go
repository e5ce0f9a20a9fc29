package blobstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxReferrerBytes bounds what is read of one referrer: manifests have at most a few
// megabytes, and their annotations are copied into the descriptor.
const maxReferrerBytes = 8 << 20

// Referrer is a manifest that has another one for its subject.
type Referrer struct {
	Subject digest.Digest
	// Descriptor is the referrer's, as the referrers API lists it.
	Descriptor ocispec.Descriptor
}

// AddReferrer records that a manifest of the repository refers to a subject, which need not
// exist. The record survives a power cut once AddReferrer returns.
func (s *Store) AddReferrer(ctx context.Context, repo string, subject digest.Digest, d ocispec.Descriptor) error {
	if err := errors.Join(checkRepository(repo), checkDigest(subject), checkDigest(d.Digest)); err != nil {
		return err
	}
	content, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("writing the descriptor of referrer %s: %w", d.Digest, err)
	}
	path := referrerPath(repo, subject, d.Digest)
	return failure(s.driver.PutContent(ctx, path, content), "writing", path)
}

// RemoveReferrer removes a referrer from its subject. ErrUnknown if it is none.
func (s *Store) RemoveReferrer(ctx context.Context, repo string, subject, d digest.Digest) error {
	if err := errors.Join(checkRepository(repo), checkDigest(subject), checkDigest(d)); err != nil {
		return err
	}
	path := referrerPath(repo, subject, d)
	return failure(s.driver.Delete(ctx, path), "deleting", path)
}

// Referrers lists the manifests of a repository that refer to a subject, sorted by
// digest; none is no error. A damaged descriptor is left out: the manifest can still be found
// by its digest.
func (s *Store) Referrers(ctx context.Context, repo string, subject digest.Digest) ([]ocispec.Descriptor, error) {
	if err := errors.Join(checkRepository(repo), checkDigest(subject)); err != nil {
		return nil, err
	}
	names, err := s.list(ctx, referrersFolder(repo, subject))
	if err != nil {
		return nil, err
	}
	descriptors := make([]ocispec.Descriptor, 0, len(names)) // names are sorted, and so are these
	for _, name := range names {
		d, ok := referrerOf(name)
		if !ok {
			continue
		}
		descriptor, err := s.referrer(ctx, referrerPath(repo, subject, d), d)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		descriptors = append(descriptors, descriptor)
	}
	return descriptors, nil
}

// removeLostReferrers removes the referrers of a repository whose manifests have no link
// there any more.
func (s *Store) removeLostReferrers(ctx context.Context, repo string) error {
	root := repositoryFolder(repo) + "/_referrers"
	algorithms, err := s.list(ctx, root)
	errs := []error{err}
	for _, algorithm := range algorithms {
		subjects, err := s.list(ctx, root+"/"+algorithm)
		errs = append(errs, err)
		for _, hex := range subjects {
			if subject := digest.Digest(algorithm + ":" + hex); checkDigest(subject) == nil {
				errs = append(errs, s.removeLostReferrersOf(ctx, repo, subject))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Store) removeLostReferrersOf(ctx context.Context, repo string, subject digest.Digest) error {
	names, err := s.list(ctx, referrersFolder(repo, subject))
	errs := []error{err}
	for _, name := range names {
		if d, ok := referrerOf(name); ok {
			errs = append(errs, s.removeLostReferrer(ctx, repo, subject, d))
		}
	}
	return errors.Join(errs...)
}

// removeLostReferrer removes a referrer whose manifest has no link. A push links the
// manifest before it adds the referrer. So when there is no link after the removal either,
// what was removed was no push's; else it is written again.
func (s *Store) removeLostReferrer(ctx context.Context, repo string, subject, d digest.Digest) error {
	folder := linkFolder(repo, manifestLinks, d)
	links, err := s.linkFiles(ctx, folder)
	if err != nil || len(links) > 0 {
		return err
	}
	path := referrerPath(repo, subject, d)
	descriptor, readErr := s.referrer(ctx, path, d)
	if readErr != nil && !errors.Is(readErr, ErrUnknown) {
		return readErr
	}
	if err := s.remove(ctx, path); err != nil {
		return err
	}
	links, err = s.linkFiles(ctx, folder)
	if err != nil || len(links) == 0 || readErr != nil {
		return err
	}
	return s.AddReferrer(ctx, repo, subject, descriptor)
}

// referrer reads a descriptor. ErrUnknown when it is gone or damaged.
func (s *Store) referrer(ctx context.Context, path string, d digest.Digest) (ocispec.Descriptor, error) {
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		return ocispec.Descriptor{}, s.readFailure(ctx, err, "reading", path)
	}
	descriptor, ok := parseDescriptor(content, d)
	if !ok {
		return ocispec.Descriptor{}, fmt.Errorf("reading %s: no descriptor: %w", path, ErrUnknown)
	}
	return descriptor, nil
}

// parseDescriptor reads what AddReferrer wrote for a digest.
func parseDescriptor(content []byte, d digest.Digest) (descriptor ocispec.Descriptor, ok bool) {
	if len(content) > maxReferrerBytes || json.Unmarshal(content, &descriptor) != nil {
		return ocispec.Descriptor{}, false
	}
	return descriptor, descriptor.Digest == d && descriptor.Size >= 0 && strings.Contains(descriptor.MediaType, "/")
}
