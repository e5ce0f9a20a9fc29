package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layer is a blob with its digest, computed before anything is measured.
type layer struct {
	content []byte
	digest  digest.Digest
}

// newLayer is content like no other, which nothing can compress.
func newLayer(size int) layer {
	content := make([]byte, size)
	r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for i := 0; i+8 <= size; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			content[i+j] = byte(v >> (8 * j))
		}
	}
	return layer{content, digest.FromBytes(content)}
}

func newLayers(n, size int) []layer {
	layers := make([]layer, n)
	for i := range layers {
		layers[i] = newLayer(size)
	}
	return layers
}

// picture is an image to push: its layers, its configuration and its manifest.
type picture struct {
	layers   []layer
	config   layer
	manifest layer
}

// newPicture makes an image of layers. Its configuration is of ordinary size.
func newPicture(layers []layer) (picture, error) {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/opt/app", "VERSION=1.2.3", "LANG=C.UTF-8"}
	config.Config.Labels = map[string]string{"org.opencontainers.image.source": "https://git.example.com/shop/web", "org.opencontainers.image.version": "1.2.3"}
	config.RootFS.Type = "layers"
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.digest)
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: l.digest, Size: int64(len(l.content))})
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return picture{}, err
	}
	p := picture{layers: layers, config: layer{raw, digest.FromBytes(raw)}}
	manifest.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: p.config.digest, Size: int64(len(raw))}
	if raw, err = json.Marshal(manifest); err != nil {
		return picture{}, err
	}
	p.manifest = layer{raw, digest.FromBytes(raw)}
	return p, nil
}

// push pushes an image as clients do: it asks for each blob and uploads those that are
// missing with POST, PATCH and PUT; the manifest comes last.
func (p *peer) push(ctx context.Context, repository, tag string, image picture) error {
	for _, l := range append([]layer{image.config}, image.layers...) {
		if err := p.pushBlob(ctx, repository, l); err != nil {
			return err
		}
	}
	_, err := p.ask(ctx, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, repository, ocispec.MediaTypeImageManifest, image.manifest.content, http.StatusCreated)
	return err
}

func (p *peer) pushBlob(ctx context.Context, repository string, l layer) error {
	head, err := p.ask(ctx, http.MethodHead, "/v2/"+repository+"/blobs/"+l.digest.String(), repository, "", nil, http.StatusOK, http.StatusNotFound)
	if err != nil || head.status == http.StatusOK {
		return err
	}
	started, err := p.ask(ctx, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", repository, "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	sent, err := p.ask(ctx, http.MethodPatch, started.header.Get("Location"), repository, "application/octet-stream", l.content, http.StatusAccepted)
	if err != nil {
		return err
	}
	location := sent.header.Get("Location")
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	_, err = p.ask(ctx, http.MethodPut, location+separator+"digest="+l.digest.String(), repository, "", nil, http.StatusCreated)
	return err
}

// layersAtATime is how many blobs of an image a client pulls at a time.
const layersAtATime = 4

// pull pulls an image by tag: its manifest, then its configuration and layers, some at
// a time. What arrives is compared with its digest, as every client does, and thrown
// away.
func (p *peer) pull(ctx context.Context, repository, tag string, image picture) error {
	got, err := p.ask(ctx, http.MethodGet, "/v2/"+repository+"/manifests/"+tag, repository, "", nil, http.StatusOK)
	if err == nil && got.bytes != int64(len(image.manifest.content)) {
		err = fmt.Errorf("%s served a manifest of %d bytes, want %d", p.name, got.bytes, len(image.manifest.content))
	}
	if err != nil {
		return err
	}
	blobs := append([]layer{image.config}, image.layers...)
	_, err = parallel(layersAtATime, len(blobs), func(i int) error { return p.pullBlob(ctx, repository, blobs[i]) })
	return err
}

func (p *peer) pullBlob(ctx context.Context, repository string, l layer) error {
	hash := sha256.New()
	_, err := p.askInto(ctx, hash, http.MethodGet, "/v2/"+repository+"/blobs/"+l.digest.String(), repository, "", nil, http.StatusOK)
	if err == nil && digest.NewDigest(digest.SHA256, hash) != l.digest {
		err = errors.New(p.name + " served another blob than was pushed")
	}
	return err
}
