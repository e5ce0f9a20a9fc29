package imports

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// moved waits for the Event of a move, which names both images and the cause.
func moved(t *testing.T, ns, tag, from, to, cause string) {
	t.Helper()
	want := fmt.Sprintf("tag %s moved from %s to %s %s", tag, from, to, cause)
	testenv.Eventually(t, "the Event of the move", func() error {
		var notes []string
		list, err := env.Kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Reason == "TagMoved" && e.Regarding.Kind == "ImageStream" && e.Regarding.Name == "s" && e.Type == corev1.EventTypeNormal {
				notes = append(notes, e.Note)
			}
		}
		if !slices.Contains(notes, want) {
			return fmt.Errorf("%q is not among %q", want, notes)
		}
		return nil
	})
}

// Every move of a tag has an Event of its own, which says what moved it; a first image is no move.
func TestMovedTagsHaveEvents(t *testing.T) {
	ns, upstream := env.Namespace(t, "moves"), testenv.NewRegistry(t)
	first := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	follower := imagev1.TagReference{Name: "b", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "a"}}
	create(t, ns, dockerTag("a", upstream.Ref("team/x:1")), follower)
	imported(t, ns, "a", first)

	second := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	update(t, ns, func(s *imagev1.ImageStream) { *stream.SpecTag(s, "a").Generation = 0 })
	imported(t, ns, "a", second)
	moved(t, ns, "a", first, second, "(import)")
	moved(t, ns, "b", first, second, "(import, it follows tag a)")

	third := testimage.Image(t, "linux/amd64")
	pushed, err := third.Digest()
	if err != nil {
		t.Fatal(err)
	}
	_, err = env.Images.ImageV1().ImageStreamMappings(ns).Create(t.Context(), &imagev1.ImageStreamMapping{
		ObjectMeta: metav1.ObjectMeta{Name: "s"}, Tag: "a",
		Image: imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: pushed.String()}, DockerImageReference: upstream.Ref("team/x@" + pushed.String())},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	moved(t, ns, "a", second, pushed.String(), "(push)")

	update(t, ns, func(s *imagev1.ImageStream) {
		stream.SpecTag(s, "b").From = &corev1.ObjectReference{Kind: "ImageStreamImage", Name: "s@" + first}
	})
	moved(t, ns, "b", pushed.String(), first, "(change of spec)")

	list, err := env.Kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range list.Items {
		if e.Reason == "TagMoved" {
			n++
		}
	}
	if n != 5 {
		t.Errorf("%d Events of moves, want 5", n)
	}
}

// warned collects the warnings of a client.
type warned struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warned) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warned) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}

// An interval that has no effect is answered with a warning by whatever way it is written, and
// what is stored can be updated without one.
func TestIntervalsWithoutEffectAreWarnedAbout(t *testing.T) {
	ns := env.Namespace(t, "intervals")
	config, warnings := rest.CopyConfig(env.Config), &warned{}
	config.WarningHandler = warnings
	images := testenv.ImagesFor(config).ImageV1()
	want := func(step string, texts ...string) {
		t.Helper()
		got := warnings.take()
		if len(got) != len(texts) {
			t.Errorf("%s: warnings %q, want %d", step, got, len(texts))
			return
		}
		for i := range texts {
			if !strings.Contains(got[i], texts[i]) {
				t.Errorf("%s: warning %q, want %q", step, got[i], texts[i])
			}
		}
	}
	tag := dockerTag("a", "127.0.0.1:1/x:1")
	tag.ImportPolicy.Scheduled = true
	tag.Annotations = map[string]string{stream.AnnotationImportInterval: "banana"}
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s", Annotations: map[string]string{stream.AnnotationImportInterval: "5m"}}, Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{tag}}}
	if _, err := images.ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	want("create", "no effect on an image stream", `"banana" is not a duration`)
	patch := func(resource, name, body string) {
		t.Helper()
		err := images.RESTClient().Patch(types.MergePatchType).Namespace(ns).Resource(resource).Name(name).Body([]byte(body)).Do(t.Context()).Error()
		if err != nil {
			t.Fatal(err)
		}
	}
	patch("imagestreams", "s", `{"metadata":{"labels":{"a":"b"}}}`)
	want("an update of something else")
	patch("imagestreamtags", "s:a", `{"metadata":{"annotations":{"weir.dev/import-interval":"1ms"}}}`)
	want("imagestreamtag", `"1ms" is less than the minimum`)
	patch("imagetags", "s:a", `{"spec":{"importPolicy":{"scheduled":false},"annotations":{"weir.dev/import-interval":"5m"}}}`)
	want("imagetag", "not scheduled")
	patch("imagetags", "s:a", `{"spec":{"importPolicy":{"scheduled":true}}}`)
	want("mended")
}
