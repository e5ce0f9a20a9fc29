package chaos_test

import (
	"bytes"
	"context"

	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/testenv/testimage"
)

// push pushes all of an image.
func (c registryClient) push(ctx context.Context, how way, repo, tag string, i testimage.Raw) error {
	for _, blob := range i.Blobs() {
		if err := c.upload(ctx, how, repo, blob); err != nil {
			return err
		}
	}
	return c.putManifest(ctx, repo, tag, i)
}

func (c registryClient) putManifest(ctx context.Context, repo, reference string, i testimage.Raw) error {
	_, err := c.want(ctx, http.StatusCreated, http.MethodPut, manifestOf(repo, reference), bytes.NewReader(i.Manifest),
		"Content-Type", ocispec.MediaTypeImageManifest)
	return err
}

// pull pulls all of an image by a tag or a digest, and compares everything with its
// digest. It returns that of the manifest.
func (c registryClient) pull(ctx context.Context, repo, reference string) (digest.Digest, error) {
	reply, err := c.want(ctx, http.StatusOK, http.MethodGet, manifestOf(repo, reference), nil)
	if err != nil {
		return "", err
	}
	d := digest.FromBytes(reply.body)
	if told := reply.header.Get("Docker-Content-Digest"); told != d.String() || strings.Contains(reference, ":") && reference != told {
		return "", fmt.Errorf("manifest %s of %s is %s and is served as %s", reference, repo, d, told)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(reply.body, &m); err != nil {
		return "", fmt.Errorf("manifest %s of %s: %w", reference, repo, err)
	}
	for _, part := range append(m.Layers, m.Config) {
		content, err := c.content(ctx, blobOf(repo, part.Digest), part.Digest)
		if err != nil {
			return "", fmt.Errorf("%s of %s: %w", reference, repo, err)
		}
		if int64(len(content)) != part.Size {
			return "", fmt.Errorf("%s of %s: blob %s has %d bytes, the manifest says %d", reference, repo, part.Digest, len(content), part.Size)
		}
	}
	return d, nil
}

// wantImage pulls an image that has to be there.
func (c registryClient) wantImage(t *testing.T, repo, reference string, i testimage.Raw) {
	t.Helper()
	if got, err := c.pull(t.Context(), repo, reference); err != nil || got != i.Digest {
		t.Errorf("pulling %s of %s, which is %s: %s, %v", reference, repo, i.Digest, got, err)
	}
}
