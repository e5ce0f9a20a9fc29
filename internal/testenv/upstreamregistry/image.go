package upstreamregistry

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Format is whose media types an image has.
type Format int

// The formats: Docker's schema 2 with its manifest lists, and OCI's.
const (
	Docker Format = iota
	OCI
)

// created is when all images say they were made, so that equal ones have equal digests.
var created = time.Date(2024, time.January, 2, 3, 4, 5, 0, time.UTC)

// Image describes an image that runs the program of its platform.
type Image struct {
	Format       Format
	Platform     string // one of Platforms; "" for linux/amd64
	Env          []string
	Cmd          []string
	Labels       map[string]string
	ExposedPorts []string // "8080/tcp"
}

// Build makes the image.
func (i Image) Build(t TB) v1.Image {
	t.Helper()
	image, err := i.build()
	if err != nil {
		t.Fatalf("building an image: %v", err)
	}
	return image
}

// List is that image for each of the platforms, and a manifest list or an OCI index
// of them.
func (i Image) List(t TB, platforms ...string) v1.ImageIndex {
	t.Helper()
	listType := types.DockerManifestList
	if i.Format == OCI {
		listType = types.OCIImageIndex
	}
	list := mutate.IndexMediaType(empty.Index, listType)
	for _, platform := range platforms {
		i.Platform = platform
		parsed, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatalf("building a list of images: %v", err)
		}
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: i.Build(t), Descriptor: v1.Descriptor{Platform: parsed}})
	}
	return list
}

func (i Image) build() (v1.Image, error) {
	if i.Platform == "" {
		i.Platform = Platforms[0]
	}
	platform, err := v1.ParsePlatform(i.Platform)
	if err != nil {
		return nil, err
	}
	layers, err := i.layers()
	if err != nil {
		return nil, err
	}
	image := empty.Image
	if i.Format == OCI {
		image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	ports := map[string]struct{}{}
	for _, port := range i.ExposedPorts {
		ports[port] = struct{}{}
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: platform.Architecture,
		OS:           platform.OS,
		Created:      v1.Time{Time: created},
		RootFS:       v1.RootFS{Type: "layers"},
		Config:       v1.Config{Env: i.Env, Cmd: i.Cmd, Labels: maps.Clone(i.Labels), ExposedPorts: ports, Entrypoint: []string{"/bin/hello"}},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layers...)
}

// layers are a base that all images share and the program.
func (i Image) layers() ([]v1.Layer, error) {
	base, err := layerOf(i.Format, "base", func() (map[string][]byte, error) {
		return map[string][]byte{
			"etc/os-release": []byte("ID=hello\nNAME=\"Hello\"\nVERSION_ID=1\n"),
			"etc/passwd":     []byte("root:x:0:0:root:/root:/bin/hello\n"),
		}, nil
	})
	if err != nil {
		return nil, err
	}
	top, err := layerOf(i.Format, i.Platform, func() (map[string][]byte, error) {
		content, err := program(i.Platform)
		return map[string][]byte{"bin/hello": content}, err
	})
	return []v1.Layer{base, top}, err
}

// layers are those built in this process, by format and what they hold.
var layers = struct {
	sync.Mutex
	built map[string]v1.Layer
}{built: map[string]v1.Layer{}}

func layerOf(format Format, what string, files func() (map[string][]byte, error)) (v1.Layer, error) {
	layers.Lock()
	defer layers.Unlock()
	key := fmt.Sprint(format, " ", what)
	if layer, ok := layers.built[key]; ok {
		return layer, nil
	}
	content, err := files()
	if err != nil {
		return nil, err
	}
	archive, err := archiveOf(content)
	if err != nil {
		return nil, err
	}
	mediaType := types.DockerLayer
	if format == OCI {
		mediaType = types.OCILayer
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(opener, tarball.WithMediaType(mediaType), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	layers.built[key] = layer
	return layer, nil
}

// archiveOf is a tar of the files and the folders that hold them.
func archiveOf(files map[string][]byte) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	folders := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if folder := name[:strings.LastIndex(name, "/")+1]; !folders[folder] {
			folders[folder] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755, ModTime: created}); err != nil {
				return nil, err
			}
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(files[name])), ModTime: created}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}
