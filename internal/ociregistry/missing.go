package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// A manifest may name parts that its repository does not have: children of a sparse
// index, layers that are not distributed. Somebody else may have them. Were everything
// that a manifest names readable in its repository, naming a digest would be enough to
// read it. So what a push lacked is recorded with the manifest, and is not readable for
// the manifest's sake, here and wherever the manifest is tagged later.

const (
	// maxNesting is how deep lists may lie within lists that are fetched for a push.
	maxNesting = 8
	// maxTaken is how many manifests are fetched for one push; what is beyond is missing.
	maxTaken = 256
)

// incoming is a manifest that is about to be stored.
type incoming struct {
	*manifest
	digest  digest.Digest
	content []byte
	tags    []string
	// nesting is how many lists it lies in for whose sake it is stored.
	nesting int
}

// missingParts are the parts of a manifest that need not be there and are not, together
// with those that are known to be away.
//
// A manifest that was pushed already came from others, who may have had those parts,
// and their streams may be where it is read. To record them as missing now would take
// them away there, not to record them would give them away here. Where the parts are
// stored, such a push is refused until it is whole.
func (x *exchange) missingParts(m *incoming, away []digest.Digest) ([]digest.Digest, error) {
	known, err := x.Store.WasPushed(x.context(), m.digest)
	if err != nil {
		return nil, fmt.Errorf("looking whether manifest %s was pushed: %w", m.digest, err)
	}
	if known {
		if linked, err := x.Store.HasManifest(x.context(), x.repo.Key(), m.digest); linked || err != nil {
			return nil, err // this repository has it: to tag it again changes nothing
		}
	}
	missing := slices.Clone(away)
	for i, child := range m.children {
		has, err := x.hasChild(child.Digest, m.nesting)
		if err != nil {
			return nil, err
		}
		if !has && x.Sparse == SparseNone {
			return nil, digestUnknown(CodeManifestBlobUnknown, fmt.Sprintf("manifests[%d] is", i), child.Digest)
		}
		if !has {
			missing = append(missing, child.Digest)
		}
	}
	for _, layer := range m.layers {
		if x.Sparse != SparseAll && !isForeign(layer) {
			continue
		}
		s, err := x.blobStanding(x.context(), x.repo, layer.Digest)
		if err != nil && !isUnknown(err) {
			return nil, err
		}
		if !s.stored() {
			missing = append(missing, layer.Digest)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	if !known {
		return missing, nil
	}
	return missing, x.refuseKnown(m.digest, missing)
}

// hasChild tells whether the repository has a manifest, with all that it needs. One that is
// readable only because the stream refers to another registry is fetched for that, as if
// it had been pushed: the client left it out because it is readable.
func (x *exchange) hasChild(d digest.Digest, nesting int) (bool, error) {
	s, err := x.manifestStanding(x.context(), x.repo, d)
	if err != nil || s.open {
		return err == nil, exceptUnknown(err)
	}
	if nesting >= maxNesting || !s.kept && !slices.ContainsFunc(s.origin.Sources, func(s Source) bool { return s.Mirror }) {
		return false, nil
	}
	if x.taken++; x.taken > maxTaken {
		return false, nil
	}
	stored, err := x.manifestByDigest(x.context(), x.repo, d)
	if err != nil {
		return false, exceptUnknown(err)
	}
	m, err := parseManifest(stored.content, stored.mediaType)
	if err != nil {
		return false, nil // of a format that cannot be pushed
	}
	err = x.take(&incoming{manifest: m, digest: d, content: stored.content, nesting: nesting + 1})
	if hasCode(err, CodeManifestBlobUnknown, CodeManifestInvalid) {
		return false, nil
	}
	return err == nil, exceptUnknown(err)
}

// exceptUnknown is an error unless it says that something is not there.
func exceptUnknown(err error) error {
	if isUnknown(err) {
		return nil
	}
	return err
}

// refuseKnown is an error when a manifest was pushed before, and there is no record of
// parts that are stored, too.
func (x *exchange) refuseKnown(d digest.Digest, missing []digest.Digest) error {
	recorded, err := x.Store.Missing(x.context(), d)
	if err != nil {
		return fmt.Errorf("reading what manifest %s lacks: %w", d, err)
	}
	var all Errors
	for _, part := range missing {
		if slices.Contains(recorded, part) {
			continue
		}
		switch _, err := x.Store.Stat(x.context(), part); {
		case err == nil:
			all = append(all, digestUnknown(CodeManifestBlobUnknown, "this manifest was pushed whole elsewhere, here a part of it is", part))
		case !errors.Is(err, blobstore.ErrUnknown):
			return fmt.Errorf("looking for %s: %w", part, err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// unlinkedOf tells whether a repository lacks the link of one of several manifests: that
// one did not come by a push to it.
func unlinkedOf(store *blobstore.Store) func(ctx context.Context, repository string, lists []digest.Digest) (bool, error) {
	return func(ctx context.Context, repository string, lists []digest.Digest) (bool, error) {
		for _, d := range lists {
			linked, err := store.HasManifest(ctx, repository, d)
			if err != nil {
				return false, fmt.Errorf("looking for manifest %s in %s: %w", d, repository, err)
			}
			if !linked {
				return true, nil
			}
		}
		return false, nil
	}
}
