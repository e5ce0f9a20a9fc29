package streams

import (
	"context"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/reference"
)

// Signatures implements ociregistry.Directory. They are read each time: unlike the
// image they may change. CodeNameUnknown without the stream, CodeManifestUnknown when it
// does not lead to the image.
func (d *Directory) Signatures(ctx context.Context, repo reference.Repository, m digest.Digest) ([]imagev1.ImageSignature, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	name := reference.JoinStreamImage(repo.Stream, m.String())
	image, err := d.api.images.ImageStreamImages(repo.Namespace).Get(ctx, name, getOptions)
	switch {
	case err == nil:
		return image.Image.Signatures, nil
	case missing(err, repo.Stream):
		return nil, nameUnknown(repo)
	case missing(err, name), missing(err, m.String()):
		return nil, manifestUnknown(repo, "digest", m.String())
	}
	return nil, unavailable(err, "reading the signatures of "+repo.String()+"@"+m.String())
}

// AddSignature implements ociregistry.Directory. CodeSignatureInvalid,
// CodeSignatureExists, CodeManifestUnknown without the image, CodeDenied when the user
// may not.
func (d *Directory) AddSignature(ctx context.Context, u user.Info, signature *imagev1.ImageSignature) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	client, err := d.api.as(u)
	if err != nil {
		return unavailable(err, "adding signature "+signature.Name)
	}
	if _, err := client.ImageSignatures().Create(ctx, signature, metav1.CreateOptions{}); err != nil {
		return signatureRefusal(err, signature.Name)
	}
	return nil
}
