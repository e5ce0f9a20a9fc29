package upstream

import (
	"context"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
)

// Repository is one repository of one registry with what a request brought
// along: its credentials and whether it may be insecure. It is cheap, holds
// nothing to close and is safe for concurrent use.
type Repository struct {
	client   *Client
	name     reference.PullSpec // as the caller spelled it, for error texts
	spec     reference.PullSpec // with defaults, for rules and contact
	insecure bool
	creds    pullsecrets.Credentials
	rules    *registryrules.Rules
	// byTag has digests follow the rules for tags: they are parts of what a tag names,
	// and the mirrors that have it have them.
	byTag bool
}

// Descriptor describes a manifest of a registry.
type Descriptor struct {
	// Digest is the digest of the content; verified when content was fetched.
	Digest digest.Digest
	// MediaType is the Content-Type without parameters, in lower case; "" when
	// there is none or it is no media type.
	MediaType string
	// Size is the content's length in bytes, -1 when a HEAD did not say.
	Size int64
	// Source is the host/repository that answered: a mirror or the source.
	Source string
}

// Manifest is a manifest with its content, verified against Digest.
type Manifest struct {
	Descriptor
	// Bytes is the content; treat it as read-only, it is shared by callers that
	// asked at the same time. Of a signed schema 1 manifest it is the signed
	// payload, which is what the digest is of.
	Bytes []byte
}

// Head returns the digest of a tag, or of a digest that exists: one HEAD when
// the login is known, and a GET where the answer to that is of no use, so that
// a failure is that of a GET. Sources are tried in the order of the rules.
func (r *Repository) Head(ctx context.Context, tagOrDigest string) (Descriptor, error) {
	return fetch(ctx, r, tagOrDigest, func(ctx context.Context, s *source) (Descriptor, error) {
		return s.head(ctx)
	})
}

// Manifest fetches a manifest and verifies it: against the digest when asked
// by one, and against the Docker-Content-Digest header when there is one.
func (r *Repository) Manifest(ctx context.Context, tagOrDigest string) (Manifest, error) {
	return fetch(ctx, r, tagOrDigest, func(ctx context.Context, s *source) (Manifest, error) {
		return s.manifest(ctx)
	})
}

// Blob fetches a blob of at most maxBytes bytes (0 means Limits.Blob) and
// verifies its digest. The bytes are shared by callers that asked at the same
// time: treat them as read-only.
func (r *Repository) Blob(ctx context.Context, d digest.Digest, maxBytes int64) ([]byte, error) {
	if maxBytes <= 0 {
		maxBytes = int64(r.client.opts.Limits.ConfigSize)
	}
	return fetch(ctx, r, d.String(), func(ctx context.Context, s *source) ([]byte, error) {
		return s.blob(ctx, maxBytes)
	})
}

// BlobSize returns the size of a blob, in bytes.
func (r *Repository) BlobSize(ctx context.Context, d digest.Digest) (int64, error) {
	return fetch(ctx, r, d.String(), func(ctx context.Context, s *source) (int64, error) {
		return s.blobSize(ctx, -1)
	})
}

// Tags lists the tags of the repository in the registry's order. Only the
// source is used, never a mirror. Names that cannot be tags are left out,
// the empty one is kept.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	plan := r.rules.Plan(r.spec)
	if plan.Source == nil {
		return nil, r.blockedError(r.name.String(), plan)
	}
	return fetchFrom(ctx, r.candidatesAt([]registryrules.Source{*plan.Source}, r.name.String()), func(ctx context.Context, src *source) ([]string, error) {
		return src.listTags(ctx)
	})
}
