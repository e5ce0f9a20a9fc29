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

// AddReferrer says that a manifest of the repository refers to a subject, which need not
// exist. When it returns, that survives a power cut.
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

// RemoveReferrer takes a referrer from its subject. ErrUnknown when it is none.
func (s *Store) RemoveReferrer(ctx context.Context, repo string, subject, d digest.Digest) error {
	if err := errors.Join(checkRepository(repo), checkDigest(subject), checkDigest(d)); err != nil {
		return err
	}
	path := referrerPath(repo, subject, d)
	return failure(s.driver.Delete(ctx, path), "deleting", path)
}

// Referrers lists the manifests of a repository that refer to a subject, sorted by
// digest; none is no error. A descriptor that cannot be understood is left out, whoever
// damaged it: the manifest is found by its digest as before.
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
