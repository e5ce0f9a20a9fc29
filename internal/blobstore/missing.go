package blobstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// maxMissingBytes bounds what is read of one record; manifests that can be pushed name
// far fewer digests.
const maxMissingBytes = 8 << 20

// missingPath is beside a manifest's data: the parts that whoever pushed it did not have.
func missingPath(d digest.Digest) string { return blobFolder(d) + "/missing" }

// pushedPath is beside a manifest's data once it was pushed.
func pushedPath(d digest.Digest) string { return blobFolder(d) + "/pushed" }

// MarkPushed records that a manifest was pushed, with all of its parts but those that
// AddMissing has. The same bytes may be in storage because somebody uploaded them as a
// blob, which says nothing. It survives a power cut once the next LinkManifest of any
// repository has returned, and goes with the data.
func (s *Store) MarkPushed(ctx context.Context, manifest digest.Digest) error {
	if err := checkDigest(manifest); err != nil {
		return err
	}
	path := pushedPath(manifest)
	if _, _, err := s.stat(ctx, path); !errors.Is(err, ErrUnknown) {
		return err
	}
	if err := s.putSmall(ctx, path, nil); err != nil {
		return err
	}
	return s.changed(ctx, blobFolder(manifest))
}

// WasPushed reports whether MarkPushed was called for a manifest that is still there.
func (s *Store) WasPushed(ctx context.Context, manifest digest.Digest) (bool, error) {
	if err := checkDigest(manifest); err != nil {
		return false, err
	}
	_, _, err := s.stat(ctx, pushedPath(manifest))
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}

// AddMissing records parts of a manifest that somebody who pushed it did not have. Other
// people may have them, now or later, and that the manifest names them opens nothing: see
// Missing. It is written before the manifest, and survives a power cut once it returns.
func (s *Store) AddMissing(ctx context.Context, manifest digest.Digest, parts []digest.Digest) error {
	if len(parts) == 0 {
		return nil
	}
	known, err := s.Missing(ctx, manifest)
	if err != nil {
		return err
	}
	all := append(slices.Clone(known), parts...)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == len(known) {
		return nil
	}
	var content bytes.Buffer
	for _, d := range all {
		if err := checkDigest(d); err != nil {
			return err
		}
		content.WriteString(string(d) + "\n")
	}
	path := missingPath(manifest)
	return failure(s.driver.PutContent(ctx, path, content.Bytes()), "writing", path)
}

// Missing are the parts of a manifest that somebody who pushed it did not have, sorted;
// mostly none.
func (s *Store) Missing(ctx context.Context, manifest digest.Digest) ([]digest.Digest, error) {
	if err := checkDigest(manifest); err != nil {
		return nil, err
	}
	path := missingPath(manifest)
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		if err = s.readFailure(ctx, err, "reading", path); errors.Is(err, ErrUnknown) {
			return nil, nil
		}
		return nil, err
	}
	return parseMissing(content), nil
}

// parseMissing reads what AddMissing wrote; lines that are no digests are passed over.
func parseMissing(content []byte) []digest.Digest {
	var parts []digest.Digest
	for line := range strings.Lines(string(content[:min(len(content), maxMissingBytes)])) {
		if d := digest.Digest(strings.TrimSuffix(line, "\n")); checkDigest(d) == nil {
			parts = append(parts, d)
		}
	}
	return parts
}
