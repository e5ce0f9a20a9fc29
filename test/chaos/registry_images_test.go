package chaos_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layered is an image of layers that are not compressed.
type layered struct {
	layers   [][]byte
	config   []byte
	manifest []byte
	digest   digest.Digest
}

// newLayered is an image like no other, of layers that may be in others too.
func newLayered(layers ...[]byte) layered {
	config := ocispec.Image{Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"}, Author: rand.Text()}
	config.RootFS.Type = "layers"
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	for _, layer := range layers {
		m.Layers = append(m.Layers, describe(ocispec.MediaTypeImageLayer, layer))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
	}
	i := layered{layers: layers, config: encoded(config)}
	m.Config = describe(ocispec.MediaTypeImageConfig, i.config)
	i.manifest = encoded(m)
	i.digest = digest.FromBytes(i.manifest)
	return i
}

func describe(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

func encoded(document any) []byte {
	content, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return content
}

// noise is content that nobody has.
func noise(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content) // it never fails
	return content
}

// blobs are all that the manifest refers to.
func (i layered) blobs() [][]byte { return append([][]byte{i.config}, i.layers...) }

// push pushes all of an image.
func (c registryClient) push(ctx context.Context, how way, repo, tag string, i layered) error {
	for _, blob := range i.blobs() {
		if err := c.upload(ctx, how, repo, blob); err != nil {
			return err
		}
	}
	return c.putManifest(ctx, repo, tag, i)
}

func (c registryClient) putManifest(ctx context.Context, repo, reference string, i layered) error {
	_, err := c.want(ctx, http.StatusCreated, http.MethodPut, manifestOf(repo, reference), bytes.NewReader(i.manifest),
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
func (c registryClient) wantImage(t *testing.T, repo, reference string, i layered) {
	t.Helper()
	if got, err := c.pull(t.Context(), repo, reference); err != nil || got != i.digest {
		t.Errorf("pulling %s of %s, which is %s: %s, %v", reference, repo, i.digest, got, err)
	}
}
