package registryclients_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"weir.dev/weir/internal/testenv/testimage"
)

// platforms are those of every image for several platforms here. The program in it is
// this machine's for both: what counts is that there are two.
var platforms = []string{"linux/amd64", "linux/arm64"}

// rootfs is a file system to make images of: busybox, and a text that tells it from
// others.
func rootfs(t testing.TB, text string) map[string][]byte {
	t.Helper()
	busybox, err := os.ReadFile(tool(t, "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"bin/busybox": busybox, "text": []byte(text)}
}

// tape is a file system as a tar file.
func tape(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"bin/busybox", "text", "more"} {
		content, there := files[name]
		if !there {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// context makes a folder to build an image from and returns its path.
func (h *home) context(name, text string) string {
	h.t.Helper()
	for file, content := range rootfs(h.t, text) {
		path := h.write(filepath.Join(name, file), string(content))
		if err := os.Chmod(path, 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	h.write(filepath.Join(name, "Containerfile"), "FROM scratch\nCOPY bin/busybox /bin/busybox\nCOPY text /text\nENTRYPOINT [\"/bin/busybox\"]\nCMD [\"cat\", \"/text\"]\n")
	return h.path(name)
}

// image is an image of OCI media types whose program prints a text.
func image(t testing.TB, platform, text string) v1.Image {
	t.Helper()
	content := tape(t, rootfs(t, text))
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	built, err := mutate.AppendLayers(base, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := built.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	p := testimage.PlatformOf(platform)
	config.OS, config.Architecture = p.OS, p.Architecture
	config.Config.Entrypoint, config.Config.Cmd = []string{"/bin/busybox"}, []string{"cat", "/text"}
	if built, err = mutate.ConfigFile(built, config); err != nil {
		t.Fatal(err)
	}
	return built
}

// index is an OCI index with an image for each of the platforms.
func index(t testing.TB, text string) v1.ImageIndex {
	t.Helper()
	list := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: image(t, p, text), Descriptor: v1.Descriptor{Platform: testimage.PlatformOf(p)}})
	}
	return list
}

// layout makes an OCI image layout with one image or index, which other clients know
// as oci:PATH:NAME, and returns that.
func (h *home) layout(name string, what mutate.Appendable) string {
	h.t.Helper()
	path, err := layout.Write(h.path(name), empty.Index)
	if err != nil {
		h.t.Fatal(err)
	}
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name})
	switch what := what.(type) {
	case v1.Image:
		err = path.AppendImage(what, named)
	case v1.ImageIndex:
		err = path.AppendIndex(what, named)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return "oci:" + h.path(name) + ":" + name
}

// execute runs the program of an unpacked image, which is linked statically and
// therefore needs nothing around it, and expects the image's text.
func execute(t testing.TB, root, text string) {
	t.Helper()
	printed, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin/busybox"), "cat", filepath.Join(root, "text")).CombinedOutput()
	if err != nil || string(printed) != text {
		t.Fatalf("the program of the unpacked image printed %q (%v), want %q", printed, err, text)
	}
}

// untar unpacks a tar file of regular files.
func untar(t testing.TB, archive, into string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg || strings.Contains(header.Name, "..") {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(into, header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
