package streams

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/stream"
)

// cluster is an API that has streams and namespaces, and counts what is read.
type cluster struct {
	mu      sync.Mutex
	objects map[string]any // by path
	reads   map[string]int
}

const (
	pathOfStream    = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams/app"
	pathOfNamespace = "/api/v1/namespaces/ns"
)

func newCluster() *cluster { return &cluster{objects: map[string]any{}, reads: map[string]int{}} }

// put has the API have ns/app with a UID, version and tags.
func (c *cluster) put(uid types.UID, resourceVersion string, tags ...imagev1.NamedTagEventList) *imagev1.ImageStream {
	s := imageStream(tags...)
	s.TypeMeta = metav1.TypeMeta{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStream"}
	s.UID, s.ResourceVersion = uid, resourceVersion
	c.set(pathOfStream, s)
	return s.DeepCopy()
}

// putNamespace has the API have the namespace ns.
func (c *cluster) putNamespace(uid types.UID, created metav1.Time) {
	c.set(pathOfNamespace, &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{Name: "ns", UID: uid, CreationTimestamp: created},
	})
}

// set has the API have an object at a path; nil is none.
func (c *cluster) set(path string, object any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[path] = object
}

// count is how often a path was read since the last call.
func (c *cluster) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.reads[path]
	delete(c.reads, path)
	return n
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads[r.URL.Path]++
	object := c.objects[r.URL.Path]
	w.Header().Set("Content-Type", "application/json")
	if object == nil {
		resource := corev1.Resource("namespaces")
		if strings.HasPrefix(r.URL.Path, "/apis/") {
			resource = streamsResource
		}
		w.WriteHeader(http.StatusNotFound)
		status := apierrors.NewNotFound(resource, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]).ErrStatus
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		object = status
	}
	_ = json.NewEncoder(w).Encode(object)
}

// over is a directory over a cluster, whose watch told that there is no stream yet.
func over(t testing.TB, c *cluster) (*Directory, *clock) {
	t.Helper()
	time := newClock()
	d := directory(t, c.ServeHTTP, func(o *Options) { o.Now = time.Now })
	_ = d.known.Replace(nil, "1")
	return d, time
}

func mustStream(t testing.TB, get func(context.Context) (ociregistry.Stream, error)) ociregistry.Stream {
	t.Helper()
	s, err := get(t.Context())
	fatal(t, err)
	return s
}

func TestStream(t *testing.T) {
	c := newCluster()
	d, clock := over(t, c)
	stream := func(live bool) ociregistry.Stream {
		t.Helper()
		return mustStream(t, func(ctx context.Context) (ociregistry.Stream, error) { return d.Stream(ctx, repository, live) })
	}
	want := func(s ociregistry.Stream, want blobstore.Repository, imported ...digest.Digest) {
		t.Helper()
		if want.Name = "ns/app"; s.Repository() != want || !slices.Equal(s.Imported(), imported) || len(s.Copied()) > 0 {
			t.Errorf("%+v with imports %v and copies %v, want %+v with %v", s.Repository(), s.Imported(), s.Copied(), want, imported)
		}
	}
	none := stream(false)
	want(none, blobstore.Repository{})
	if !none.Since().IsZero() || none.Version() != 0 || none.CopiedFrom(id("x")) != nil || none.BlobSources([]digest.Digest{id("x")}) != nil {
		t.Errorf("a stream that does not exist has %v, %d", none.Since(), none.Version())
	}

	c.putNamespace("namespace", at(7))
	clock.pass(freshFor)
	empty := stream(false)
	want(empty, blobstore.Repository{Namespace: "namespace"})
	if !empty.Since().Equal(at(7).Time) || empty.Version() != 0 {
		t.Errorf("since %v, version %d", empty.Since(), empty.Version())
	}

	first := c.put("first", "5", tagged("1", items(1, "x=quay.io/team/app")))
	_ = d.known.Update(first)
	known := stream(false)
	want(known, blobstore.Repository{Stream: "first", Namespace: "namespace"}, id("x"))
	c.count(pathOfStream)

	c.put("second", "6", tagged("1", items(1, "y=quay.io/team/app")))
	clock.pass(freshFor)
	want(stream(false), blobstore.Repository{Stream: "first", Namespace: "namespace"}, id("x"))
	live := stream(true)
	want(live, blobstore.Repository{Stream: "second", Namespace: "namespace"}, id("y"))
	want(stream(true), blobstore.Repository{Stream: "second", Namespace: "namespace"}, id("y"))
	want(known, blobstore.Repository{Stream: "first", Namespace: "namespace"}, id("x")) // it is not changed
	if n := c.count(pathOfStream); n != 1 {
		t.Errorf("the API was asked %d times in a moment, want once", n)
	}
	versions := []uint64{empty.Version(), known.Version(), live.Version()}
	if slices.Sort(versions); len(slices.Compact(versions)) != 3 {
		t.Errorf("versions %v, want three", versions)
	}
	if again := stream(false); again.Version() != live.Version() {
		t.Errorf("one version is %d and %d", live.Version(), again.Version())
	}
}

// TestFresh: what the registry removes links for has to be true, so the API is asked each
// time.
func TestFresh(t *testing.T) {
	c := newCluster()
	d, _ := over(t, c)
	want := func(want blobstore.Repository) {
		t.Helper()
		s := mustStream(t, func(ctx context.Context) (ociregistry.Stream, error) { return d.Fresh(ctx, repository) })
		if want.Name = "ns/app"; s.Repository() != want {
			t.Errorf("%+v, want %+v", s.Repository(), want)
		}
		if streams, namespaces := c.count(pathOfStream), c.count(pathOfNamespace); streams != 1 || namespaces != 1 {
			t.Errorf("%d reads of the stream, %d of the namespace, want one of each", streams, namespaces)
		}
	}
	want(blobstore.Repository{})
	c.putNamespace("one", at(1))
	putNamespace(t, d, "ns", "stale", at(0))
	c.put("first", "5")
	want(blobstore.Repository{Stream: "first", Namespace: "one"})
	c.put("second", "6")
	c.putNamespace("two", at(2))
	want(blobstore.Repository{Stream: "second", Namespace: "two"})
	c.set(pathOfStream, nil)
	want(blobstore.Repository{Namespace: "two"})
	c.set(pathOfNamespace, nil)
	want(blobstore.Repository{})
}

// withCopies is a version of a stream with copies of images from others.
func withCopies(namespace, name string, uid types.UID, sources ...stream.CopySource) *imagev1.ImageStream {
	var images []string
	for _, source := range sources {
		images = append(images, source.Images...)
	}
	s := imageStream(tagged("1", items(len(images), images...)))
	s.Namespace, s.Name, s.UID = namespace, name, uid
	for i := range sources {
		sources[i].Images = nil
		for _, image := range images {
			sources[i].Images = append(sources[i].Images, id(image).String())
		}
	}
	stream.SetCopySources(s, sources)
	return s
}

func from(repository string, uid types.UID, images ...string) stream.CopySource {
	return stream.CopySource{Repository: repository, UID: uid, Images: images}
}

func TestCopiedFrom(t *testing.T) {
	d, clock := over(t, newCluster())
	source := imageStream()
	source.Name, source.UID = "source", "present"
	_ = d.known.Replace([]any{source}, "1")
	for name, test := range map[string]struct {
		source stream.CopySource
		want   []blobstore.Repository
	}{
		"the present stream":               {from("ns/source", "present", "x"), []blobstore.Repository{{Name: "ns/source", Stream: "present"}}},
		"an earlier stream of the name":    {from("ns/source", "earlier", "x"), []blobstore.Repository{{Name: "ns/source", Stream: "earlier"}}},
		"a stream that is gone":            {from("ns/gone", "earlier", "x"), []blobstore.Repository{{Name: "ns/gone", Stream: "earlier"}}},
		"without UID":                      {from("ns/source", "", "x"), []blobstore.Repository{{Name: "ns/source", Stream: "present"}}},
		"without UID, which is gone":       {from("ns/gone", "", "x"), nil},
		"without UID or a valid name":      {from("source", "", "x"), nil},
		"another image than that of a tag": {from("ns/source", "present", "y"), []blobstore.Repository{{Name: "ns/source", Stream: "present"}}},
	} {
		t.Run(name, func(t *testing.T) {
			image := id(test.source.Images[0])
			found := d.view(repository, versionOf(uint64(clock.Now().UnixNano()), withCopies("ns", "app", "uid", test.source)), nil)
			clock.pass(1)
			if got := found.CopiedFrom(image); !slices.Equal(got, test.want) {
				t.Errorf("copied from %+v, want %+v", got, test.want)
			}
			if got := found.CopiedFrom(id("other")); got != nil {
				t.Errorf("another image is copied from %+v", got)
			}
		})
	}
}

func TestCopiesOf(t *testing.T) {
	d, _ := over(t, newCluster())
	_ = d.known.Replace([]any{
		withCopies("a", "copy", "a", from("ns/app", "uid", "x", "y")),
		withCopies("b", "legacy", "b", from("ns/app", "", "x")),
		withCopies("c", "earlier", "c", from("ns/app", "another", "x")),
		withCopies("d", "similar", "d", from("ns/apps", "uid", "x"), from("other-ns/app", "uid")),
		withCopies("e", "several", "e", from("ns/app", "uid", "x"), from("other/app", "uid")),
		imageStream(),
	}, "1")
	copies := d.CopiesOf(blobstore.Repository{Name: "ns/app", Stream: "uid", Namespace: "namespace"})
	slices.SortFunc(copies, func(a, b ociregistry.Copy) int { return cmp.Compare(a.To.Name, b.To.Name) })
	want := []ociregistry.Copy{
		{To: blobstore.Repository{Name: "a/copy", Stream: "a"}, Images: []digest.Digest{id("x"), id("y")}},
		{To: blobstore.Repository{Name: "b/legacy", Stream: "b"}, Images: []digest.Digest{id("x")}},
		{To: blobstore.Repository{Name: "e/several", Stream: "e"}, Images: []digest.Digest{id("x")}},
	}
	if diff := gocmp.Diff(want, copies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if copies := d.CopiesOf(blobstore.Repository{Name: "ns/none", Stream: "uid"}); len(copies) != 0 {
		t.Errorf("copies of a stream without any: %+v", copies)
	}
}

func TestHistoriesAreReadOnceForEachVersion(t *testing.T) {
	h := newHistories(allowAll, nil)
	first := h.of(app, versionOf(1, imageStream()))
	if h.of(app, versionOf(1, imageStream())) != first {
		t.Error("a version was read again")
	}
	if h.of(app, versionOf(2, imageStream())) == first {
		t.Error("another version has the history of the first")
	}
	second := h.of(app, versionOf(2, imageStream()))
	if h.drop(app); h.of(app, versionOf(2, imageStream())) == second {
		t.Error("a history outlives its stream")
	}
}
