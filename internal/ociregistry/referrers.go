package ociregistry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// listReferrers serves the list of manifests whose subject is a digest. There is always
// one, if an empty one: a 404 would tell clients that the registry knows no such lists,
// and they would begin to keep one themselves.
func (x *exchange) listReferrers() error {
	subject, err := x.digest()
	if err != nil {
		return err
	}
	found, err := x.Store.Referrers(x.context(), x.repo.Key(), subject)
	if err != nil {
		return fmt.Errorf("listing what refers to %s in %s: %w", subject, x.repo, err)
	}
	if found, err = x.readable(x.context(), found); err != nil {
		return err
	}
	tagged, err := x.taggedReferrers(x.context(), subject)
	if err != nil {
		return err
	}
	for _, d := range tagged {
		if !slices.ContainsFunc(found, func(f ocispec.Descriptor) bool { return f.Digest == d.Digest }) {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	if wanted := x.r.URL.Query().Get("artifactType"); wanted != "" {
		found = slices.DeleteFunc(found, func(d ocispec.Descriptor) bool { return d.ArtifactType != wanted })
		x.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if found == nil {
		found = []ocispec.Descriptor{}
	}
	x.w.Header()["Cache-Control"] = cacheRevision
	return x.answerJSON(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: found,
	})
}

// readable are the referrers whose manifests can be read in the repository.
func (x *exchange) readable(ctx context.Context, listed []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var found []ocispec.Descriptor
	for _, d := range listed {
		_, err := x.mayRead(ctx, x.repo, d.Digest, manifests)
		switch {
		case err == nil:
			found = append(found, d)
		case !isUnknown(err):
			return nil, err
		}
	}
	return found, nil
}

// referrersTag is the tag under which clients keep a list of referrers in registries
// that have none: the algorithm and at most 64 characters of the digest.
func referrersTag(subject digest.Digest) string {
	encoded := subject.Encoded()
	return subject.Algorithm().String() + "-" + encoded[:min(len(encoded), 64)]
}

// taggedReferrers are the manifests of such a list, which may have been pushed elsewhere
// and copied or imported here. The list is only believed where it says to look: what a
// manifest's subject is, the manifest says.
func (x *exchange) taggedReferrers(ctx context.Context, subject digest.Digest) ([]ocispec.Descriptor, error) {
	list, err := x.manifestByTag(ctx, x.repo, referrersTag(subject))
	if isUnknown(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	index, err := parseManifest(list.content, list.mediaType)
	if err != nil || !index.isList() {
		return nil, nil // a tag that only looks like one
	}
	var found []ocispec.Descriptor
	for _, child := range index.children {
		stored, err := x.manifestByDigest(ctx, x.repo, child.Digest)
		if isUnknown(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(stored.content, stored.mediaType)
		if err == nil && m.subject != nil && m.subject.Digest == subject {
			found = append(found, m.describe(stored.digest, int64(len(stored.content))))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return found, nil
}
