package tagview

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/apiserver/updates"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// request holds the functions that the API server passes to an update.
type request struct {
	// info returns the updated object for the stored one.
	info rest.UpdatedObjectInfo
	// create and update are admission; create also requires the right to create.
	create rest.ValidateObjectFunc
	update rest.ValidateObjectUpdateFunc
}

// update changes a tag, or makes it, and its stream too. It returns the stream, the
// name of the tag in it, and whether the tag is new to spec.
//
// The object that a patch is applied to is made anew from the stream whenever
// another writer was faster, so a patch never brings back what it did not name.
func (w writer[T]) update(ctx context.Context, name string, r request, options *metav1.UpdateOptions) (s *imagev1.ImageStream, tag string, newTag bool, err error) {
	streamName, tag, err := reference.SplitStreamTag(name)
	if err != nil {
		return nil, "", false, apierrors.NewBadRequest(err.Error())
	}
	write := imagestream.Write{CreateMissing: true, DryRun: options.DryRun}
	s, created, err := w.streams.Apply(ctx, streamName, write, func(s *imagev1.ImageStream, existing bool) error {
		t, managers, err := w.wanted(ctx, r, s, existing, tag)
		if err != nil {
			return err
		}
		had := stream.SpecTag(s, tag) != nil
		if err := w.Put(s, tag, t); err != nil {
			return err
		}
		newTag = !had && stream.SpecTag(s, tag) != nil
		switch {
		case stream.SpecTag(s, tag) == nil:
			return forgetTag(s, tag)
		case managers != nil:
			return w.Fields.recordApply(s, tag, managers)
		}
		return nil
	})
	return answered(s, created, options.DryRun), tag, newTag, err
}

// wanted returns the object of a request over a tag as it is in s: completed, validated and
// admitted. After an apply, managers are the managedFields of the view.
func (w writer[T]) wanted(ctx context.Context, r request, s *imagev1.ImageStream, existing bool, tag string) (t T, managers []metav1.ManagedFieldsEntry, err error) {
	var none T
	old := w.View(s, tag, nil)
	if !existing {
		rest.FillObjectMetaSystemFields(old)
	}
	fresh := stream.SpecTag(s, tag) == nil && stream.StatusTag(s, tag) == nil
	if err := w.checkUID(r.info.Preconditions(), s, old.GetName()); err != nil {
		return none, nil, err
	}
	t, managers, err = w.askManaged(ctx, r.info, s, old, fresh, tag)
	if err != nil {
		return none, nil, err
	}
	if err := w.checkVersion(t, s, existing); err != nil {
		return none, nil, err
	}
	if existing {
		err = rest.BeforeUpdate(w.Strategy, ctx, t, old)
	} else {
		err = w.admitNew(ctx, t)
	}
	switch {
	case err != nil:
		return none, nil, err
	case fresh:
		return t, managers, admit(ctx, r.create, t)
	case r.update == nil:
		return t, managers, nil
	}
	return t, managers, r.update(ctx, t.DeepCopyObject(), old.DeepCopyObject())
}

// askManaged is ask with the managedFields of the tag, which are in neither object afterwards.
// managers is nil if the request is no apply.
func (w writer[T]) askManaged(ctx context.Context, info rest.UpdatedObjectInfo, s *imagev1.ImageStream, old T, fresh bool, tag string) (t T, managers []metav1.ManagedFieldsEntry, err error) {
	var before []metav1.ManagedFieldsEntry
	if !fresh {
		if before, err = w.Fields.viewManagers(s, tag); err != nil {
			return t, nil, err
		}
	}
	old.SetManagedFields(before)
	if t, err = w.ask(ctx, updates.Info(info), old, fresh); err != nil {
		return t, nil, err
	}
	// A PUT can bring managedFields that were read from the stream.
	about, ok := apirequest.RequestInfoFrom(ctx)
	if ok && about.Verb == "patch" && applied(t.GetManagedFields(), before) {
		managers = t.GetManagedFields()
	}
	old.SetManagedFields(nil)
	t.SetManagedFields(nil)
	return t, managers, nil
}

// ask has the request make its object. A tag that is new is first offered as
// nothing, which is an object without uid: then a PUT, or an apply, creates, and is
// admitted as such. Other patches want something to be applied to, and get the
// empty view.
func (w writer[T]) ask(ctx context.Context, info rest.UpdatedObjectInfo, old T, fresh bool) (T, error) {
	if fresh {
		nothing := old.DeepCopyObject().(T)
		nothing.SetUID("")
		obj, err := info.UpdatedObject(ctx, nothing)
		if err == nil {
			return w.typed(obj)
		}
		if !apierrors.IsNotFound(err) {
			var none T
			return none, err
		}
	}
	obj, err := info.UpdatedObject(ctx, old)
	if err != nil {
		var none T
		return none, err
	}
	return w.typed(obj)
}

// errModified has the text by which clients recognize a conflict.
var errModified = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// checkVersion compares the resourceVersion that an update is based on with that of
// the stream. Without one, it is based on whatever there is.
func (w writer[T]) checkVersion(t T, s *imagev1.ImageStream, existing bool) error {
	switch version := t.GetResourceVersion(); {
	case version == "" || version == "0":
		t.SetResourceVersion(s.ResourceVersion)
		return nil
	case !existing:
		return apierrors.NewNotFound(w.Resource, t.GetName())
	case version != s.ResourceVersion:
		return apierrors.NewConflict(w.Resource, t.GetName(), errModified)
	}
	return nil
}

// checkUID compares the uid that a write is meant for with that of the stream,
// which all its tags share.
func (w writer[T]) checkUID(conditions *metav1.Preconditions, s *imagev1.ImageStream, name string) error {
	if conditions == nil || conditions.UID == nil || *conditions.UID == s.UID {
		return nil
	}
	return apierrors.NewConflict(w.Resource, name, fmt.Errorf("the UID in the precondition (%s) is not that of the object (%s)",
		*conditions.UID, cmp.Or(s.UID, "none")))
}
