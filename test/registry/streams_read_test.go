package registry_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

func TestStreamsWarmReadsAskNobody(t *testing.T) {
	ns := env.Namespace(t, "read")
	writer, reader := newReplica(t), newReplica(t)
	in, m := repo(t, ns, "app"), newManifest(t, 5)
	writer.pushed(t, m.to(in, admin, "1"))
	writer.requests()
	read := func(r *replica) blobstore.Repository {
		t.Helper()
		r.wantDescribed(t, m)
		r.wantTag(t, in, "1", m.Digest)
		return r.stream(t, in, false).Repository()
	}
	here := read(writer)
	writer.wantRequests(t, "reading what was pushed here")

	testenv.Eventually(t, "the watch to tell", func() error {
		reader.requests()
		_, err := reader.Resolve(t.Context(), in, "1")
		if asked := reader.requests(); err != nil || len(asked) > 0 {
			return fmt.Errorf("asked %v, %w", asked, err)
		}
		return nil
	})
	if there := read(reader); there != here || here.Name != in.Key() || here.Stream != string(getStream(t, in).UID) || here.Namespace == "" {
		t.Errorf("the repository is %+v and %+v", here, there)
	}
	reader.wantRequests(t, "reading what others pushed", "GET images=1")
	for range 10 {
		read(reader)
	}
	reader.wantRequests(t, "reading it again")
}

// TestStreamsSeeOthersWritesAtOnce: what others wrote is read by whoever asks for it
// next, however far behind the watch is.
func TestStreamsSeeOthersWritesAtOnce(t *testing.T) {
	ns := env.Namespace(t, "read")
	writer, reader := newReplica(t), newReplica(t)
	for range 20 {
		in, m := repo(t, ns, fmt.Sprintf("app-%d", serial.Add(1))), newManifest(t, 1)
		made := writer.pushed(t, m.to(in, admin, "1"))
		reader.wantTag(t, in, "1", m.Digest)
		reader.wantDescribed(t, m)
		if got := reader.stream(t, in, true).Repository(); got != made.Repository() {
			t.Errorf("the repository is %+v, want %+v", got, made.Repository())
		}
	}
}

// TestStreamsTaggedElsewhere: the directory knows where a tag was copied from, as long as
// the copy is there, and which streams have copies.
func TestStreamsTaggedElsewhere(t *testing.T) {
	ns, other := env.Namespace(t, "read"), env.Namespace(t, "read")
	r := newReplica(t)
	from, to, m := repo(t, ns, "app"), repo(t, other, "copy"), newManifest(t, 2)
	source := r.pushed(t, m.to(from, admin, "1")).Repository()
	target := r.pushed(t, newManifest(t, 1).to(to, admin, "own")).Repository()
	copies := func(n int) func() error {
		return func() error {
			s := r.stream(t, to, false)
			if images, sources, of := s.Copied(), s.CopiedFrom(m.Digest), r.CopiesOf(source); len(images) != n || len(sources) != n || len(of) != n {
				return fmt.Errorf("copied %v from %v, copies %v", images, sources, of)
			}
			return nil
		}
	}
	fatal(t, copies(0)())
	_, err := env.Images.ImageV1().ImageStreamTags(other).Create(t.Context(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: "copy:1"},
		Tag:        &imagev1.TagReference{From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: ns, Name: "app:1"}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	testenv.Eventually(t, "the copy to be known", copies(1))
	r.wantTag(t, to, "1", m.Digest)
	s := r.stream(t, to, false)
	source.Namespace = ""
	if got := s.CopiedFrom(m.Digest); s.Copied()[0] != m.Digest || got[0] != source {
		t.Errorf("%v is copied from %+v, want %+v", s.Copied(), got, source)
	}
	if got := r.CopiesOf(source)[0]; got.To.Name != target.Name || got.To.Stream != target.Stream || !slices.Equal(got.Images, []digest.Digest{m.Digest}) {
		t.Errorf("copies %+v", got)
	}

	fatal(t, env.Images.ImageV1().ImageStreamTags(other).Delete(t.Context(), "copy:1", metav1.DeleteOptions{}))
	testenv.Eventually(t, "the copy to be gone", copies(0))
	r.wantTag(t, to, "1", "")
}

func TestStreamsThatGoAndComeBack(t *testing.T) {
	ns := env.Namespace(t, "read")
	r := newReplica(t)
	in := repo(t, ns, "app")
	first := r.pushed(t, newManifest(t, 1).to(in, admin, "1")).Repository()
	fatal(t, env.Images.ImageV1().ImageStreams(ns).Delete(t.Context(), "app", metav1.DeleteOptions{}))
	testenv.Eventually(t, "the stream to be gone", func() error {
		if _, err := r.Resolve(t.Context(), in, "1"); refused(err) != "404 NAME_UNKNOWN" {
			return fmt.Errorf("got %w", err)
		}
		if now := r.stream(t, in, false).Repository(); now.Stream != "" || now.Namespace != first.Namespace {
			return fmt.Errorf("the repository is %+v", now)
		}
		return nil
	})
	if _, err := r.tags(t.Context(), in); refused(err) != "404 NAME_UNKNOWN" {
		t.Errorf("tags: %v", err)
	}
	next := r.pushed(t, newManifest(t, 1).to(in, admin, "2")).Repository()
	if next.Stream == first.Stream || next.Stream == "" || next.Namespace != first.Namespace {
		t.Errorf("the repository was %+v and is %+v", first, next)
	}
	r.wantTag(t, in, "1", "")
}

// TestStreamsWithLongHistories: the length of a history costs no requests.
func TestStreamsWithLongHistories(t *testing.T) {
	const revisions = 1000
	ns := env.Namespace(t, "read")
	writer := newReplica(t)
	in, head := repo(t, ns, "app"), newManifest(t, 10)
	writer.pushed(t, head.to(in, admin, "latest"))
	s := getStream(t, in)
	older := make([]digest.Digest, revisions)
	for i := range older {
		older[i] = unique("manifest")
		s.Status.Tags[0].Items = append(s.Status.Tags[0].Items, imagev1.TagEvent{
			Created: metav1.NewTime(time.Now().Add(-time.Duration(i+1) * time.Minute)), Generation: 1,
			Image: older[i].String(), DockerImageReference: "quay.io/team/app@" + older[i].String(),
		})
	}
	_, err := env.Images.ImageV1().ImageStreams(ns).UpdateStatus(t.Context(), s, metav1.UpdateOptions{})
	fatal(t, err)

	r := newReplica(t)
	r.wantDescribed(t, head)
	r.wantRequests(t, "a cold pull of the head", "GET images=1")
	known := r.stream(t, in, false)
	if imported := known.Imported(); !slices.Equal(imported, older) {
		t.Errorf("%d images are imported, want %d from new to old", len(imported), revisions)
	}
	r.wantRequests(t, "the view of the history")
	next := newManifest(t, 10)
	r.pushed(t, next.to(in, admin, "latest"))
	r.wantDescribed(t, next)
	r.wantRequests(t, "one more push", "POST imagestreammappings=1", "GET imagestreams=1")

	found, err := r.DeleteManifest(t.Context(), in, older[700])
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	r.requests()
	if imported := r.stream(t, in, false).Imported(); len(imported) != revisions-1 || slices.Contains(imported, older[700]) {
		t.Errorf("%d images are imported after a deletion", len(imported))
	}
	r.wantRequests(t, "the view after a deletion")
}

// TestStreamsWithImagesThatAreGone: an Image that was deleted is not there for those who
// did not know it.
func TestStreamsWithImagesThatAreGone(t *testing.T) {
	ns := env.Namespace(t, "read")
	in, gone := repo(t, ns, "app"), newManifest(t, 2)
	newReplica(t).pushed(t, gone.to(in, admin, "1"))
	fatal(t, env.Images.ImageV1().Images().Delete(t.Context(), gone.Digest.String(), metav1.DeleteOptions{}))
	r := newReplica(t)
	if image, err := r.Image(t.Context(), gone.Digest); err != nil || image != nil {
		t.Errorf("%+v, %v", image, err)
	}
	r.wantTag(t, in, "1", gone.Digest)
}

// TestStreamsWhileTheAPIIsAway: what is known goes on being read, the rest is trouble and
// not a 404, and all is well again when the API is.
func TestStreamsWhileTheAPIIsAway(t *testing.T) {
	ns := env.Namespace(t, "read")
	r := newReplica(t)
	in, known, unknown := repo(t, ns, "app"), newManifest(t, 1), newManifest(t, 1)
	newReplica(t).pushed(t, unknown.to(in, admin, "unknown"))
	r.pushed(t, known.to(in, admin, "known"))
	r.cut.Store(true)
	r.wantDescribed(t, known)
	r.wantTag(t, in, "known", known.Digest)
	r.stream(t, in, false)
	for what, err := range map[string]error{
		"tag":       second(r.Resolve(t.Context(), repo(t, ns, "none"), "1")),
		"stream":    second(r.Stream(t.Context(), repo(t, ns, "none"), false)),
		"now":       second(r.Fresh(t.Context(), in)),
		"namespace": second(r.Stream(t.Context(), repo(t, "no-such-namespace", "app"), false)),
		"image":     second(r.Image(t.Context(), unknown.Digest)),
		"push":      second(r.Record(t.Context(), newManifest(t, 1).to(in, admin, "2"))),
		"delete":    r.DeleteTag(t.Context(), in, "known"),
	} {
		if refused(err) != "503 UNAVAILABLE" {
			t.Errorf("%s: %v", what, err)
		}
	}
	testenv.Eventually(t, "what was read a moment ago to be old", func() error {
		if _, err := r.Resolve(t.Context(), in, "none"); refused(err) != "503 UNAVAILABLE" {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	r.cut.Store(false)
	r.wantDescribed(t, unknown)
	r.wantTag(t, in, "none", "")
}

func second[T any](_ T, err error) error { return err }

// TestStreamsTellWhereImportsCameFrom imports from a real registry.
func TestStreamsTellWhereImportsCameFrom(t *testing.T) {
	ns := env.Namespace(t, "read")
	upstream := testenv.NewRegistry(t)
	image := upstream.Push(t, "team/app:1", testimage.OCIImage(t, "linux/amd64"))
	list, _ := testimage.List(t, "linux/amd64", "linux/arm64")
	index := upstream.Push(t, "team/multi:1", list)
	_, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
			{Name: "1", From: &corev1.ObjectReference{Kind: "DockerImage", Name: upstream.Ref("team/app:1")}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true}},
			{Name: "multi", From: &corev1.ObjectReference{Kind: "DockerImage", Name: upstream.Ref("team/multi:1")}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true, ImportMode: imagev1.ImportModePreserveOriginal}},
		}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	r := newReplica(t)
	in := repo(t, ns, "app")
	testenv.Eventually(t, "the imports", func() error {
		for tag, want := range map[string]string{"1": image, "multi": index} {
			if got, err := r.Resolve(t.Context(), in, tag); err != nil || got.String() != want {
				return fmt.Errorf("%s is %s, %w", tag, got, err)
			}
		}
		return nil
	})
	app, multi := upstream.Ref("team/app")+" insecure mirrored", upstream.Ref("team/multi")+" insecure mirrored"
	wantSources(t, r.manifestSources, in, image, app)
	wantSources(t, r.manifestSources, in, index, multi)
	wantSources(t, r.blobSources, in, image, app, multi)

	annotate := func(name, value string) {
		t.Helper()
		tags := env.Images.ImageV1().ImageStreamTags(ns)
		tag, err := tags.Get(t.Context(), "app:1", metav1.GetOptions{})
		fatal(t, err)
		metav1.SetMetaDataAnnotation(&tag.ObjectMeta, name, value)
		tag.Tag.Annotations, tag.ResourceVersion = tag.Annotations, ""
		_, err = tags.Update(t.Context(), tag, metav1.UpdateOptions{})
		fatal(t, err)
		testenv.Eventually(t, "the annotation", func() error {
			if got := stream.SpecTag(getStream(t, in), "1").Annotations[name]; got != value {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
	}
	annotate("weir.dev/mirror", "disabled")
	eventuallySources(t, r.manifestSources, in, image, upstream.Ref("team/app")+" insecure")
	annotate("weir.dev/pull-through", "disabled")
	off := upstream.Ref("team/app") + " insecure off"
	eventuallySources(t, r.blobSources, in, image, off)
	eventuallySources(t, r.manifestSources, in, image, off)
	wantSources(t, r.manifestSources, in, index, multi)
}

// lookup is where an image of a stream, or its blobs, may be fetched from.
type lookup = func(t *testing.T, in reference.Repository, image digest.Digest) []ociregistry.Source

func (r *replica) manifestSources(t *testing.T, in reference.Repository, image digest.Digest) []ociregistry.Source {
	return r.stream(t, in, false).ManifestSources([]digest.Digest{image})
}

func (r *replica) blobSources(t *testing.T, in reference.Repository, image digest.Digest) []ociregistry.Source {
	return r.stream(t, in, false).BlobSources([]digest.Digest{image})
}

func shownSources(t *testing.T, look lookup, in reference.Repository, image string) []string {
	t.Helper()
	var texts []string
	for _, s := range look(t, in, digest.Digest(image)) {
		text := s.Ref.String()
		if s.Insecure {
			text += " insecure"
		}
		if s.Disabled {
			text += " off"
		}
		if s.Mirror {
			text += " mirrored"
		}
		texts = append(texts, text)
	}
	return texts
}

func wantSources(t *testing.T, look lookup, in reference.Repository, d string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, shownSources(t, look, in, d)); diff != "" {
		t.Errorf("sources of %s: %s", d, diff)
	}
}

func eventuallySources(t *testing.T, look lookup, in reference.Repository, d string, want ...string) {
	t.Helper()
	testenv.Eventually(t, "the sources to change", func() error {
		if diff := cmp.Diff(want, shownSources(t, look, in, d)); diff != "" {
			return fmt.Errorf("sources of %s: %s", d, diff)
		}
		return nil
	})
}
