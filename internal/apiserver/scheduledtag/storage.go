// Package scheduledtag provides scheduledtags of weir.dev: when the sources of scheduled tags were
// checked and will be. Nothing is stored. The times follow from the streams, the schedule and its
// progress, so that every server gives the same answer, and checks that find nothing new cost no
// write.
package scheduledtag

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi/table"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// REST reads scheduledtags.
type REST struct {
	rest.TableConvertor
	streams      *imagestream.Registry
	intervals    stream.Intervals
	checkedUntil func(context.Context) (time.Time, error)
}

var (
	_ rest.Getter               = (*REST)(nil)
	_ rest.Lister               = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
	_ rest.TableConvertor       = (*REST)(nil)
)

// NewREST shows the scheduled tags of streams. checkedUntil returns the time before which all checks
// that were due have been made, zero where it is not known; nil if none are made.
func NewREST(streams *imagestream.Registry, intervals stream.Intervals, checkedUntil func(context.Context) (time.Time, error)) *REST {
	return &REST{TableConvertor: table.ScheduledTags(), streams: streams, intervals: intervals, checkedUntil: checkedUntil}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &weirv1alpha1.ScheduledTag{} }

// NewList implements rest.Lister.
func (*REST) NewList() runtime.Object { return &weirv1alpha1.ScheduledTagList{} }

// Destroy implements rest.Storage; there is nothing to release.
func (*REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST) NamespaceScoped() bool { return true }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return "scheduledtag" }

// Get returns a scheduled tag by its name "stream:tag".
func (r *REST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	streamName, tag, err := reference.SplitStreamTag(name)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	notFound := apierrors.NewNotFound(weirv1alpha1.Resource(weirv1alpha1.ScheduledTags), name)
	s, err := r.streams.Get(ctx, streamName)
	if apierrors.IsNotFound(err) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	shown := r.viewer(ctx).view(s, tag)
	if shown == nil {
		return nil, notFound
	}
	return shown, nil
}

// List returns the scheduled tags of a namespace, or of all.
func (r *REST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	tags, meta, err := tagview.List(ctx, r.streams.List, stream.ScheduledTags, options)
	if err != nil {
		return nil, err
	}
	v := r.viewer(ctx)
	list := &weirv1alpha1.ScheduledTagList{ListMeta: meta, Items: make([]weirv1alpha1.ScheduledTag, 0, len(tags))}
	for _, tag := range tags {
		if shown := v.view(tag.Stream, tag.Name); shown != nil {
			list.Items = append(list.Items, *shown)
		}
	}
	return list, nil
}

// viewer is for one request. Progress that cannot be read costs the times of checks, not the answer.
func (r *REST) viewer(ctx context.Context) *viewer {
	v := &viewer{intervals: r.intervals, now: time.Now(), running: r.checkedUntil != nil}
	if !v.running {
		return v
	}
	var err error
	if v.until, err = r.checkedUntil(ctx); err != nil {
		warning.AddWarning(ctx, "", fmt.Sprintf("reading the times of the last checks failed: %v", err))
	}
	return v
}

// viewer shows scheduled tags as of a time.
type viewer struct {
	intervals  stream.Intervals
	until, now time.Time
	running    bool // scheduled imports are made

	// checks are those of the stream that was shown last: tags are listed by stream.
	of     *imagev1.ImageStream
	checks map[string]stream.Check
}

// view shows a tag of a stream, nil if it is not scheduled.
func (v *viewer) view(s *imagev1.ImageStream, tag string) *weirv1alpha1.ScheduledTag {
	if v.of != s {
		v.of, v.checks = s, v.intervals.Checks(s, v.until, v.now, tagview.Written(s))
	}
	check, scheduled := v.checks[tag]
	if !scheduled {
		return nil
	}
	if !v.running {
		check.Next = time.Time{}
	}
	return &weirv1alpha1.ScheduledTag{
		ObjectMeta: metav1.ObjectMeta{
			Name: reference.JoinStreamTag(s.Name, tag), Namespace: s.Namespace, Labels: s.Labels,
			ResourceVersion: s.ResourceVersion, CreationTimestamp: s.CreationTimestamp,
		},
		Spec:   weirv1alpha1.ScheduledTagSpec{From: stream.SpecTag(s, tag).From.Name, Interval: metav1.Duration{Duration: check.Interval}},
		Status: status(s, tag, check),
	}
}

func status(s *imagev1.ImageStream, tag string, check stream.Check) weirv1alpha1.ScheduledTagStatus {
	shown := weirv1alpha1.ScheduledTagStatus{LastCheckTime: timestamp(check.Last), NextCheckTime: timestamp(check.Next)}
	if newest := stream.LatestEvent(s, tag); newest != nil {
		shown.Image, shown.ImageTime = newest.Image, newest.Created.DeepCopy()
	}
	if list := stream.StatusTag(s, tag); list != nil {
		if failure := stream.ImportFailure(list); failure != nil {
			shown.Reason, shown.Message = failure.Reason, failure.Message
		}
	}
	return shown
}

// timestamp is absent for a time that is not known.
func timestamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	at := metav1.NewTime(t)
	return &at
}
