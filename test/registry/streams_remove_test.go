package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/ociregistry/streams"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
)

func TestStreamsDeleteTag(t *testing.T) {
	ns := env.Namespace(t, "delete")
	r, other := newReplica(t), newReplica(t)
	in, m, kept := repo(t, ns, "app"), newManifest(t, 1), newManifest(t, 1)
	r.pushed(t, m.to(in, admin, "1", "2"))
	r.pushed(t, kept.to(in, admin, "3"))
	other.wantReads(t, in, m)

	fatal(t, r.DeleteTag(t.Context(), in, "1"))
	r.wantTag(t, in, "1", "")
	r.wantReads(t, in, m) // by the other tag
	fatal(t, r.DeleteTag(t.Context(), in, "2"))
	r.wantUnread(t, in, m)
	r.wantReads(t, in, kept)
	if tags, err := r.Tags(t.Context(), in); err != nil || !slices.Equal(tags, []string{"3"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	testenv.Eventually(t, "the other replica to know", func() error { return other.unread(t.Context(), in, m) })

	wantRefused(t, r.DeleteTag(t.Context(), in, "1"), "404 MANIFEST_UNKNOWN")
	wantRefused(t, r.DeleteTag(t.Context(), repo(t, ns, "none"), "1"), "404 NAME_UNKNOWN")
	wantRefused(t, r.DeleteTag(t.Context(), repo(t, "no-such-namespace", "app"), "1"), "404 NAME_UNKNOWN")
}

func TestStreamsDeleteManifest(t *testing.T) {
	ns := env.Namespace(t, "delete")
	r, other := newReplica(t), newReplica(t)
	in, old, m, kept := repo(t, ns, "app"), newManifest(t, 1), newManifest(t, 1), newManifest(t, 1)
	r.pushed(t, old.to(in, admin, "a", "c"))
	r.pushed(t, m.to(in, admin, "a", "b"))
	r.pushed(t, kept.to(in, admin, "c"))
	other.wantReads(t, in, m)

	found, err := r.DeleteManifest(t.Context(), in, m.Digest)
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	r.wantUnread(t, in, m)
	r.wantTag(t, in, "a", "") // it does not fall back
	r.wantTag(t, in, "b", "")
	r.wantTag(t, in, "c", kept.Digest)
	r.wantReads(t, in, old)
	s := getStream(t, in)
	if tags := stream.TagNames(s); !slices.Equal(tags, []string{"c"}) {
		t.Errorf("tags %v", tags)
	}
	testenv.Eventually(t, "the other replica to know", func() error { return other.unread(t.Context(), in, m) })

	found, err = r.DeleteManifest(t.Context(), in, old.Digest) // from the middle
	if got := getStream(t, in); err != nil || !found || !slices.Equal(history(got, "c"), []digest.Digest{kept.Digest}) {
		t.Errorf("%v, %v, %v", found, err, got.Status.Tags)
	}
	for what, in := range map[string]string{"of no history": "app", "of no stream": "none"} {
		if found, err := r.DeleteManifest(t.Context(), repo(t, ns, in), m.Digest); found || err != nil {
			t.Errorf("a manifest %s: %v, %v", what, found, err)
		}
	}
}

// TestStreamsDeletedManifestsAreNotImportedAgain: deleting what was imported is not
// undone by the importer.
func TestStreamsDeletedManifestsAreNotImportedAgain(t *testing.T) {
	ns := env.Namespace(t, "delete")
	upstream := testenv.NewRegistry(t)
	first := digest.Digest(upstream.Push(t, "team/app:1", testenv.OCIImage(t, "linux/amd64")))
	from := func(tag string) imagev1.TagReference {
		return imagev1.TagReference{
			Name: tag, From: &corev1.ObjectReference{Kind: "DockerImage", Name: upstream.Ref("team/app:1")}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
		}
	}
	streamsClient := env.Images.ImageV1().ImageStreams(ns)
	_, err := streamsClient.Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{from("moved")}}}, metav1.CreateOptions{})
	fatal(t, err)
	r := newReplica(t)
	in := repo(t, ns, "app")
	imported := func(tag string, want digest.Digest) {
		t.Helper()
		testenv.Eventually(t, "the import of "+tag, func() error {
			if got, err := r.Resolve(t.Context(), in, tag); err != nil || got != want {
				return fmt.Errorf("%s is %s, %w", tag, got, err)
			}
			return nil
		})
	}
	imported("moved", first)
	second := digest.Digest(upstream.Push(t, "team/app:1", testenv.OCIImage(t, "linux/amd64")))
	s := getStream(t, in)
	again := int64(0)
	s.Spec.Tags[0].Generation = &again
	s.Spec.Tags = append(s.Spec.Tags, from("alone"))
	_, err = streamsClient.Update(t.Context(), s, metav1.UpdateOptions{})
	fatal(t, err)
	imported("moved", second)
	imported("alone", second)

	found, err := r.DeleteManifest(t.Context(), in, second)
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	// The importer has seen the stream by the time it has imported another tag of it.
	s = getStream(t, in)
	if stream.SpecTag(s, "alone") != nil {
		t.Error("the order to import is there still")
	}
	s.Spec.Tags = append(s.Spec.Tags, imagev1.TagReference{
		Name: "later", From: &corev1.ObjectReference{Kind: "DockerImage", Name: upstream.Ref("team/later:1")}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	})
	later := digest.Digest(upstream.Push(t, "team/later:1", testenv.OCIImage(t, "linux/amd64")))
	_, err = streamsClient.Update(t.Context(), s, metav1.UpdateOptions{})
	fatal(t, err)
	imported("later", later)
	s = getStream(t, in)
	for _, tag := range []string{"moved", "alone"} {
		if stream.StatusTag(s, tag) != nil || stream.SpecTag(s, tag) != nil {
			t.Errorf("%s is there again: %v", tag, stream.StatusTag(s, tag))
		}
	}
	if needs := stream.ImportNeeds(s); !needs.Empty() {
		t.Errorf("the importer is asked for %v", needs)
	}
}

// TestStreamsDeletionsAndPushesAtOnce: of what is pushed while other things are deleted,
// nothing is lost, and nothing that was deleted is left.
func TestStreamsDeletionsAndPushesAtOnce(t *testing.T) {
	ns := env.Namespace(t, "delete")
	a, b := newReplica(t), newReplica(t)
	in := repo(t, ns, "app")
	const rounds = 12
	doomed, kept := make([]manifest, rounds), make([]manifest, rounds)
	for i := range rounds {
		doomed[i], kept[i] = newManifest(t, 1), newManifest(t, 1)
		a.pushed(t, doomed[i].to(in, admin, fmt.Sprintf("tag-%d", i), "latest"))
	}
	var group sync.WaitGroup
	for i := range rounds {
		group.Go(func() {
			if found, err := a.DeleteManifest(t.Context(), in, doomed[i].Digest); err != nil || !found {
				t.Errorf("deleting %d: %v, %v", i, found, err)
			}
		})
		group.Go(func() {
			if err := b.Record(t.Context(), kept[i].to(in, admin, fmt.Sprintf("tag-%d", i), "latest")); err != nil {
				t.Errorf("pushing %d: %v", i, err)
			}
		})
	}
	group.Wait()
	s := getStream(t, in)
	latest := history(s, "latest")
	for i := range rounds {
		if got := history(s, fmt.Sprintf("tag-%d", i)); !slices.Equal(got, []digest.Digest{kept[i].Digest}) {
			t.Errorf("history of tag-%d is %v", i, got)
		}
		if !slices.Contains(latest, kept[i].Digest) || slices.Contains(latest, doomed[i].Digest) {
			t.Errorf("history of latest is wrong about %d", i)
		}
		b.wantReads(t, in, kept[i])
		a.wantUnread(t, in, doomed[i])
	}
}

// removals collects what the hooks are told.
type removals struct {
	mu      sync.Mutex
	told    []string
	failing bool
}

func (r *removals) hook(kind string) func(context.Context, string) error {
	return func(_ context.Context, name string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failing {
			r.failing = false
			return errors.New("not now")
		}
		r.told = append(r.told, kind+" "+name)
		return nil
	}
}

func (r *removals) has(told string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.told, told)
}

func TestStreamsTellOfRemovals(t *testing.T) {
	ns := env.Namespace(t, "delete")
	var removed removals
	r := newReplica(t, func(o *streams.Options) {
		o.OnDeleted, o.OnNamespaceDeleted = removed.hook("stream"), removed.hook("namespace")
	})
	for _, name := range []string{"gone", "back", "with-the-namespace"} {
		r.pushed(t, newManifest(t, 1).to(repo(t, ns, name), admin, "1"))
	}
	removed.mu.Lock()
	removed.failing = true // it is tried again
	removed.mu.Unlock()
	fatal(t, env.Images.ImageV1().ImageStreams(ns).Delete(t.Context(), "gone", metav1.DeleteOptions{}))
	told := func(what string) {
		t.Helper()
		testenv.Eventually(t, what, func() error {
			if !removed.has(what) {
				return errors.New("not told")
			}
			return nil
		})
	}
	told("stream " + ns + "/gone")

	// What is there again when its removal would be told is left alone.
	fatal(t, env.Images.ImageV1().ImageStreams(ns).Delete(t.Context(), "back", metav1.DeleteOptions{}))
	_, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "back"}}, metav1.CreateOptions{})
	fatal(t, err)
	fatal(t, env.Kube.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}))
	told("stream " + ns + "/with-the-namespace")
	told("namespace " + ns)
}
