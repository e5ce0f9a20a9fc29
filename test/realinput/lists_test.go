package realinput_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
)

// importLists turns tags that were imported for one architecture to PreserveOriginal.
func (w world) importLists(t *testing.T, own collection) {
	namespace := w.Namespace(t, "lists")
	w.Kubectl(t).Run(t, slices.Concat([]string{"-n", namespace, "apply"}, own.arguments())...)
	streams := w.waitImported(t, own, namespace)
	began := time.Now()
	for _, s := range streams {
		w.preserveOriginal(t, s)
	}
	lists := 0
	for name := range streams {
		lists += w.verifyLists(t, namespace, name)
	}
	if lists == 0 {
		t.Error("no tag followed a list")
	}
	t.Logf("%d lists imported whole in %v", lists, time.Since(began).Round(time.Millisecond))
}

func (w world) preserveOriginal(t *testing.T, s *imagev1.ImageStream) {
	t.Helper()
	before := s.Generation
	for i := range s.Spec.Tags {
		if s.Spec.Tags[i].From.Kind == "DockerImage" {
			s.Spec.Tags[i].ImportPolicy.ImportMode = imagev1.ImportModePreserveOriginal
		}
	}
	updated, err := w.Images.ImageV1().ImageStreams(s.Namespace).Update(t.Context(), s, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if updated.Generation != before+1 {
		t.Errorf("%s went from generation %d to %d", s.Name, before, updated.Generation)
	}
}

// verifyLists waits until the tags of a stream point to lists where there are some, and
// returns how many do.
func (w world) verifyLists(t *testing.T, namespace, name string) int {
	t.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(t, name+" to be imported again", func() (err error) {
		if s, err = w.Images.ImageV1().ImageStreams(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, tag := range s.Spec.Tags {
			if status := statusTag(s, tag.Name); tag.From.Kind == "DockerImage" && status.Items[0].Generation < *tag.Generation {
				err = errors.Join(err, fmt.Errorf("tag %s is at %+v", tag.Name, status))
			}
		}
		return err
	})
	lists := 0
	for _, tag := range s.Spec.Tags {
		upstream, status := w.images[inMirror(tag.From.Name)], statusTag(s, tag.Name)
		switch {
		case tag.From.Kind != "DockerImage":
			if head := statusTag(s, tag.From.Name).Items[0]; status.Items[0].Image != head.Image || status.Items[0].DockerImageReference != head.DockerImageReference {
				t.Errorf("%s:%s is at %+v, what it follows at %+v", name, tag.Name, status.Items[0], head)
			}
		case upstream.list == "":
			if len(status.Items) != 1 || status.Items[0].Image != upstream.digest {
				t.Errorf("%s:%s has history %+v", name, tag.Name, status.Items)
			}
		default:
			lists++
			w.verifyList(t, &tag, status, upstream)
		}
	}
	return lists
}

func (w world) verifyList(t *testing.T, tag *imagev1.TagReference, status *imagev1.NamedTagEventList, upstream upstreamImage) {
	t.Helper()
	if len(status.Items) != 2 || status.Items[0].Image != upstream.list || status.Items[1].Image != upstream.digest {
		t.Errorf("tag %s has history %+v; want %s before %s", tag.Name, status.Items, upstream.list, upstream.digest)
		return
	}
	list, err := w.Images.ImageV1().Images().Get(t.Context(), upstream.list, metav1.GetOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	want := map[string]string{}
	for architecture, part := range upstream.parts {
		d, err := part.Digest()
		if err != nil {
			t.Fatal(err)
		}
		want[architecture] = d.String()
		w.verifyImage(t, d.String(), repositoryOf(tag.From.Name), part)
	}
	got := map[string]string{}
	for _, entry := range list.DockerImageManifests {
		got[entry.Architecture] = entry.Digest
	}
	if diff := gocmp.Diff(want, got); diff != "" || len(list.DockerImageLayers) != 0 {
		t.Errorf("parts of list %s (-want +got):\n%s\nlayers %v", upstream.list, diff, list.DockerImageLayers)
	}
}
