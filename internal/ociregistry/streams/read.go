package streams

import (
	"context"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// Resolve implements ociregistry.Directory. A spec tag has no effect until it is in the status.
func (d *Directory) Resolve(ctx context.Context, repo reference.Repository, tag string) (digest.Digest, error) {
	v, err := d.find(ctx, idOf(repo), func(v *version) bool { return headOf(v.stream, tag) != "" })
	switch {
	case err != nil:
		return "", unavailable(err, "looking up tag "+tag+" of "+repo.String())
	case v == nil:
		return "", nameUnknown(repo)
	}
	if head := headOf(v.stream, tag); head != "" {
		return head, nil
	}
	return "", manifestUnknown(repo, "tag", tag)
}

// Tags implements ociregistry.Directory.
func (d *Directory) Tags(ctx context.Context, repo reference.Repository, last string, n int) (tags []string, more bool, err error) {
	v, err := d.find(ctx, idOf(repo), func(*version) bool { return true })
	switch {
	case err != nil:
		return nil, false, unavailable(err, "listing the tags of "+repo.String())
	case v == nil:
		return nil, false, nameUnknown(repo)
	}
	tags, more = tagsOf(v.stream, last, n)
	return tags, more, nil
}

// find is the stream in a version that has what is sought, if there is one; else as it
// is now, and nil when there is none.
func (d *Directory) find(ctx context.Context, id types.NamespacedName, has func(*version) bool) (*version, error) {
	v, err := d.cached(ctx, id)
	if err != nil || (v != nil && has(v)) {
		return v, err
	}
	return d.live.fresh(ctx, id)
}

// repositoryOf returns the repository of a stream, spelled as in its first push. The annotation
// counts only if its repository belongs to this stream.
func repositoryOf(s *imagev1.ImageStream) reference.Repository {
	return reference.RepositoryOf(s.Namespace, s.Name, s.Annotations[imageapi.AnnotationRepository])
}
