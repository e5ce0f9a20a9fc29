package imagestreamimport

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// request is the import in the importer's words. known is the stream as it is,
// nil if there is none.
func (r *REST) request(ctx context.Context, isi *imagev1.ImageStreamImport, known *imagev1.ImageStream) (importer.Request, error) {
	credentials, err := r.credentials(ctx, isi.Namespace)
	if err != nil {
		return importer.Request{}, err
	}
	request := importer.Request{
		Credentials:       credentials,
		MaxRepositoryTags: r.MaxRepositoryTags,
		WithoutText:       isi.Spec.Import,
		Images:            make([]importer.ImageRequest, len(isi.Spec.Images)),
	}
	if r.NodeCredentials != nil {
		request.FallbackCredentials, _ = pullsecrets.New(nil, r.NodeCredentials)
	}
	for i := range isi.Spec.Images {
		request.Images[i] = r.imageRequest(ctx, &isi.Spec.Images[i], known)
	}
	if repository := isi.Spec.Repository; repository != nil {
		request.Repository = &importer.RepositoryRequest{
			Ref:             repository.From.Name,
			Insecure:        repository.ImportPolicy.Insecure,
			Mode:            repository.ImportPolicy.ImportMode,
			IncludeManifest: repository.IncludeManifest && !isi.Spec.Import,
		}
	}
	return request, nil
}

// credentials are those of the namespace's pull secrets, before those of the
// node. A secret that cannot be read is left out and reported: it is no reason
// to fail images that need none.
func (r *REST) credentials(ctx context.Context, namespace string) (pullsecrets.Credentials, error) {
	secrets, err := r.PullSecrets(ctx, namespace)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("reading the pull secrets of namespace %s: %w", namespace, err))
	}
	credentials, warnings := pullsecrets.New(secrets.Items, r.NodeCredentials)
	for _, w := range warnings {
		r.Warn(ctx, namespace, w)
	}
	return credentials, nil
}

func (r *REST) imageRequest(ctx context.Context, spec *imagev1.ImageImportSpec, known *imagev1.ImageStream) importer.ImageRequest {
	request := importer.ImageRequest{
		Ref:             spec.From.Name,
		Insecure:        spec.ImportPolicy.Insecure,
		Mode:            spec.ImportPolicy.ImportMode,
		IncludeManifest: spec.IncludeManifest,
	}
	if known == nil {
		return request
	}
	if tag := stream.SpecTag(known, targetTag(spec)); tag != nil {
		request.PreferArch = tag.Annotations[imageapi.AnnotationPreferArch]
		request.PreferOS = tag.Annotations[imageapi.AnnotationPreferOS]
	}
	if spec.To != nil {
		request.Known = r.knownImage(ctx, known, stream.LatestEvent(known, spec.To.Name))
	}
	return request
}

// targetTag is the tag whose annotations choose the platform: the one the image
// goes to, else the one it has upstream.
func targetTag(spec *imagev1.ImageImportSpec) string {
	if spec.To != nil {
		return spec.To.Name
	}
	ref, err := reference.Parse(spec.From.Name)
	if err != nil {
		return ""
	}
	return ref.Tag
}

// knownImage is the head of a tag of s, if its Image and all its parts are stored and
// verified, and s has more of it than the digest: else they have to be fetched again.
func (r *REST) knownImage(ctx context.Context, s *imagev1.ImageStream, head *imagev1.TagEvent) *importer.KnownImage {
	if head == nil || head.Image == "" || stream.Unproven(s, head.Image) || !r.Images.Complete(ctx, head.Image) {
		return nil
	}
	return &importer.KnownImage{Image: head.Image, DockerImageReference: head.DockerImageReference}
}
