package importer

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// builtImage is an Image with the data that a list needs of it.
type builtImage struct {
	image     *imagev1.Image
	mediaType string
	config    []byte // of an image other than schema 1; nil for lists
}

// newImage returns an Image with the fields common to all manifests. A list has no layers and hence
// no order of layers.
func (t *tagImport) newImage(m fetched, doc document) *imagev1.Image {
	return &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: m.digest.String()},
		DockerImageReference:         t.refTo(m.digest.String()),
		DockerImageMetadataVersion:   dockerimage.MetadataVersion10,
		DockerImageManifestMediaType: doc.mediaType,
	}
}

// imageOf returns the Image of a manifest that is not a list.
func (t *tagImport) imageOf(ctx context.Context, m fetched, doc document) (builtImage, error) {
	ref := t.name(m.digest)
	image := t.newImage(m, doc)
	image.Annotations = map[string]string{imagev1.DockerImageLayersOrderAnnotation: imagev1.DockerImageLayersOrderAscending}
	built := builtImage{image: image, mediaType: doc.mediaType}

	layers, metadata := doc.layers, doc.metadata
	var config []byte
	if doc.kind == kindImage {
		var err error
		if config, err = t.config(ctx, ref, doc.config); err != nil {
			return builtImage{}, err
		}
		metadata = dockerimage.Describe(doc.config.foreign(), config, layers)
	}
	if metadata.Size == 0 && len(layers) > 0 { // the manifest has no sizes
		var err error
		if layers, err = t.requestSizes(ctx, ref, layers); err != nil {
			return builtImage{}, err
		}
		metadata.Size = dockerimage.Size(doc.config.Digest.String(), int64(len(config)), layers)
	}
	image.DockerImageLayers = layers
	if err := dockerimage.SetMetadata(image, metadata); err != nil {
		return builtImage{}, &refError{ref: ref, err: err}
	}
	if err := t.checkSize(image, ref); err != nil {
		return builtImage{}, err
	}
	t.setText(image, m.bytes, config)
	built.config = config
	return built, nil
}

func configPart(config descriptor) string { return fmt.Sprintf("config %s", config.Digest) }

// config reads the config of the image ref and counts it.
func (t *tagImport) config(ctx context.Context, ref string, d descriptor) ([]byte, error) {
	body, err := t.repository.config(ctx, d)
	if err == nil {
		err = t.charge(0, len(body))
	}
	if err != nil {
		return nil, &refError{ref: ref, part: configPart(d), err: err}
	}
	return body, nil
}

// requestSizes returns layers with sizes from the registry, with one request for each distinct layer.
func (t *tagImport) requestSizes(ctx context.Context, ref string, layers []imagev1.ImageLayer) ([]imagev1.ImageLayer, error) {
	sizes := map[string]int64{}
	var names []string
	for _, l := range layers {
		if _, ok := sizes[l.Name]; !ok {
			sizes[l.Name] = 0
			names = append(names, l.Name)
		}
	}
	if len(names) > maxSizedLayers {
		return nil, &refError{ref: ref, err: contentErrorf("it has %d layers without a size, more than %d", len(names), maxSizedLayers)}
	}
	answers := make([]int64, len(names))
	err := forEach(ctx, len(names), t.options.Concurrency, ref, func(i int) (err error) {
		if answers[i], err = t.repository.blobSize(ctx, digest.Digest(names[i])); err != nil {
			err = &refError{ref: ref, part: fmt.Sprintf("size of layer %s", names[i]), err: err}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		sizes[name] = answers[i]
	}
	sized := slices.Clone(layers) // parsed documents may be shared
	for i := range sized {
		sized[i].LayerSize = sizes[sized[i].Name]
	}
	return sized, nil
}

// maxSizedLayers bounds the HEADs that one image may cost.
const maxSizedLayers = maxSchema1Layers

// checkSize rejects an Image that is too large for the store. It must be called before text is
// added, since stored images have none.
func (t *tagImport) checkSize(image *imagev1.Image, ref string) error {
	if size, limit := image.Size(), int(t.options.Limits.ImageSize); size > limit {
		return &refError{
			ref: ref,
			err: contentErrorf("its description (layers, configuration, manifests) would take %d bytes, more than %d", size, limit),
		}
	}
	return nil
}

// setText adds manifest and config. It omits a config that is not valid text, as of some artifacts.
func (t *tagImport) setText(image *imagev1.Image, manifest, config []byte) {
	if t.withoutText {
		return
	}
	image.DockerImageManifest = string(manifest)
	if utf8.Valid(config) {
		image.DockerImageConfig = string(config)
	}
}
