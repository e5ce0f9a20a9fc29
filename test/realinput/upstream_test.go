package realinput_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"weir.dev/weir/internal/testenv/upstreamregistry"
)

// upstreamImage is what stands in the registry for a name that a stream follows.
type upstreamImage struct {
	image  v1.Image            // what a Legacy import takes
	digest string              // of that
	list   string              // the digest of the list it is part of, or ""
	parts  map[string]v1.Image // the parts of the list by architecture
}

// seed puts an image under every name into the mirror, each in another way and none
// like another, and returns by place in the mirror what a client is to find.
func seed(t *testing.T, r *upstreamregistry.Registry, names []string) map[string]upstreamImage {
	t.Helper()
	found := map[string]upstreamImage{}
	for i, name := range names {
		if _, ok := found[inMirror(name)]; ok {
			continue // the same with and without :latest
		}
		of := upstreamregistry.Image{
			Format:       upstreamregistry.Format(i % 2),
			Platform:     upstreamregistry.Platforms[i/4%4],
			Env:          []string{"PATH=/bin", "NAME=" + name},
			Cmd:          []string{"serve", fmt.Sprint(i)},
			Labels:       map[string]string{"name": name},
			ExposedPorts: []string{fmt.Sprint(8000+i, "/tcp")},
		}
		if i%4 < 2 {
			image := of.Build(t)
			found[inMirror(name)] = upstreamImage{image: image, digest: r.Put(t, image, inMirror(name))}
			continue
		}
		found[inMirror(name)] = seedList(t, r, of, name)
	}
	return found
}

func seedList(t *testing.T, r *upstreamregistry.Registry, of upstreamregistry.Image, name string) upstreamImage {
	t.Helper()
	index := of.List(t, upstreamregistry.Platforms...)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	architecture := "amd64" // what is taken where there is nothing for this machine
	if slices.Contains(upstreamregistry.Platforms, "linux/"+runtime.GOARCH) {
		architecture = runtime.GOARCH
	}
	u := upstreamImage{list: r.Put(t, index, inMirror(name)), parts: map[string]v1.Image{}}
	for _, entry := range manifest.Manifests {
		part, err := index.Image(entry.Digest)
		if err != nil {
			t.Fatal(err)
		}
		u.parts[entry.Platform.Architecture] = part
		if entry.Platform.Architecture == architecture {
			u.image, u.digest = part, entry.Digest.String()
		}
	}
	return u
}

// mirror and source are the folders of the registry that stand for the mirror and for
// the registries themselves, where there is nothing.
const mirror, source = "mirror/", "source/"

// inMirror is where the mirror has what a stream names.
func inMirror(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		name += ":latest"
	}
	return mirror + name
}

// registriesConf writes the file that sends imports from the hosts to the mirror.
func registriesConf(t *testing.T, r *upstreamregistry.Registry, hosts []string) string {
	t.Helper()
	var conf strings.Builder
	for _, host := range hosts {
		fmt.Fprintf(&conf, "[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n", host, r.Host()+"/"+source+host)
		fmt.Fprintf(&conf, "[[registry.mirror]]\nlocation = %q\ninsecure = true\n", r.Host()+"/"+mirror+host)
	}
	file := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
