package blobstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxReferrerBytes bounds the entry of one referrer: manifests have at most a few megabytes, and
// their annotations are copied into the descriptor.
const MaxReferrerBytes = 8 << 20

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
	return s.putReferrer(ctx, referrerPath(repo, subject, d.Digest), content)
}

func (s *Store) putReferrer(ctx context.Context, path string, content []byte) error {
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

// Referrers lists the digests of the manifests of a repository that refer to a subject, sorted;
// none is no error.
func (s *Store) Referrers(ctx context.Context, repo string, subject digest.Digest) ([]digest.Digest, error) {
	if err := errors.Join(checkRepository(repo), checkDigest(subject)); err != nil {
		return nil, err
	}
	names, err := s.list(ctx, referrersFolder(repo, subject))
	if err != nil {
		return nil, err
	}
	digests := make([]digest.Digest, 0, len(names)) // names are sorted, and so are these
	for _, name := range names {
		if d, ok := referrerOf(name); ok {
			digests = append(digests, d)
		}
	}
	return digests, nil
}

// ListedReferrer is the entry of a manifest in the list of referrers.
type ListedReferrer struct {
	ArtifactType string
	// Descriptor is that of the manifest, with its annotations, as JSON (ocispec.Descriptor).
	Descriptor []byte
}

// Referrer returns the entry of a referrer. ErrUnknown if there is none or if it is damaged: the
// manifest can still be found by its digest. *SizeMismatch if the entry has more than `most`
// bytes.
func (s *Store) Referrer(ctx context.Context, repo string, subject, d digest.Digest, most int64) (ListedReferrer, error) {
	if err := errors.Join(checkRepository(repo), checkDigest(subject), checkDigest(d)); err != nil {
		return ListedReferrer{}, err
	}
	return s.referrer(ctx, referrerPath(repo, subject, d), d, min(most, MaxReferrerBytes))
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
	entry, readErr := s.referrer(ctx, path, d, MaxReferrerBytes)
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
	return s.putReferrer(ctx, path, entry.Descriptor)
}

// referrer reads an entry.
func (s *Store) referrer(ctx context.Context, path string, d digest.Digest, most int64) (ListedReferrer, error) {
	r, err := s.driver.Reader(ctx, path, 0)
	if err != nil {
		return ListedReferrer{}, s.readFailure(ctx, err, "opening", path)
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return ListedReferrer{}, s.readFailure(ctx, err, "reading", path)
	case int64(len(content)) > most && most < MaxReferrerBytes:
		return ListedReferrer{}, &SizeMismatch{Want: most, Got: int64(len(content))}
	}
	entry, ok := parseReferrer(content, d)
	if !ok {
		return ListedReferrer{}, fmt.Errorf("reading %s: not a descriptor: %w", path, ErrUnknown)
	}
	return entry, nil
}

// parseReferrer reads what AddReferrer wrote for a digest, without its annotations.
func parseReferrer(content []byte, d digest.Digest) (ListedReferrer, bool) {
	var head struct {
		MediaType    string        `json:"mediaType"`
		Digest       digest.Digest `json:"digest"`
		Size         int64         `json:"size"`
		ArtifactType string        `json:"artifactType"`
	}
	if len(content) > MaxReferrerBytes || json.Unmarshal(content, &head) != nil {
		return ListedReferrer{}, false
	}
	ok := head.Digest == d && head.Size >= 0 && strings.Contains(head.MediaType, "/")
	return ListedReferrer{ArtifactType: head.ArtifactType, Descriptor: content}, ok
}
