package main

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	readWorkers  = 8
	readRounds   = 5
	readDuration = 2 * time.Second
	listStreams  = 200
	listTags     = 50 // of each stream
	listRounds   = 9
)

// measureGets compares GET of a tag with GET of the stream that has it.
func measureGets(ctx context.Context, r *report) error {
	w, err := startWeir(ctx, "none", "")
	if err != nil {
		return err
	}
	defer w.stop()
	if err := w.namespace(ctx, "bench"); err != nil {
		return err
	}
	if err := w.fill(ctx, "bench", "web", 10); err != nil {
		return err
	}
	const base = "/apis/image.openshift.io/v1/namespaces/bench/"
	var tags, streams []float64
	for range readRounds {
		for _, side := range []struct {
			path   string
			result *[]float64
		}{{base + "imagestreams/web", &streams}, {base + "imagestreamtags/web:t005", &tags}} {
			rate, err := throughput(ctx, readWorkers, readDuration, func(ctx context.Context) error {
				_, err := w.get(ctx, side.path)
				return err
			})
			if err != nil {
				return err
			}
			*side.result = append(*side.result, rate)
		}
	}
	r.add(fmt.Sprintf("GET of a tag, concurrency %d", readWorkers), perSecond(median(tags)), perSecond(median(streams))+" (GET of its stream)", ratios(tags, streams), "≥ 0.8×")
	return nil
}

// measureLists compares the list of 10,000 tags with that of their 200 streams.
func measureLists(ctx context.Context, r *report) error {
	w, err := startWeir(ctx, "none", "")
	if err != nil {
		return err
	}
	defer w.stop()
	if err := w.namespace(ctx, "bench"); err != nil {
		return err
	}
	if _, err := parallel(readWorkers, listStreams, func(i int) error {
		return w.fill(ctx, "bench", fmt.Sprintf("s%03d", i), listTags)
	}); err != nil {
		return err
	}
	const base = "/apis/image.openshift.io/v1/namespaces/bench/"
	var tags, streams []time.Duration
	for round := range listRounds + 1 {
		for _, side := range []struct {
			path   string
			result *[]time.Duration
		}{{base + "imagestreams", &streams}, {base + "imagestreamtags", &tags}} {
			took, err := timed(func() error { _, err := w.get(ctx, side.path); return err })
			if err != nil {
				return err
			}
			if round > 0 {
				*side.result = append(*side.result, took)
			}
		}
	}
	r.add(fmt.Sprintf("LIST of %d tags", listStreams*listTags), millis(median(tags)), millis(median(streams))+fmt.Sprintf(" (LIST of their %d streams)", listStreams), ratios(seconds(tags), seconds(streams)), "≤ 2×")
	return nil
}

// fill makes a stream whose tags have images, without any registry: what
// imagestreammappings are for.
func (w *weir) fill(ctx context.Context, namespace, stream string, tags int) error {
	if _, err := w.images.ImageV1().ImageStreams(namespace).Create(ctx, &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: stream}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for i := range tags {
		if err := w.mapImage(ctx, namespace, stream, fmt.Sprintf("t%03d", i), digestOf(namespace, stream, i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *weir) mapImage(ctx context.Context, namespace, stream, tag, digest string) error {
	_, err := w.images.ImageV1().ImageStreamMappings(namespace).Create(ctx, &imagev1.ImageStreamMapping{
		ObjectMeta: metav1.ObjectMeta{Name: stream},
		Tag:        tag,
		Image:      image(namespace, stream, digest),
	}, metav1.CreateOptions{})
	return err
}
