package main

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	scheduledStreams = 200
	scheduledTags    = 50 // of each stream
	scheduledWindow  = time.Minute
	memoryStreams    = 10_000
	memoryImages     = 5 // of each stream
)

// scheduleConfig checks every tag once a minute, as fast as that takes.
const scheduleConfig = `apiVersion: config.weir.dev/v1alpha1
kind: WeirConfiguration
schedule: {interval: 1m, minimumInterval: 1m, maxPerMinute: -1}
`

// measureSchedule re-checks 10,000 scheduled tags that do not change.
func measureSchedule(ctx context.Context, r *report) error {
	u := startUpstream()
	defer u.Close()
	if err := u.push("bench/web", scheduledTags); err != nil {
		return err
	}
	w, err := startWeir(ctx, "*", scheduleConfig)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := w.namespace(ctx, "bench"); err != nil {
		return err
	}
	if _, err := parallel(4, scheduledStreams, func(i int) error {
		_, err := w.images.ImageV1().ImageStreams("bench").Create(ctx, scheduledStream(u.host(), i), metav1.CreateOptions{})
		return err
	}); err != nil {
		return err
	}
	if err := w.waitImported(ctx); err != nil {
		return err
	}
	// Two rounds: the first lets every tag be checked once by HEAD.
	for range 2 {
		before, err := w.snapshot(ctx, u)
		if err != nil {
			return err
		}
		time.Sleep(scheduledWindow)
		after, err := w.snapshot(ctx, u)
		if err != nil {
			return err
		}
		if len(r.rows) > 0 && r.rows[len(r.rows)-1].what == scheduleRow {
			r.rows = r.rows[:len(r.rows)-1]
		}
		checks := float64(after.heads - before.heads)
		r.add(scheduleRow,
			fmt.Sprintf("%.0f tags/s, %.1f %% of one processor, %d GETs, %d etcd writes", checks/scheduledWindow.Seconds(), 100*(after.cpu-before.cpu).Seconds()/scheduledWindow.Seconds(), after.gets-before.gets, after.revision-before.revision),
			"1 HEAD a tag and check", fmt.Sprintf("%.2f×", checks/(scheduledStreams*scheduledTags)), "0 writes")
	}
	return nil
}

const scheduleRow = "10,000 scheduled tags re-checked each minute, nothing changed"

type snapshot struct {
	heads, gets, revision int64
	cpu                   time.Duration
}

func (w *weir) snapshot(ctx context.Context, u *upstream) (snapshot, error) {
	revision, err := w.revision(ctx)
	if err != nil {
		return snapshot{}, err
	}
	cpu, err := w.cpu()
	return snapshot{u.heads.Load(), u.gets.Load(), revision, cpu}, err
}

func scheduledStream(host string, i int) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%03d", i)}}
	for t := range scheduledTags {
		s.Spec.Tags = append(s.Spec.Tags, imagev1.TagReference{
			Name:         fmt.Sprintf("v%d", t),
			From:         &corev1.ObjectReference{Kind: "DockerImage", Name: fmt.Sprintf("%s/bench/web:v%d", host, t)},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true, Scheduled: true},
		})
	}
	return s
}

// waitImported returns when every tag of every stream has an image.
func (w *weir) waitImported(ctx context.Context) error {
	deadline := time.Now().Add(5 * time.Minute)
	for time.Now().Before(deadline) {
		list, err := w.images.ImageV1().ImageStreams("bench").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		imported := 0
		for i := range list.Items {
			for t := range list.Items[i].Status.Tags {
				if len(list.Items[i].Status.Tags[t].Items) > 0 {
					imported++
				}
			}
		}
		if imported == scheduledStreams*scheduledTags {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return fmt.Errorf("not all tags were imported within 5 minutes")
}

// measureMemory fills a server and looks at its memory.
func measureMemory(ctx context.Context, r *report) error {
	w, err := startWeir(ctx, "*", "")
	if err != nil {
		return err
	}
	defer w.stop()
	if err := w.namespace(ctx, "bench"); err != nil {
		return err
	}
	idle, err := w.settledMemory()
	if err != nil {
		return err
	}
	if _, err := parallel(readWorkers, memoryStreams, func(i int) error {
		return w.fill(ctx, "bench", fmt.Sprintf("s%05d", i), memoryImages)
	}); err != nil {
		return err
	}
	full, err := w.settledMemory()
	if err != nil {
		return err
	}
	if err := w.saveHeap(ctx); err != nil {
		return err
	}
	r.add(fmt.Sprintf("resident memory with %d streams and %d images", memoryStreams, memoryStreams*memoryImages),
		full.String(), idle.String()+" (idle)", fmt.Sprintf("%.2f×", float64(full.resident)/float64(idle.resident)), "idle < 300 MB")
	return nil
}

// settledMemory is the lowest of several looks: garbage comes and goes.
func (w *weir) settledMemory() (memory, error) {
	var lowest memory
	for i := range 10 {
		time.Sleep(2 * time.Second)
		now, err := w.memory()
		if err != nil {
			return memory{}, err
		}
		if i == 0 || now.resident < lowest.resident {
			lowest = now
		}
	}
	return lowest, nil
}
