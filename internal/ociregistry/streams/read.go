package streams

import (
	"context"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// maxHolders bounds the repositories that HoldersOf names: each is asked for a right.
const maxHolders = 16

// Resolve implements ociregistry.Directory. What a tag of the spec wants counts for
// nothing until it is in the status.
func (d *Directory) Resolve(ctx context.Context, repo reference.Repository, tag string) (digest.Digest, error) {
	v, err := d.seek(ctx, idOf(repo), func(v *version) bool { return headOf(v.stream, tag) != "" })
	switch {
	case err != nil:
		return "", trouble(err, "looking up tag "+tag+" of "+repo.String())
	case v == nil:
		return "", nameUnknown(repo)
	}
	if head := headOf(v.stream, tag); head != "" {
		return head, nil
	}
	return "", manifestUnknown(repo, "tag", tag)
}

// Tags implements ociregistry.Directory.
func (d *Directory) Tags(ctx context.Context, repo reference.Repository) ([]string, error) {
	v, err := d.seek(ctx, idOf(repo), func(*version) bool { return true })
	switch {
	case err != nil:
		return nil, trouble(err, "listing the tags of "+repo.String())
	case v == nil:
		return nil, nameUnknown(repo)
	}
	return tagsOf(v.stream), nil
}

// Manifest implements ociregistry.Directory. An image whose Image was deleted is not
// there, whatever history or list still names it.
func (d *Directory) Manifest(ctx context.Context, repo reference.Repository, m digest.Digest) (ociregistry.Origin, error) {
	origin, v, err := d.find(ctx, idOf(repo), m, asManifest)
	switch {
	case err != nil:
		return ociregistry.Origin{}, trouble(err, "looking up manifest "+m.String()+" of "+repo.String())
	case v == nil:
		return ociregistry.Origin{}, nameUnknown(repo)
	case origin == nil:
		return ociregistry.Origin{}, manifestUnknown(repo, "digest", m.String())
	}
	return *origin, nil
}

// Blob implements ociregistry.Directory. A stream that is not there leads to no blob;
// repositories exist as uploads before they do as streams, so that is all there is to say.
func (d *Directory) Blob(ctx context.Context, repo reference.Repository, b digest.Digest) (ociregistry.Origin, error) {
	origin, _, err := d.find(ctx, idOf(repo), b, asBlob)
	switch {
	case err != nil:
		return ociregistry.Origin{}, trouble(err, "looking up blob "+b.String()+" of "+repo.String())
	case origin == nil:
		return ociregistry.Origin{}, blobUnknown(repo, b)
	}
	return *origin, nil
}

// HoldersOf implements ociregistry.Directory: it knows of streams that content was read
// from or pushed to lately.
func (d *Directory) HoldersOf(b digest.Digest) []reference.Repository {
	var repos []reference.Repository
	for _, id := range d.contents.holders(b, maxHolders) {
		if v, _ := d.known.get(id); v != nil {
			repos = append(repos, repositoryOf(v.stream))
		}
	}
	return repos
}

// seek is the stream in a version that has what is sought, if there is one; else as it
// is now, and nil when there is none.
func (d *Directory) seek(ctx context.Context, id types.NamespacedName, has func(*version) bool) (*version, error) {
	v, err := d.look(ctx, id)
	if err != nil || (v != nil && has(v)) {
		return v, err
	}
	return d.live.again(ctx, id)
}

// find tells how a digest belongs to a stream; nil when it does not, and the version is
// nil, too, when there is no stream.
func (d *Directory) find(ctx context.Context, id types.NamespacedName, what digest.Digest, as kind) (*ociregistry.Origin, *version, error) {
	defer d.contents.shed()
	v, err := d.look(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if v != nil {
		if origin, err := d.contents.of(id, v).find(ctx, what, as); origin != nil || err != nil {
			return origin, v, err
		}
	}
	before := v
	if v, err = d.live.again(ctx, id); err != nil || v == nil {
		return nil, nil, err
	}
	if before != nil && before.seq == v.seq {
		return nil, v, nil
	}
	origin, err := d.contents.of(id, v).find(ctx, what, as)
	return origin, v, err
}

// repositoryOf is the repository of a stream, spelled as it was pushed to. What somebody
// wrote into the annotation counts only if it leads to this very stream.
func repositoryOf(s *imagev1.ImageStream) reference.Repository {
	repo := reference.Repository{Namespace: s.Namespace, Path: s.Name, Stream: s.Name}
	if path := s.Annotations[AnnotationRepository]; path != "" {
		if spelled, err := reference.ParseRepository(s.Namespace + "/" + path); err == nil && spelled.Stream == s.Name {
			repo.Path = spelled.Path
		}
	}
	return repo
}
