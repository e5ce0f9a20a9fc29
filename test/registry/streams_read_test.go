package registry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
)

func TestStreamsWarmReadsAskNobody(t *testing.T) {
	ns := env.Namespace(t, "read")
	writer, reader := newReplica(t), newReplica(t)
	in, m := repo(t, ns, "app"), newManifest(t, 5)
	writer.pushed(t, m.to(in, admin, "1"))
	writer.requests()
	writer.wantReads(t, in, m)
	writer.wantTag(t, in, "1", m.Digest)
	writer.wantRequests(t, "reading what was pushed here")

	testenv.Eventually(t, "the watch to tell", func() error {
		reader.requests()
		_, err := reader.Resolve(t.Context(), in, "1")
		if asked := reader.requests(); err != nil || len(asked) > 0 {
			return fmt.Errorf("asked %v, %w", asked, err)
		}
		return nil
	})
	reader.wantReads(t, in, m)
	reader.wantRequests(t, "reading what others pushed", "GET images=1")
	for range 10 {
		reader.wantReads(t, in, m)
		reader.wantTag(t, in, "1", m.Digest)
	}
	reader.wantRequests(t, "reading it again")
	if holders := reader.HoldersOf(m.layers[0]); len(holders) != 1 || holders[0] != in {
		t.Errorf("holders %v", holders)
	}
}

// TestStreamsSeeOthersWritesAtOnce: what others wrote is read by whoever asks for it
// next, however far behind the watch is.
func TestStreamsSeeOthersWritesAtOnce(t *testing.T) {
	ns := env.Namespace(t, "read")
	writer, reader := newReplica(t), newReplica(t)
	for range 20 {
		in, m := repo(t, ns, fmt.Sprintf("app-%d", serial.Add(1))), newManifest(t, 1)
		writer.pushed(t, m.to(in, admin, "1"))
		reader.wantTag(t, in, "1", m.Digest)
		reader.wantReads(t, in, m)
	}
}

// TestStreamsTaggedElsewhere: a tag copied into another stream makes its image readable
// there, and only there.
func TestStreamsTaggedElsewhere(t *testing.T) {
	ns, other := env.Namespace(t, "read"), env.Namespace(t, "read")
	r := newReplica(t)
	from, to, m := repo(t, ns, "app"), repo(t, other, "copy"), newManifest(t, 2)
	r.pushed(t, m.to(from, admin, "1"))
	r.pushed(t, newManifest(t, 1).to(to, admin, "own"))
	r.wantUnread(t, to, m)
	_, err := env.Images.ImageV1().ImageStreamTags(other).Create(t.Context(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: "copy:1"},
		Tag:        &imagev1.TagReference{From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: ns, Name: "app:1"}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	testenv.Eventually(t, "the copy to be readable", func() error { return r.reads(t.Context(), to, m) })
	r.wantTag(t, to, "1", m.Digest)

	fatal(t, env.Images.ImageV1().ImageStreamTags(other).Delete(t.Context(), "copy:1", metav1.DeleteOptions{}))
	testenv.Eventually(t, "the copy to be gone", func() error { return r.unread(t.Context(), to, m) })
	r.wantTag(t, to, "1", "")
	r.wantReads(t, from, m)
}

func TestStreamsThatGoAndComeBack(t *testing.T) {
	ns := env.Namespace(t, "read")
	r := newReplica(t)
	in, first, second := repo(t, ns, "app"), newManifest(t, 1), newManifest(t, 1)
	r.pushed(t, first.to(in, admin, "1"))
	fatal(t, env.Images.ImageV1().ImageStreams(ns).Delete(t.Context(), "app", metav1.DeleteOptions{}))
	testenv.Eventually(t, "the stream to be gone", func() error {
		if _, err := r.Resolve(t.Context(), in, "1"); refused(err) != "404 NAME_UNKNOWN" {
			return fmt.Errorf("got %w", err)
		}
		return r.unread(t.Context(), in, first)
	})
	if _, err := r.Tags(t.Context(), in); refused(err) != "404 NAME_UNKNOWN" {
		t.Errorf("tags: %v", err)
	}
	r.pushed(t, second.to(in, admin, "2"))
	r.wantReads(t, in, second)
	r.wantUnread(t, in, first)
	r.wantTag(t, in, "1", "")
}

// TestStreamsWithImagesThatAreGone: an image whose Image was deleted cannot be read, and
// keeps nothing else from being read.
func TestStreamsWithImagesThatAreGone(t *testing.T) {
	ns := env.Namespace(t, "read")
	writer := newReplica(t)
	in, gone, old, head := repo(t, ns, "app"), newManifest(t, 2), newManifest(t, 2), newManifest(t, 2)
	child, sibling := newManifest(t, 1), newManifest(t, 1)
	index := newIndex(t, child.Push, sibling.Push)
	for _, m := range []manifest{child, sibling} {
		writer.pushed(t, m.to(in, admin))
	}
	for _, m := range []manifest{gone, old, index, head} {
		writer.pushed(t, m.to(in, admin, "1"))
	}
	for _, m := range []manifest{gone, child} {
		fatal(t, env.Images.ImageV1().Images().Delete(t.Context(), m.Digest.String(), metav1.DeleteOptions{}))
	}
	r := newReplica(t)
	for _, m := range []manifest{old, index, head, sibling} {
		r.wantReads(t, in, m)
	}
	r.wantUnread(t, in, gone)
	r.wantUnread(t, in, child)
}

// TestStreamsWithLongHistories: what a client pulls is found without looking at all that
// was ever pushed; the rest is looked at when it is needed, once.
func TestStreamsWithLongHistories(t *testing.T) {
	const revisions = 1000
	ns := env.Namespace(t, "read")
	writer := newReplica(t)
	in := repo(t, ns, "app")
	manifests := make([]manifest, revisions)
	var making errgroup.Group
	making.SetLimit(16)
	for i := range manifests {
		manifests[i] = newManifest(t, 10)
		making.Go(func() error { return writer.Record(t.Context(), manifests[i].to(in, admin)) })
	}
	fatal(t, making.Wait())
	head := newManifest(t, 10)
	writer.pushed(t, head.to(in, admin, "latest"))
	s := getStream(t, in)
	for i, m := range manifests {
		s.Status.Tags[0].Items = append(s.Status.Tags[0].Items, imagev1.TagEvent{
			Created: metav1.NewTime(time.Now().Add(-time.Duration(i+1) * time.Minute)), Generation: 1,
			Image: m.Digest.String(), DockerImageReference: env.Registry() + "/" + in.Key() + "@" + m.Digest.String(),
		})
	}
	_, err := env.Images.ImageV1().ImageStreams(ns).UpdateStatus(t.Context(), s, metav1.UpdateOptions{})
	fatal(t, err)

	r := newReplica(t)
	r.wantReads(t, in, head)
	r.wantRequests(t, "a cold pull of the head", "GET images=1")
	r.wantReads(t, in, manifests[revisions-1])
	r.wantRequests(t, "a cold pull of the oldest", "GET images=1")
	if _, err := r.Blob(t.Context(), in, manifests[revisions/2].layers[3]); err != nil {
		t.Error(err)
	}
	r.wantUnread(t, in, newManifest(t, 1))
	if asked := r.requests(); asked["GET images"] != revisions-1 || asked["GET imagestreams"] > 2 {
		t.Errorf("looking at all of the history took %v", asked)
	}
	for i := 0; i < revisions; i += 50 {
		r.wantReads(t, in, manifests[i])
	}
	r.wantRequests(t, "looking again")

	next := newManifest(t, 10)
	r.pushed(t, next.to(in, admin, "latest"))
	r.wantReads(t, in, next)
	r.wantReads(t, in, manifests[700])
	r.wantRequests(t, "one more push", "POST imagestreammappings=1", "GET imagestreams=1")

	found, err := r.DeleteManifest(t.Context(), in, manifests[700].Digest)
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	r.requests()
	r.wantUnread(t, in, manifests[700])
	r.wantReads(t, in, manifests[699])
	if asked := r.requests(); asked["GET images"] != 0 {
		t.Errorf("after a deletion, %v were asked for again", asked)
	}
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
	r.wantReads(t, in, known)
	r.wantTag(t, in, "known", known.Digest)
	for what, err := range map[string]error{
		"stream":   second(r.Resolve(t.Context(), repo(t, ns, "none"), "1")),
		"manifest": second(r.Manifest(t.Context(), in, unknown.Digest)),
		"blob":     second(r.Blob(t.Context(), in, unknown.config)),
		"push":     r.Record(t.Context(), newManifest(t, 1).to(in, admin, "2")),
		"delete":   r.DeleteTag(t.Context(), in, "known"),
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
	r.wantReads(t, in, unknown)
	r.wantTag(t, in, "none", "")
}

func second[T any](_ T, err error) error { return err }

// TestStreamsTellWhereImportsCameFrom imports from a real registry.
func TestStreamsTellWhereImportsCameFrom(t *testing.T) {
	ns := env.Namespace(t, "read")
	upstream := testenv.NewRegistry(t)
	image := upstream.Push(t, "team/app:1", testenv.OCIImage(t, "linux/amd64"))
	list, children := testenv.List(t, "linux/amd64", "linux/arm64")
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
	wantSources(t, r.Manifest, in, image, app)
	wantSources(t, r.Manifest, in, children[1], multi)
	stored, err := env.Images.ImageV1().Images().Get(t.Context(), image, metav1.GetOptions{})
	fatal(t, err)
	layer := stored.DockerImageLayers[0].Name
	wantSources(t, r.Blob, in, layer, app, multi)

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
	eventuallySources(t, r.Manifest, in, image, upstream.Ref("team/app")+" insecure")
	annotate("weir.dev/pull-through", "disabled")
	off := upstream.Ref("team/app") + " insecure off"
	eventuallySources(t, r.Blob, in, layer, off)
	eventuallySources(t, r.Manifest, in, image, off)
	wantSources(t, r.Manifest, in, children[0], multi)
}

type lookup = func(ctx context.Context, in reference.Repository, d digest.Digest) (ociregistry.Origin, error)

func shownSources(t *testing.T, look lookup, in reference.Repository, d string) []string {
	t.Helper()
	origin, err := look(t.Context(), in, digest.Digest(d))
	fatal(t, err)
	var texts []string
	for _, s := range origin.Sources {
		text := s.Ref.String()
		if s.Insecure {
			text += " insecure"
		}
		if s.Off {
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
