// Package controllertest provides a small world for tests of controllers: image streams
// under the real rules of internal/stream (generations, history, conditions), an
// upstream that a test breaks and mends, and an informer over both. There is no network
// and no clock of its own, so whole controllers run inside testing/synctest.
package controllertest

import (
	"context"
	"slices"
	"sync"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	cachetesting "k8s.io/client-go/tools/cache/testing"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// Upstream answers for a pull spec: the name of the image there is, or how asking fails.
type Upstream func(pullSpec string) (image string, failure *metav1.Status)

// Post is a requested import.
type Post struct {
	At   time.Time
	Why  importrequest.Why
	Name types.NamespacedName
	Tags []string // of spec.images, in order
}

// World holds image streams. Its methods are safe for concurrent use.
type World struct {
	Informer cache.SharedIndexInformer
	// Secrets is an informer of the metadata of pull secrets.
	Secrets cache.SharedIndexInformer

	source, secrets *cachetesting.FakeControllerSource

	mu       sync.Mutex
	streams  map[types.NamespacedName]*imagev1.ImageStream
	upstream Upstream
	latency  time.Duration
	refusal  error // of the next imports as a whole
	posts    []Post
	writes   int
	statuses int
	begin    func(Post)
}

// New makes a world without streams whose upstream has an image for everything.
func New() *World {
	w := &World{
		source:   cachetesting.NewFakeControllerSource(),
		secrets:  cachetesting.NewFakeControllerSource(),
		streams:  map[types.NamespacedName]*imagev1.ImageStream{},
		upstream: func(ref string) (string, *metav1.Status) { return Image(ref), nil },
	}
	w.Informer = cache.NewSharedIndexInformer(listWatch{w.source}, &imagev1.ImageStream{}, 0, cache.Indexers{})
	w.Secrets = cache.NewSharedIndexInformer(listWatch{w.secrets}, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	return w
}

// Run runs the informers until ctx ends and nothing of the world is left running.
func (w *World) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { w.Informer.RunWithContext(ctx) })
	running.Go(func() { w.Secrets.RunWithContext(ctx) })
	running.Wait()
	w.source.Broadcaster.Shutdown()
	w.secrets.Broadcaster.Shutdown()
}

// WriteSecret makes a pull secret, or changes it.
func (w *World) WriteSecret(namespace, name string) {
	w.secrets.Modify(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// Image is the name of the image that a new world's upstream has for a pull spec.
func Image(pullSpec string) string { return "sha256:image-of-" + pullSpec }

type listWatch struct {
	*cachetesting.FakeControllerSource
}

func (listWatch) IsWatchListSemanticsUnSupported() bool { return true }

// The reflector hands out what it is given; the source keeps the same objects.
func (l listWatch) Watch(o metav1.ListOptions) (watch.Interface, error) {
	inner, err := l.FakeControllerSource.Watch(o)
	if err != nil {
		return nil, err
	}
	return watch.Filter(inner, func(e watch.Event) (watch.Event, bool) {
		return watch.Event{Type: e.Type, Object: e.Object.DeepCopyObject()}, true
	}), nil
}

func (l listWatch) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.FakeControllerSource.List(o)
}

// SetUpstream changes what upstream answers, and how long it takes for an import.
func (w *World) SetUpstream(latency time.Duration, u Upstream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency, w.upstream = latency, u
}

// Refuse has imports fail as a whole; nil ends that.
func (w *World) Refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusal = err
}

// OnPost calls f at the begin of every import.
func (w *World) OnPost(f func(Post)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin = f
}

// Posts are the imports so far.
func (w *World) Posts() []Post {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.posts)
}

// Writes is how many writes of streams there were so far, StatusWrites how many of
// those went through imagestreams/status.
func (w *World) Writes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// StatusWrites counts the writes through imagestreams/status.
func (w *World) StatusWrites() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.statuses
}

// Apply creates a stream or changes its spec and annotations, as a client would.
func (w *World) Apply(s *imagev1.ImageStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s = s.DeepCopy()
	key := keyOf(s)
	old := w.streams[key]
	if old == nil {
		stream.PrepareCreate(s)
		s.UID = types.UID(key.String())
	} else {
		s.UID = old.UID
		stream.PrepareUpdate(s, old)
	}
	w.store(s, old)
}

// Put stores a stream as it is.
func (w *World) Put(s *imagev1.ImageStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.store(s.DeepCopy(), w.streams[keyOf(s)])
}

// Delete removes a stream.
func (w *World) Delete(namespace, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	w.source.Delete(w.streams[key].DeepCopy())
	delete(w.streams, key)
}

// Stream reads a stream that the caller may change.
func (w *World) Stream(namespace, name string) (*imagev1.ImageStream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.streams[types.NamespacedName{Namespace: namespace, Name: name}]
	if s == nil {
		return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.ImageStreams), name)
	}
	return s.DeepCopy(), nil
}

// StreamsOf are those of a namespace.
func (w *World) StreamsOf(namespace string) ([]*imagev1.ImageStream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*imagev1.ImageStream
	for key, s := range w.streams {
		if key.Namespace == namespace {
			all = append(all, s.DeepCopy())
		}
	}
	return all, nil
}

// Live is Stream with the signature of a client.
func (w *World) Live(_ context.Context, namespace, name string) (*imagev1.ImageStream, error) {
	return w.Stream(namespace, name)
}

// WriteStatus writes imagestreams/status.
func (w *World) WriteStatus(_ context.Context, s *imagev1.ImageStream) (*imagev1.ImageStream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, err := w.at(keyOf(s), s.ResourceVersion)
	if err != nil {
		return nil, err
	}
	s = s.DeepCopy()
	stream.PrepareStatusUpdate(s, old)
	w.statuses++
	w.store(s, old)
	return s.DeepCopy(), nil
}

// Import is the server's side of an import.
func (w *World) Import(ctx context.Context, isi *imagev1.ImageStreamImport, why importrequest.Why) (*imagev1.ImageStreamImport, error) {
	post := Post{At: time.Now(), Why: why, Name: types.NamespacedName{Namespace: isi.Namespace, Name: isi.Name}}
	for i := range isi.Spec.Images {
		post.Tags = append(post.Tags, isi.Spec.Images[i].To.Name)
	}
	w.mu.Lock()
	w.posts = append(w.posts, post)
	begin, latency, refusal := w.begin, w.latency, w.refusal
	_, err := w.at(post.Name, isi.ResourceVersion)
	w.mu.Unlock()
	if begin != nil {
		begin(post)
	}
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return w.finish(isi.DeepCopy(), post.Name)
}

func (w *World) finish(isi *imagev1.ImageStreamImport, key types.NamespacedName) (*imagev1.ImageStreamImport, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range isi.Spec.Images {
		isi.Status.Images = append(isi.Status.Images, w.ask(isi.Spec.Images[i].From.Name))
	}
	old, err := w.at(key, isi.ResourceVersion)
	if err != nil {
		return nil, err
	}
	s := old.DeepCopy()
	if stream.ApplyImport(s, stream.OutcomeOf(isi, metav1.Now())) {
		stream.PrepareUpdateWithStatus(s, old)
		w.store(s, old)
	}
	isi.Status.Import = w.streams[key].DeepCopy()
	return isi, nil
}

func (w *World) ask(ref string) imagev1.ImageImportStatus {
	image, failure := w.upstream(ref)
	if failure != nil {
		return imagev1.ImageImportStatus{Status: *failure}
	}
	return imagev1.ImageImportStatus{
		Status: metav1.Status{Status: metav1.StatusSuccess},
		Image:  &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: image}, DockerImageReference: ref + "@" + image},
	}
}

// at is the stream, if it still has that resourceVersion.
func (w *World) at(key types.NamespacedName, version string) (*imagev1.ImageStream, error) {
	s := w.streams[key]
	if s == nil {
		return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.ImageStreams), key.Name)
	}
	if version != s.ResourceVersion {
		return nil, apierrors.NewConflict(imageapi.Resource(imageapi.SingularImageStream), key.Name, nil)
	}
	return s, nil
}

func (w *World) store(s, old *imagev1.ImageStream) {
	if old != nil {
		s.ResourceVersion = old.ResourceVersion
	}
	if old != nil && equality.Semantic.DeepEqual(s, old) {
		return
	}
	w.writes++
	if old == nil {
		w.source.Add(s)
	} else {
		w.source.Modify(s)
	}
	w.streams[keyOf(s)] = s
}

func keyOf(s *imagev1.ImageStream) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

// ImageStream makes a stream ns/name with tags.
func ImageStream(name string, tags ...imagev1.TagReference) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: imagev1.ImageStreamSpec{Tags: tags}}
	stream.Normalize(s)
	return s
}

// Tag makes a spec tag that names an image in a registry.
func Tag(name, from string) imagev1.TagReference {
	return imagev1.TagReference{Name: name, From: &corev1.ObjectReference{Kind: stream.KindDockerImage, Name: from}}
}

// Failure makes the status of an image that cannot be imported. retryAfter is in seconds.
func Failure(reason metav1.StatusReason, message string, retryAfter int32) *metav1.Status {
	status := &metav1.Status{Status: metav1.StatusFailure, Reason: reason, Message: message}
	if retryAfter > 0 {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
	}
	return status
}
