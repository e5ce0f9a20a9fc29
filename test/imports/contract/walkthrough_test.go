package contract_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// walk is the walk-through A1 of the contract: what becomes of generations and
// histories step by step.
type walk struct {
	*testing.T
	ns       string
	upstream *testenv.Registry
	names    map[string]string // of images, by digest
}

// state is a stream in short: "G a b c", its spec's generations, then the history of
// each tag.
func (w *walk) state(s *imagev1.ImageStream) string {
	text := fmt.Sprint(s.Generation)
	for _, name := range []string{"a", "b", "c"} {
		if tag := specTag(s, name); tag == nil {
			text += " -"
		} else if tag.Generation == nil {
			text += " nil"
		} else {
			text += fmt.Sprint(" ", *tag.Generation)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		for _, list := range s.Status.Tags {
			if list.Tag != name {
				continue
			}
			text += " | " + name
			for _, e := range list.Items {
				text += fmt.Sprintf(" %s,%d", w.names[e.Image], e.Generation)
			}
		}
	}
	return text
}

func (w *walk) want(step string, s *imagev1.ImageStream, want string) {
	w.Helper()
	if got := w.state(s); got != want {
		w.Fatalf("step %s: %s\nwant %s", step, got, want)
	}
}

// eventually waits for the controller to bring the stream to a state.
func (w *walk) eventually(step, want string) *imagev1.ImageStream {
	w.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(w, "step "+step, func() error {
		s = getStream(w.T, w.ns, "s")
		if got := w.state(s); got != want {
			return fmt.Errorf("got  %s\nwant %s", got, want)
		}
		return nil
	})
	return s
}

func (w *walk) update(s *imagev1.ImageStream) *imagev1.ImageStream {
	w.Helper()
	s, err := env.Images.ImageV1().ImageStreams(w.ns).Update(w.Context(), s, metav1.UpdateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// ocTag does what `oc tag SOURCE s:a` does, and returns the generation that the spec
// tag gets.
func (w *walk) ocTag(from string) int64 {
	w.Helper()
	zero := int64(0)
	tag, err := env.Images.ImageV1().ImageStreamTags(w.ns).Update(w.Context(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: "s:a", Namespace: w.ns},
		Tag: &imagev1.TagReference{
			Name: "a", From: &corev1.ObjectReference{Kind: "DockerImage", Name: from}, Generation: &zero,
			ImportPolicy:    imagev1.TagImportPolicy{Insecure: true, ImportMode: imagev1.ImportModeLegacy},
			ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.SourceTagReferencePolicy},
		},
	}, metav1.UpdateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return *tag.Tag.Generation
}

func (w *walk) push(tag, name string) {
	w.names[w.upstream.Push(w, "x:"+tag, testimage.Image(w, "linux/amd64"))] = name
}

func TestWalkThroughGenerationsAndHistory(t *testing.T) {
	t.Parallel()
	w := &walk{T: t, ns: env.Namespace(t, "walk"), upstream: testenv.NewRegistry(t), names: map[string]string{"": "-"}}
	w.push("1", "D1")
	s, err := env.Images.ImageV1().ImageStreams(w.ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
			{Name: "a", From: &corev1.ObjectReference{Kind: "DockerImage", Name: w.upstream.Ref("x:1")}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true}},
			{Name: "b", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "a"}},
			{Name: "c", From: &corev1.ObjectReference{Kind: "DockerImage", Name: w.upstream.Ref("y:1")}, Reference: true},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.want("1", s, "1 1 1 1 | c -,1")
	if s.Status.Tags[0].Items[0].DockerImageReference != w.upstream.Ref("y:1") {
		t.Errorf("step 1: reference %q", s.Status.Tags[0].Items[0].DockerImageReference)
	}
	s = w.eventually("2", "2 2 1 1 | a D1,2 | b D1,2 | c -,1")
	if s.Annotations[imagev1.DockerImageRepositoryCheckAnnotation] == "" {
		t.Error("step 2: no time of the import")
	}
	specTag(s, "a").ImportPolicy.Scheduled = true
	s = w.update(s)
	w.want("3", s, "3 2 1 1 | a D1,2 | b D1,2 | c -,1")
	before := s.ResourceVersion
	if s = w.update(s); s.ResourceVersion != before {
		t.Error("step 4: the same body again wrote the stream")
	}
	w.push("1", "D2")
	if got := w.ocTag(w.upstream.Ref("x:1")); got != 4 {
		t.Errorf("step 5: tag at %d, want 4", got)
	}
	s = w.eventually("6", "5 5 1 1 | a D2,5 D1,2 | b D2,5 D1,2 | c -,1")
	if specTag(s, "a").ImportPolicy.Scheduled {
		t.Error("step 6: still scheduled")
	}
	isi := importing("s", image(w.upstream.Ref("x:1"), "a"))
	isi.ResourceVersion = s.ResourceVersion
	again := post(t, w.ns, isi)
	if again.Status.Import.ResourceVersion != s.ResourceVersion || getStream(t, w.ns, "s").ResourceVersion != s.ResourceVersion {
		t.Error("step 7: the import of what is there wrote the stream")
	}
	w.walkOn()
}

// walkOn are the steps from 8 on.
func (w *walk) walkOn() {
	t := w.T
	pushed := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: testimage.Digest(t, testimage.Image(t, "linux/amd64"))}, DockerImageReference: "registry.example.com/x:1"}
	w.names[pushed.Name] = "D3"
	if _, err := env.Images.ImageV1().ImageStreamMappings(w.ns).Create(t.Context(), &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Image: *pushed, Tag: "a"}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const images = " | a D3,5 D2,5 D1,2 | b D3,5 D2,5 D1,2 | c -,1"
	w.want("8", getStream(t, w.ns, "s"), "5 5 1 1"+images)
	if got := w.ocTag(w.upstream.Ref("x:gone")); got != 6 {
		t.Errorf("step 9: tag at %d, want 6", got)
	}
	s := w.eventually("10", "7 7 1 1"+images)
	failure := importFailure(s, "a")
	if failure == nil || failure.Status != corev1.ConditionFalse || failure.Reason != "NotFound" || failure.Generation != 7 {
		t.Errorf("step 10: condition %+v", failure)
	}
	if got := w.ocTag(w.upstream.Ref("x:gone")); got != 8 {
		t.Errorf("step 10b: tag at %d, want 8", got)
	}
	testenv.Eventually(t, "step 10b", func() error { // O36: the condition answers the new generation
		s = getStream(t, w.ns, "s")
		if c := importFailure(s, "a"); w.state(s) != "8 8 1 1"+images || c == nil || c.Generation != 8 || !c.LastTransitionTime.Equal(&failure.LastTransitionTime) {
			return fmt.Errorf("%s, condition %+v", w.state(s), c)
		}
		return nil
	})
	testenv.Eventually(t, "step 11", func() error { // beside the controller, which notes its retries
		s = getStream(t, w.ns, "s")
		s.Spec.Tags = slices.DeleteFunc(s.Spec.Tags, func(tag imagev1.TagReference) bool { return tag.Name == "a" })
		var err error
		s, err = env.Images.ImageV1().ImageStreams(w.ns).Update(t.Context(), s, metav1.UpdateOptions{})
		return err
	})
	w.want("11", s, "9 - 1 1"+images)
	if importFailure(s, "a") == nil {
		t.Error("step 11: the condition is gone with the spec tag")
	}
	w.deleteTag("s:a")
	w.want("12", getStream(t, w.ns, "s"), "9 - 1 1 | b D3,5 D2,5 D1,2 | c -,1")
	w.deleteTag("s:c")
	w.want("13", getStream(t, w.ns, "s"), "10 - 1 - | b D3,5 D2,5 D1,2")
}

func (w *walk) deleteTag(name string) {
	w.Helper()
	if err := env.Images.ImageV1().ImageStreamTags(w.ns).Delete(w.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

// TestPullSpecsFollowReferencePolicy is example A5 of the contract.
func TestPullSpecsFollowReferencePolicy(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "policy"), testenv.NewRegistry(t)
	d1 := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	before := post(t, ns, importing("s", image(upstream.Ref("x:1"), "a"))).Status.Import
	if before.Status.DockerImageRepository != internalHost+"/"+ns+"/s" || before.Status.PublicDockerImageRepository != externalHost+"/"+ns+"/s" {
		t.Errorf("repositories %q and %q", before.Status.DockerImageRepository, before.Status.PublicDockerImageRepository)
	}
	patch := []byte(`{"spec":{"tags":[{"name":"a","referencePolicy":{"type":"Local"}}]}}`)
	after, err := env.Images.ImageV1().ImageStreams(ns).Patch(t.Context(), "s", "application/strategic-merge-patch+json", patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.Generation != before.Generation+1 || *specTag(after, "a").Generation != before.Generation {
		t.Errorf("generation %d, tag at %d, before %d", after.Generation, *specTag(after, "a").Generation, before.Generation)
	}
	if diff := cmp.Diff(before.Status.Tags, after.Status.Tags); diff != "" {
		t.Errorf("a reference policy changed the history: %s", diff)
	}
	tag, err := env.Images.ImageV1().ImageStreamTags(ns).Get(t.Context(), "s:a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := internalHost + "/" + ns + "/s@" + d1; tag.Image.Name != d1 || tag.Image.DockerImageReference != want {
		t.Errorf("the tag shows %s as %q, want %q", tag.Image.Name, tag.Image.DockerImageReference, want)
	}
	img, err := env.Images.ImageV1().ImageStreamImages(ns).Get(t.Context(), "s@"+d1, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := upstream.Ref("x@" + d1); img.Image.DockerImageReference != want {
		t.Errorf("the image of the stream shows %q, want %q", img.Image.DockerImageReference, want)
	}
}
