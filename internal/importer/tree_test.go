package importer

import (
	"context"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

// treeStore is repository content in memory, by digest. The fuzz target uses it where starting a
// registry for each of a million inputs would leave nothing of the fuzzing.
type treeStore map[digest.Digest]string

func (s treeStore) add(content string) digest.Digest {
	d := digest.FromString(content)
	s[d] = content
	return d
}

type treeRegistries struct{ store treeStore }

func (r treeRegistries) Repository(reference.PullSpec, bool, pullsecrets.Credentials) (Repository, error) {
	return r.store, nil
}

func (s treeStore) Manifest(_ context.Context, d string) (upstream.Manifest, error) {
	content, ok := s[digest.Digest(d)]
	if !ok {
		return upstream.Manifest{}, &upstream.Error{Code: upstream.CodeManifestUnknown}
	}
	return upstream.Manifest{Descriptor: upstream.Descriptor{Digest: digest.Digest(d)}, Bytes: []byte(content)}, nil
}

func (s treeStore) Head(ctx context.Context, d string) (upstream.Descriptor, error) {
	m, err := s.Manifest(ctx, d)
	return m.Descriptor, err
}

func (s treeStore) Blob(_ context.Context, d digest.Digest, _ int64) ([]byte, error) {
	return []byte(s[d]), nil
}

func (s treeStore) BlobSize(_ context.Context, d digest.Digest) (int64, error) {
	return int64(len(s[d])), nil
}

func (s treeStore) Tags(context.Context) ([]string, error) { return nil, nil }
