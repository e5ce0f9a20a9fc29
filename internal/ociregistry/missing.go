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

// missingParts are the parts of a manifest that need not be there and are not.
//
// A manifest that is stored already was pushed by others, who may have had those parts,
// and their streams may be where it is read. To record them as missing now would take
// them away there, not to record them would give them away here. Where the parts are
// stored, such a push is refused until it is whole.
func (x *exchange) missingParts(d digest.Digest, m *manifest) ([]digest.Digest, error) {
	if linked, err := x.Store.HasManifest(x.context(), x.repo.Key(), d); linked || err != nil {
		return nil, err // this repository has it: to tag it again changes nothing
	}
	var missing []digest.Digest
	check := func(part digest.Digest, readable error) error {
		if isUnknown(readable) {
			missing = append(missing, part)
			return nil
		}
		return readable
	}
	for _, child := range m.children {
		if err := check(child.Digest, x.mayReadManifest(x.context(), x.repo, child.Digest)); err != nil {
			return nil, err
		}
	}
	for _, layer := range m.layers {
		if x.Sparse != SparseAll && !isForeign(layer) {
			continue
		}
		if err := check(layer.Digest, x.mayReadBlob(x.context(), x.repo, layer.Digest)); err != nil {
			return nil, err
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	return missing, x.refuseKnown(d, missing)
}

// refuseKnown is an error when a manifest is stored without a record of parts that are
// stored, too.
func (x *exchange) refuseKnown(d digest.Digest, missing []digest.Digest) error {
	_, err := x.Store.Stat(x.context(), d)
	if errors.Is(err, blobstore.ErrUnknown) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for manifest %s: %w", d, err)
	}
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
