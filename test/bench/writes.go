package main

import (
	"bufio"
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	createStreams = 2000
	watchers      = 1000
	watchUpdates  = 200
)

// measureCreates compares the creation of streams with that of config maps of
// about the same size: what Kubernetes itself does over the same store.
func measureCreates(ctx context.Context, r *report) error {
	w, err := startWeir(ctx, "none", "")
	if err != nil {
		return err
	}
	defer w.stop()
	var streams, maps []float64
	for round := range 3 {
		ns := fmt.Sprintf("bench%d", round)
		if err := w.namespace(ctx, ns); err != nil {
			return err
		}
		took, err := parallel(readWorkers, createStreams, func(i int) error {
			_, err := w.images.ImageV1().ImageStreams(ns).Create(ctx, stream(fmt.Sprintf("s%05d", i)), metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return err
		}
		streams = append(streams, createStreams/took.Seconds())
		took, err = parallel(readWorkers, createStreams, func(i int) error {
			_, err := w.kube.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%05d", i)}, Data: map[string]string{"1": "registry.example.com/shop/web:1", "2": "registry.example.com/shop/web:2"}}, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return err
		}
		maps = append(maps, createStreams/took.Seconds())
	}
	r.add(fmt.Sprintf("create streams, concurrency %d", readWorkers), perSecond(median(streams)), perSecond(median(maps))+" (config maps, same server)", ratios(streams, maps), "reference 860/s")
	return nil
}

func stream(name string) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, tag := range []string{"1", "2"} {
		s.Spec.Tags = append(s.Spec.Tags, imagev1.TagReference{Name: tag, From: &corev1.ObjectReference{Kind: "DockerImage", Name: "registry.example.com/shop/web:" + tag}})
	}
	return s
}

// measureWatches has many watchers see every one of many updates.
func measureWatches(ctx context.Context, r *report) error {
	w, err := startWeir(ctx, "none", "")
	if err != nil {
		return err
	}
	defer w.stop()
	if err := w.namespace(ctx, "bench"); err != nil {
		return err
	}
	created, err := w.images.ImageV1().ImageStreams("bench").Create(ctx, stream("web"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	one, err := w.updatesSeenBy(ctx, 1, created.ResourceVersion)
	if err != nil {
		return err
	}
	created, err = w.images.ImageV1().ImageStreams("bench").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	many, err := w.updatesSeenBy(ctx, watchers, created.ResourceVersion)
	if err != nil {
		return err
	}
	r.add(fmt.Sprintf("%d watchers see %d updates (%d events)", watchers, watchUpdates, watchers*watchUpdates),
		fmt.Sprintf("%s, %.0f events/s", millis(many), watchers*watchUpdates/many.Seconds()), millis(one)+" (1 watcher)", fmt.Sprintf("%.2f×", many.Seconds()/one.Seconds()), "–")
	return nil
}

// updatesSeenBy is the time from the first update until n watchers have seen all.
func (w *weir) updatesSeenBy(ctx context.Context, n int, from string) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, n)
	path := "/apis/image.openshift.io/v1/namespaces/bench/imagestreams?watch=1&resourceVersion=" + from
	for range n {
		events, err := w.watch(ctx, path)
		if err != nil {
			return 0, err
		}
		go func() {
			defer events.Close()
			lines := bufio.NewScanner(events)
			lines.Buffer(nil, 1<<20)
			for range watchUpdates {
				if !lines.Scan() {
					done <- fmt.Errorf("a watch ended early: %w", lines.Err())
					return
				}
			}
			done <- nil
		}()
	}
	start := time.Now()
	for i := range watchUpdates {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"n":"%s-%d"}}}`, from, i)
		if _, err := w.images.ImageV1().ImageStreams("bench").Patch(ctx, "web", "application/merge-patch+json", []byte(patch), metav1.PatchOptions{}); err != nil {
			return 0, err
		}
	}
	for range n {
		if err := <-done; err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}
