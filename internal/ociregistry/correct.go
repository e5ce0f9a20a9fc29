package ociregistry

import (
	"context"
	"slices"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/reference"
)

// correctImage corrects the Image of a manifest that was fetched and verified, if it lists
// other parts or is a claim. A failure is logged and not returned: the registry goes by
// the manifest.
func (x *exchange) correctImage(ctx context.Context, repo reference.Repository, m *storedManifest, w Wanted) {
	image, err := x.Directory.Image(ctx, m.digest)
	if err == nil && (image == nil || !image.Claimed && image.lists(partsOf(m.digest, m.content))) {
		return
	}
	if err == nil {
		err = x.correct(ctx, repo, m, w)
	}
	if err != nil {
		klog.ErrorS(err, "Correcting an Image that differs from its manifest failed", "image", m.digest, "repository", repo.String())
	}
}

func (x *exchange) correct(ctx context.Context, repo reference.Repository, m *storedManifest, w Wanted) error {
	parsed, err := parseManifest(m.content, m.mediaType)
	if err != nil {
		return err
	}
	config, err := x.configOf(ctx, repo, parsed)
	if err != nil {
		return err
	}
	return x.Directory.Correct(ctx, Push{
		Repository: repo, Digest: m.digest, MediaType: m.mediaType, Manifest: m.content, Config: config,
	}, w.Sources[0].Ref.WithID(m.digest.String()).String())
}

// lists reports whether an Image lists exactly the parts of a manifest.
func (i *Image) lists(m *Image) bool {
	return slices.Equal(digestsOf(i.Blobs), digestsOf(m.Blobs)) && slices.Equal(digestsOf(i.Children), digestsOf(m.Children))
}

// digestsOf returns the digests of parts, sorted and without duplicates.
func digestsOf(parts []Part) []digest.Digest {
	digests := make([]digest.Digest, len(parts))
	for i := range parts {
		digests[i] = parts[i].Digest
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}
