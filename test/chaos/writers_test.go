package chaos_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// patient is the back-off of a client that writes beside many others.
var patient = wait.Backoff{Steps: 100, Duration: 5 * time.Millisecond, Factor: 1.2, Cap: 200 * time.Millisecond, Jitter: 0.5}

// TestWritersOfOneStreamLoseNothing changes one stream in every way there is, all at once.
func TestWritersOfOneStreamLoseNothing(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t)
	ns, upstream := env.Namespace(t, "writers"), testenv.NewRegistry(t)
	const each = 8
	var imported []string
	for n := range each {
		imported = append(imported, upstream.Push(t, "team/app:"+strconv.Itoa(n), testimage.Image(t, "linux/amd64")))
	}
	makeStream(t, env, ns, "s")
	api := env.Images.ImageV1()
	writers := map[string]func(ctx context.Context, tag string, n int) error{
		"isi": func(ctx context.Context, tag string, n int) error {
			isi, err := api.ImageStreamImports(ns).Create(ctx, importOf("s", imageImport(tag, upstream.Ref("team/app:"+strconv.Itoa(n)))), metav1.CreateOptions{})
			if err == nil && isi.Status.Images[0].Status.Status != metav1.StatusSuccess {
				err = fmt.Errorf("%+v", isi.Status.Images[0].Status)
			}
			return err
		},
		"ism": func(ctx context.Context, tag string, _ int) error {
			_, err := api.ImageStreamMappings(ns).Create(ctx, &imagev1.ImageStreamMapping{
				ObjectMeta: metav1.ObjectMeta{Name: "s"}, Image: *plainImage(ns + tag), Tag: tag,
			}, metav1.CreateOptions{})
			return err
		},
		"istag": func(ctx context.Context, tag string, n int) error {
			spec := pullTag(tag, upstream.Ref("team/app:"+strconv.Itoa(n)))
			_, err := api.ImageStreamTags(ns).Update(ctx, &imagev1.ImageStreamTag{ObjectMeta: metav1.ObjectMeta{Name: "s:" + tag}, Tag: &spec}, metav1.UpdateOptions{})
			return err
		},
		"spec": func(ctx context.Context, tag string, n int) error {
			return updateStream(ctx, env, ns, "s", func(s *imagev1.ImageStream) {
				stream.SetSpecTag(s, pullTag(tag, upstream.Ref("team/app:"+strconv.Itoa(n))))
			})
		},
		"follow": func(ctx context.Context, tag string, n int) error {
			return updateStream(ctx, env, ns, "s", func(s *imagev1.ImageStream) {
				stream.SetSpecTag(s, imagev1.TagReference{Name: tag, From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: fmt.Sprintf("ism-%d", n)}})
			})
		},
	}
	var all sync.WaitGroup
	for kind, write := range writers {
		for n := range each {
			all.Go(func() {
				tag := fmt.Sprintf("%s-%d", kind, n)
				if err := write(t.Context(), tag, n); err != nil {
					t.Errorf("writing %s: %v", tag, err)
				}
			})
		}
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	testenv.Eventually(t, "all tags", func() error {
		s := getStream(t, env, ns, "s")
		if len(s.Spec.Tags) != 4*each {
			return fmt.Errorf("%d spec tags, want %d", len(s.Spec.Tags), 4*each)
		}
		for n := range each {
			pushed := plainImage(fmt.Sprintf("%sism-%d", ns, n)).Name
			for kind, image := range map[string]string{"isi": imported[n], "ism": pushed, "istag": imported[n], "spec": imported[n], "follow": pushed} {
				if got := headOf(s, fmt.Sprintf("%s-%d", kind, n)); got != image {
					return fmt.Errorf("%s-%d is %q, want %q", kind, n, got, image)
				}
			}
		}
		return nil
	})
}

// TestWritersOfOneTagAreAllInItsHistory lets writers race for the same tag: each that is told of success
// is in its history.
func TestWritersOfOneTagAreAllInItsHistory(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t)
	ns := env.Namespace(t, "writers")
	makeStream(t, env, ns, "s")
	var all sync.WaitGroup
	var mu sync.Mutex
	told := map[string]bool{}
	for n := range 12 {
		all.Go(func() {
			image := plainImage(fmt.Sprintf("%s one tag %d", ns, n))
			_, err := env.Images.ImageV1().ImageStreamMappings(ns).Create(t.Context(), &imagev1.ImageStreamMapping{
				ObjectMeta: metav1.ObjectMeta{Name: "s"}, Image: *image, Tag: "t",
			}, metav1.CreateOptions{})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				told[image.Name] = true
			}
		})
	}
	all.Wait()
	for _, event := range stream.StatusTag(getStream(t, env, ns, "s"), "t").Items {
		delete(told, event.Image)
	}
	if len(told) > 0 {
		t.Errorf("acknowledged and not in the history: %v", told)
	}
}
