package upstreamregistry_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"weir.dev/weir/internal/testenv/upstreamregistry"
)

var hello = upstreamregistry.Image{
	Env: []string{"A=b"}, Cmd: []string{"serve"}, Labels: map[string]string{"l": "m"}, ExposedPorts: []string{"8080/tcp"},
}

func parse(t *testing.T, ref string, options ...name.Option) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref, options...)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestImagesAreWholeForClients pulls every kind of image and checks all its digests.
func TestImagesAreWholeForClients(t *testing.T) {
	r := upstreamregistry.Start(t)
	for _, c := range []struct {
		name         string
		format       upstreamregistry.Format
		image, list  types.MediaType
		layer, parts types.MediaType
	}{
		{"docker", upstreamregistry.Docker, types.DockerManifestSchema2, types.DockerManifestList, types.DockerLayer, types.DockerManifestSchema2},
		{"oci", upstreamregistry.OCI, types.OCIManifestSchema1, types.OCIImageIndex, types.OCILayer, types.OCIManifestSchema1},
	} {
		t.Run(c.name, func(t *testing.T) {
			of := hello
			of.Format = c.format
			single := r.Put(t, of.Build(t), c.name+"/single:1", "another/"+c.name+":2")
			list := r.Put(t, of.List(t, upstreamregistry.Platforms...), c.name+"/list:1")

			for _, ref := range []string{c.name + "/single:1", "another/" + c.name + ":2"} {
				image, err := remote.Image(parse(t, r.Host()+"/"+ref))
				if err != nil {
					t.Fatal(err)
				}
				wantImage(t, image, single, c.image, c.layer)
			}
			index, err := remote.Index(parse(t, r.Host()+"/"+c.name+"/list:1"))
			if err != nil {
				t.Fatal(err)
			}
			wantList(t, index, list, c.list, c.parts)
		})
	}
}

func wantImage(t *testing.T, image v1.Image, digest string, mediaType, layerType types.MediaType) {
	t.Helper()
	wantWhole(t, image, digest, mediaType)
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{Env: hello.Env, Cmd: hello.Cmd, Labels: hello.Labels, Entrypoint: []string{"/bin/hello"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}}
	if diff := cmp.Diff(want, config.Config); diff != "" || config.Architecture != "amd64" {
		t.Errorf("architecture %q, config (-want +got):\n%s", config.Architecture, diff)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	if got, _ := layers[1].MediaType(); got != layerType {
		t.Errorf("layer of type %s, want %s", got, layerType)
	}
}

func wantList(t *testing.T, index v1.ImageIndex, digest string, mediaType, partType types.MediaType) {
	t.Helper()
	wantWhole(t, index, digest, mediaType)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range manifest.Manifests {
		got = append(got, entry.Platform.String())
		if entry.MediaType != partType {
			t.Errorf("part of type %s, want %s", entry.MediaType, partType)
		}
	}
	if diff := cmp.Diff(upstreamregistry.Platforms, got); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

func wantWhole(t *testing.T, what mutate.Appendable, digest string, mediaType types.MediaType) {
	t.Helper()
	if got, err := what.MediaType(); err != nil || got != mediaType {
		t.Errorf("media type %s, %v; want %s", got, err, mediaType)
	}
	if got, err := what.Digest(); err != nil || got.String() != digest {
		t.Errorf("digest %s, %v; want %s", got, err, digest)
	}
}

// TestProgramRuns runs what is in the image for this machine.
func TestProgramRuns(t *testing.T) {
	of := hello
	of.Platform = "linux/" + runtime.GOARCH
	if runtime.GOOS != "linux" {
		of.Platform = runtime.GOOS + "/" + runtime.GOARCH
	}
	content := mutate.Extract(of.Build(t))
	defer content.Close()
	dir := t.TempDir()
	untar := exec.Command("tar", "-xf", "-", "-C", dir)
	untar.Stdin = content
	if output, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	output, err := exec.Command(filepath.Join(dir, "bin/hello")).CombinedOutput()
	if want := "hello from " + runtime.GOOS + " " + runtime.GOARCH + "\n"; err != nil || string(output) != want {
		t.Errorf("said %q, %v; want %q", output, err, want)
	}
	if release, err := os.ReadFile(filepath.Join(dir, "etc/os-release")); err != nil || !strings.HasPrefix(string(release), "ID=hello") {
		t.Errorf("os-release %q, %v", release, err)
	}
}

func TestRequestsAreCountedAndCanBeAnswered(t *testing.T) {
	r := upstreamregistry.Start(t)
	r.Put(t, hello.Build(t), "a/b:1")
	if n := r.Count("", ""); n != 0 {
		t.Errorf("putting made %d requests", n)
	}
	ref := parse(t, r.Host()+"/a/b:1")
	if _, err := remote.Head(ref); err != nil {
		t.Fatal(err)
	}
	if heads, gets := r.Count(http.MethodHead, "/a/b/manifests/1"), r.Count(http.MethodGet, "/manifests/"); heads != 1 || gets != 0 {
		t.Errorf("%d HEAD and %d GET, want 1 and 0", heads, gets)
	}
	r.On("/manifests/", func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	if _, err := remote.Head(ref); err == nil {
		t.Error("the hook did not answer")
	}
	r.Off()
	r.Forget()
	if _, err := remote.Head(ref); err != nil || r.Count("", "/manifests/") != 1 {
		t.Errorf("%d requests after Forget, %v", r.Count("", "/manifests/"), err)
	}
}

func TestTLSNeedsTheRegistrysAuthority(t *testing.T) {
	r := upstreamregistry.StartTLS(t)
	r.Put(t, hello.Build(t), "a/b:1")
	if _, err := http.Get("https://" + r.Host() + "/v2/"); err == nil { //nolint:bodyclose // there is no answer
		t.Error("a client without the authority was content")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(r.CA()) {
		t.Fatal("the authority is no PEM")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	for _, host := range []string{r.Host(), strings.Replace(r.Host(), "127.0.0.1", "localhost", 1)} {
		if _, err := remote.Head(parse(t, host+"/a/b:1"), remote.WithTransport(transport)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}
