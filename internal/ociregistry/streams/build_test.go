package streams

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

const ownHost = "registry.test:5000"

var (
	epoch     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	allowAll  = policy{hosts: stream.Registries{Internal: ownHost, Former: []string{"before.test:5000"}}, pullThrough: true, mirror: true}
	testHosts = stream.Registries{Internal: ownHost, Public: "registry.example.com"}
)

// id is a digest that tests tell from others by a name.
func id(name string) digest.Digest { return digest.FromString(name) }

// at is n seconds after the epoch of these tests.
func at(n int) metav1.Time { return metav1.NewTime(epoch.Add(time.Duration(n) * time.Second)) }

// items make a tag's history, newest first; each is "image", pushed here, or
// "image=repository", imported from there. They are a second apart.
func items(newest int, texts ...string) []imagev1.TagEvent {
	var events []imagev1.TagEvent
	for i, text := range texts {
		image, repository, outside := strings.Cut(text, "=")
		if !outside {
			repository = ownHost + "/ns/app"
		}
		events = append(events, imagev1.TagEvent{
			Image: id(image).String(), DockerImageReference: repository + "@" + id(image).String(),
			Created: at(newest - i), Generation: int64(newest - i),
		})
	}
	return events
}

func tagged(tag string, items []imagev1.TagEvent) imagev1.NamedTagEventList {
	return imagev1.NamedTagEventList{Tag: tag, Items: items}
}

func imageStream(tags ...imagev1.NamedTagEventList) *imagev1.ImageStream {
	s := &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "uid", ResourceVersion: "1"},
		Status:     imagev1.ImageStreamStatus{DockerImageRepository: ownHost + "/ns/app", Tags: tags},
	}
	stream.Normalize(s)
	return s
}

func versionOf(seq uint64, s *imagev1.ImageStream) *version { return &version{stream: s, seq: seq} }

// world has Images by name and counts who asks for them.
type world struct {
	mu     sync.Mutex
	images map[string]*imagev1.Image
	asked  map[string]int
	broken error
	// during is called in the middle of each request.
	during func()
}

func newWorld(images ...*imagev1.Image) *world {
	w := &world{images: map[string]*imagev1.Image{}, asked: map[string]int{}, during: func() {}}
	w.add(images...)
	return w
}

func (w *world) add(images ...*imagev1.Image) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, img := range images {
		w.images[img.Name] = img
	}
}

// fail has requests fail from now on; nil ends that.
func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

func (w *world) get(_ context.Context, name string) (*imagev1.Image, error) {
	w.during()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[name]++
	if w.broken != nil {
		return nil, w.broken
	}
	if img := w.images[name]; img != nil {
		return img.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.Images), name)
}

// requests is how many were made since it was asked last.
func (w *world) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, asked := range w.asked {
		n += asked
	}
	clear(w.asked)
	return n
}

// plain is an image with a configuration and layers, whose digests are those of their
// names; the configuration's is NAME-config.
func plain(name string, layers ...string) *imagev1.Image {
	img := &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: id(name).String()},
		DockerImageManifestMediaType: dockerimage.MediaTypeOCIManifest,
	}
	img.DockerImageMetadata.Raw = fmt.Appendf(nil, `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":%q}`, id(name+"-config"))
	for i, layer := range layers {
		img.DockerImageLayers = append(img.DockerImageLayers, imagev1.ImageLayer{Name: id(layer).String(), LayerSize: int64(i + 1), MediaType: "layer/type"})
	}
	return img
}

// list is an index of others.
func list(name string, children ...string) *imagev1.Image {
	img := &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: id(name).String()},
		DockerImageManifestMediaType: dockerimage.MediaTypeOCIIndex,
	}
	for _, c := range children {
		img.DockerImageManifests = append(img.DockerImageManifests, imagev1.ImageManifest{
			Digest: id(c).String(), MediaType: dockerimage.MediaTypeOCIManifest, ManifestSize: 77, Architecture: "a", OS: "o",
		})
	}
	return img
}

// clock is a time that a test moves on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: epoch} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	return names
}
