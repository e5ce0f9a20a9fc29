package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry/streams"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// leadsNowhere reports whether a stream has no such tag.
func (r *replica) leadsNowhere(ctx context.Context, in reference.Repository, tag string) error {
	if head, err := r.Resolve(ctx, in, tag); refused(err) != "404 MANIFEST_UNKNOWN" {
		return fmt.Errorf("%s:%s leads to %s, %w", in, tag, head, err)
	}
	return nil
}

func TestStreamsDeleteTag(t *testing.T) {
	ns := env.Namespace(t, "delete")
	r, other := newReplica(t), newReplica(t)
	in, m, kept := repo(t, ns, "app"), newManifest(t, 1), newManifest(t, 1)
	r.pushed(t, m.to(in, admin, "1", "2"))
	r.pushed(t, kept.to(in, admin, "3"))
	other.wantTag(t, in, "2", m.Digest)

	fatal(t, r.DeleteTag(t.Context(), in, "1"))
	r.wantTag(t, in, "1", "")
	r.wantTag(t, in, "2", m.Digest)
	fatal(t, r.DeleteTag(t.Context(), in, "2"))
	r.wantTag(t, in, "2", "")
	if tags, err := r.tags(t.Context(), in); err != nil || !slices.Equal(tags, []string{"3"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	testenv.Eventually(t, "the other replica to know", func() error { return other.leadsNowhere(t.Context(), in, "2") })

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
	other.wantTag(t, in, "b", m.Digest)

	found, err := r.DeleteManifest(t.Context(), in, m.Digest)
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	r.wantTag(t, in, "a", "") // it does not fall back
	r.wantTag(t, in, "b", "")
	r.wantTag(t, in, "c", kept.Digest)
	s := getStream(t, in)
	if tags := stream.TagNames(s); !slices.Equal(tags, []string{"c"}) {
		t.Errorf("tags %v", tags)
	}
	testenv.Eventually(t, "the other replica to know", func() error { return other.leadsNowhere(t.Context(), in, "b") })

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
	first := digest.Digest(upstream.Push(t, "team/app:1", testimage.OCIImage(t, "linux/amd64")))
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
	second := digest.Digest(upstream.Push(t, "team/app:1", testimage.OCIImage(t, "linux/amd64")))
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
	later := digest.Digest(upstream.Push(t, "team/later:1", testimage.OCIImage(t, "linux/amd64")))
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
			if _, err := b.Record(t.Context(), kept[i].to(in, admin, fmt.Sprintf("tag-%d", i), "latest")); err != nil {
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
		b.wantTag(t, in, fmt.Sprintf("tag-%d", i), kept[i].Digest)
	}
}

// removals collects what the hooks are called for.
type removals struct {
	mu      sync.Mutex
	ended   map[string]time.Time // streams by repository and UID, and namespaces
	failing bool
}

func (r *removals) add(what string, seen time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing {
		r.failing = false
		return errors.New("not now")
	}
	r.ended[what] = seen
	return nil
}

func (r *removals) has(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, found := r.ended[what]
	return found
}

// TestStreamsReportRemovals: the hooks are called for each stream that ended, whatever has
// its name since, and for its namespace.
func TestStreamsReportRemovals(t *testing.T) {
	ns := env.Namespace(t, "delete")
	removed := removals{ended: map[string]time.Time{}, failing: true} // it is tried again
	r := newReplica(t, func(o *streams.Options) {
		o.OnDeleted = func(_ context.Context, gone blobstore.Repository, seen time.Time) error {
			return removed.add(gone.Name+" "+gone.Stream, seen)
		}
		o.OnNamespaceDeleted = func(_ context.Context, namespace string, _ time.Time) error {
			return removed.add(namespace, time.Time{})
		}
	})
	uids, began := map[string]string{}, time.Now()
	for _, name := range []string{"gone", "back", "with-the-namespace"} {
		uids[name] = r.pushed(t, newManifest(t, 1).to(repo(t, ns, name), admin, "1")).Repository().Stream
	}
	reported := func(what string) {
		t.Helper()
		testenv.Eventually(t, "the removal of "+what, func() error {
			if !removed.has(what) {
				return errors.New("no hook was called")
			}
			return nil
		})
	}
	for _, name := range []string{"gone", "back"} {
		fatal(t, env.Images.ImageV1().ImageStreams(ns).Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	next := r.pushed(t, newManifest(t, 1).to(repo(t, ns, "back"), admin, "1")).Repository()
	for _, name := range []string{"gone", "back"} {
		what := ns + "/" + name + " " + uids[name]
		reported(what)
		if seen := removed.ended[what]; seen.Before(began) || time.Since(seen) < 10*time.Second {
			t.Errorf("the end of %s was seen at %v, the test began at %v: less than the grace ago", what, seen, began)
		}
	}
	if removed.has(next.Name + " " + next.Stream) {
		t.Errorf("a hook was called for %+v, which is there", next)
	}
	fatal(t, env.Kube.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}))
	reported(next.Name + " " + next.Stream)
	reported(ns + "/with-the-namespace " + uids["with-the-namespace"])
	reported(ns)
}
